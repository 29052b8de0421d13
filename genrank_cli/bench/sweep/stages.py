"""What is timed of one model at one value of a sweep."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import cast

from genrank_cli.bench.batches import drawn_batch, drawn_ranker
from genrank_cli.bench.stages import Bench, Timed, lazy_subject
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
    """What is timed of a model at a value.

    The model is built in the first run, so that what that raises is a reason to leave it out.
    """

    @cache
    def bench() -> Bench:
        return bench_of(request, model, value)

    makers: dict[str, Callable[[], Timed]] = {
        STEP: bench,
        ATTENTION: lambda: bench().attention(),
        PROJECTIONS: lambda: bench().projections(),
    }
    return [
        lazy_subject(row_name(model, stage, value), makers[stage]) for stage in request.stages()
    ]
