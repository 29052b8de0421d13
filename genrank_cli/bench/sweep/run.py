"""The whole sweep in one set of rounds, so that a growth is taken inside a round; the record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from genrank_cli.bench.begin import begun
from genrank_cli.bench.machine import Load, load_warnings
from genrank_cli.bench.peak import copy_probe, product_probe
from genrank_cli.bench.record import BenchRecord, Case
from genrank_cli.bench.rows import Spec, left_out_rows, make_row, pace_of, probe_rows
from genrank_cli.bench.sweep.fits import flops_crossing
from genrank_cli.bench.sweep.plan import ATTENTION, PROJECTIONS, Request, row_name
from genrank_cli.bench.sweep.stages import subjects
from genrank_cli.bench.sweep.work import Work
from genrank_cli.bench.timing import Plan, clock_for, measure
from genrank_cli.errors import GenrankError
from genrank_cli.training.environment import environment


@dataclass(frozen=True)
class Watch:
    """Who wants to hear how far it is."""

    warming: Callable[[str], None] = lambda row: None
    round_done: Callable[[int, float], None] = lambda done, precision: None


def specs(request: Request) -> list[Spec]:
    """The rows; each is compared with the same stage at the smallest value."""
    found = []
    for model in request.models:
        for value in request.points:
            work = Work(request, model, value)
            for stage in request.stages():
                figures = {
                    "value": value,
                    "tokens": work.load.tokens,
                    "min_bytes": work.bytes_moved(stage),
                }
                labels = {
                    "model": model,
                    "stage": stage,
                    "value": str(value),
                    "dtype": "float32",
                }
                base = row_name(model, stage, request.points[0])
                name = row_name(model, stage, value)
                bases = () if name == base else (base,)
                found.append(Spec(name, labels, work.flops(stage), bases, figures))
    return found


def run(request: Request, watch: Watch | None = None) -> BenchRecord:
    """Measure everything that the (checked) request names.

    Raises `GenrankError` where no row could run; Ctrl-C ends it, as there is one case only.
    """
    watch = watch or Watch()
    request = begun(request)
    rows = specs(request)
    case = _case(request, rows, watch)
    if not case.rows:
        first = case.left_out[0]
        raise GenrankError(f"no row could run: {first.name}: {first.reason}")
    block = environment(request.device)
    return BenchRecord(
        bench="sweep",
        title=f"Training against {request.over}, size {request.size}",
        settings=request.settings(),
        cases=[case],
        memory_case="",
        memory=[],
        checks=[],
        environment=block,
        command=block["command"],
        extra={"flops_crossover": flops_crossovers(request)} if request.over == "length" else {},
    )


def flops_crossovers(request: Request) -> dict[str, int | None]:
    """For every model the first length at which attention has more FLOPs than projections."""

    def ratio(model: str, value: int) -> float:
        work = Work(request, model, value)
        return sum(work.flops(ATTENTION).values()) / sum(work.flops(PROJECTIONS).values())

    return {model: flops_crossing(partial(ratio, model)) for model in request.models}


def _case(request: Request, rows: list[Spec], watch: Watch) -> Case:
    product, copy = product_probe("float32", request.device), copy_probe(request.device)
    timed = [
        subject
        for model in request.models
        for value in request.points
        for subject in subjects(request, model, value)
    ]
    begun = Load.now()
    timings = measure(
        [*timed, product.subject, copy.subject],
        clock_for(torch.device(request.device).type),
        Plan(request.rounds, request.precision, request.budget_s),
        pairs=[(row.name, base) for row in rows for base in row.bases],
        on_warm=watch.warming,
        on_round=watch.round_done,
    )
    warnings = load_warnings(begun, Load.now()) + pace_of(product, timings)
    shape = request.shape(request.points[0])
    probes = (product.subject.name, copy.subject.name)
    return Case(
        name=f"over {request.over}",
        labels={name: count for name, count in vars(shape).items() if name != request.over},
        rounds=timings.rounds,
        wall_s=timings.wall_s,
        rows=[make_row(row, timings, product) for row in rows if row.name in timings.rounds_s],
        probes=probe_rows((product, copy), timings),
        left_out=left_out_rows([*(row.name for row in rows), *probes], timings, expected=False),
        warnings=warnings,
    )
