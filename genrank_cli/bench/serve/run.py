"""The whole bench: every number of candidates, its checks, the record."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from genrank_cli.bench.begin import begun
from genrank_cli.bench.machine import Load, load_warnings, pace_warnings
from genrank_cli.bench.peak import Probe, product_probe
from genrank_cli.bench.quantiles import quantile_interval
from genrank_cli.bench.record import BenchRecord, Case, Check, LeftOut, Row
from genrank_cli.bench.rows import probe_row
from genrank_cli.bench.serve.claims import cached_check, checks
from genrank_cli.bench.serve.clock import serve
from genrank_cli.bench.serve.plan import WHOLE, Path, Request
from genrank_cli.bench.serve.work import Work
from genrank_cli.bench.serve.world import World, largest_difference, subject
from genrank_cli.bench.statistics import median_interval, outliers
from genrank_cli.bench.timing import Timings, clock_for
from genrank_cli.training.environment import environment

#: Percentiles in the record, beside the median.
TAILS = {"p90": 0.90, "p99": 0.99}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watch:
    """Who wants to hear how far it is."""

    preparing: Callable[[str], None] = lambda case: None
    round_done: Callable[[str, int], None] = lambda case, done: None


def run(request: Request, watch: Watch | None = None) -> BenchRecord:
    """Serve everything that the (checked) request names.

    Stopped by Ctrl-C, it gives the cases that were finished, if there is one; after the first one
    an error of a case is a row that failed. Raises `GenrankError` (5) where the first case's cached
    and uncached scores are not the same.
    """
    watch = watch or Watch()
    request = begun(request)
    cases: list[Case] = []
    proofs: list[Check] = []
    interrupted = False
    try:
        for candidates in request.candidates:
            try:
                case, proof = _case(request, candidates, watch)
            except Exception as error:  # what was measured before it is kept
                if not cases:
                    raise
                log.debug("a case failed", exc_info=True)
                case, proof = _failed(request, candidates, str(error) or repr(error)), []
            cases.append(case)
            proofs += proof
    except KeyboardInterrupt:
        if not cases:
            raise
        interrupted = True
    block = environment(request.device)
    return BenchRecord(
        bench="serve",
        title=f"Serving one request at a time, size {request.size}",
        settings=request.settings(),
        cases=cases,
        memory_case="",
        memory=[],
        checks=[*proofs, *checks(cases)],
        environment=block,
        command=block["command"],
        interrupted=interrupted,
    )


def _case(request: Request, candidates: int, watch: Watch) -> tuple[Case, list[Check]]:
    name = request.case_name(candidates)
    watch.preparing(name)
    paths = request.paths(candidates)
    world = World.of(request, candidates)
    for model in {path.model: None for path in paths if path.path != WHOLE}:
        sizes = [path.micro_batch for path in paths if path.model == model]
        world.keep(model, max(sizes))
    differences = largest_difference(paths, world)
    probe = product_probe("float32", request.device)
    begun = Load.now()

    def turn(number: int) -> None:
        world.turn = number

    timings = serve(
        [subject(path, world) for path in paths],
        clock_for(torch.device(request.device).type),
        requests=request.requests,
        budget_s=request.budget_s,
        probe=probe,
        turn=turn,
        on_round=lambda done: watch.round_done(name, done),
    )
    warnings = load_warnings(begun, Load.now())
    warnings += pace_warnings(timings.total(probe.subject.name), "--requests")
    case = Case(
        name=name,
        labels=_labels(request, candidates),
        rounds=len(timings.total(paths[0].name)),
        wall_s=timings.wall_s,
        rows=_rows(request, candidates, paths, world, timings, probe),
        probes=[probe_row(probe, timings)],
        left_out=[],
        warnings=warnings,
    )
    return case, [cached_check(name, row, off) for row, off in differences.items()]


def _labels(request: Request, candidates: int) -> dict[str, int]:
    return {"history": request.history, "candidates": candidates, "users": request.users}


def _failed(request: Request, candidates: int, reason: str) -> Case:
    """A case of which nothing could be measured."""
    name = request.case_name(candidates)
    return Case(
        name=name,
        labels=_labels(request, candidates),
        rounds=0,
        wall_s=0.0,
        rows=[],
        probes=[],
        left_out=[LeftOut(name=name, reason=reason, expected=False)],
        warnings=[],
    )


def _rows(
    request: Request,
    candidates: int,
    paths: list[Path],
    world: World,
    timings: Timings,
    probe: Probe,
) -> list[Row]:
    works = {name: Work(request.config(name), request.history) for name in request.models}
    costs = {name: _costs(work, world, name) for name, work in works.items()}
    return [
        _row(path, works[path.model].flops(path.path, candidates), costs[path.model], timings)
        for path in paths
    ]


def _costs(work: Work, world: World, model: str) -> dict[str, float]:
    tables, others = work.parameter_bytes()
    kept = world.caches.get(model)
    return {
        "training_flops_per_million_events_packed": work.training_flops(packed=True),
        "training_flops_per_million_events_grouped": work.training_flops(packed=False),
        "table_bytes": tables,
        "other_parameter_bytes": others,
        "cache_bytes_per_user": float(kept[0].bytes_per_user()[0]) if kept else 0.0,
    }


def _row(path: Path, flops: Mapping[str, int], costs: dict[str, float], timings: Timings) -> Row:
    parts = timings.rounds_s[path.name]
    total = timings.total(path.name)
    tails = {name: quantile_interval(total, share) for name, share in TAILS.items()}
    medians = {part: median_interval(times) for part, times in (parts | {"total": total}).items()}
    bases = [x for x in path.bases if x in timings.rounds_s and x != path.name]
    return Row(
        name=path.name,
        labels=path.labels(),
        base=bases[0] if bases else None,
        repeats=1,
        rounds_s=parts,
        flops=dict(flops),
        hardware_flops={},
        time_s=medians | tails,
        # The median of the paired ratios: with hundreds of requests the sign test is sharp enough.
        ratio={x: median_interval(np.divide(total, timings.total(x))) for x in bases},
        share={},
        outliers=outliers(total),
        figures=costs,
    )
