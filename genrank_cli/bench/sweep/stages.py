"""What is timed of one model at one value of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from genrank_cli.bench.attention.rows import Step
from genrank_cli.bench.batches import drawn_batch, drawn_ranker
from genrank_cli.bench.stages import Bench, Projections
from genrank_cli.bench.sweep.plan import ATTENTION, PROJECTIONS, STEP, Request, row_name
from genrank_cli.bench.timing import Subject
from genrank_cli.models.generative import GenerativeRanker


def bench_of(request: Request, model: str, value: int) -> Bench:
    """A model at a value, with its batch."""
    shape = request.shape(value)
    built, schema = drawn_ranker(request.config(model, value), shape.events)
    batch = drawn_batch(shape.batch, shape.events, shape.candidates, schema, seed=0)
    ranker = cast(GenerativeRanker, built.to(request.device))
    return Bench(ranker, batch.to(request.device))


def subjects(request: Request, model: str, value: int) -> list[Subject]:
    """What is timed of a model at a value."""
    bench = bench_of(request, model, value)
    steps: dict[str, Callable[[], Bench | Step | Projections]] = {
        STEP: lambda: bench,
        ATTENTION: bench.attention,
        PROJECTIONS: bench.projections,
    }
    made = {stage: steps[stage]() for stage in request.stages()}
    return [
        Subject(row_name(model, stage, value), {"forward": step.forward, "backward": step.backward})
        for stage, step in made.items()
    ]
