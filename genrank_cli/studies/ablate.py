"""Studies from the request to their records."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from genrank_cli.data.build import ensure_store
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import RatesConfig
from genrank_cli.studies.assemble import Known, assemble
from genrank_cli.studies.cells import Execution, OnStatus, Outcome, run_cells
from genrank_cli.studies.cost import forward_flops
from genrank_cli.studies.plan import Row, plan_rows, unmet
from genrank_cli.studies.record import StudyRecord
from genrank_cli.studies.slices import cold_items
from genrank_cli.studies.speed import Speed, kept_speed
from genrank_cli.studies.study import Study
from genrank_cli.training.environment import environment
from genrank_cli.training.prepare import Prepared, prepare
from genrank_cli.training.run import finished
from genrank_cli.training.runtime import resolve_device, start

#: Rounds of timing where nothing else is asked for.
ROUNDS = 12

#: What of the environment decides a speed.
MACHINE = ("cpu", "cores_usable", "torch", "attention", "cuda")


@dataclass(frozen=True)
class Request:
    """What the user asked for; the fields are the options of ``genrank ablate``."""

    study: Study
    dataset: str
    size: str
    seeds: Sequence[int]
    variants: Sequence[str] | None
    settings: Sequence[Mapping[str, Any]]
    rounds: int
    device: str
    threads: int | None
    jobs: int
    runs: Path
    force: bool


@dataclass(frozen=True)
class Planned:
    """A request whose names, configurations and data have been checked."""

    request: Request
    rows: list[Row]
    store: Store
    execution: Execution
    known: Known

    def remaining(self) -> list[tuple[Row, int]]:
        """The cells that have no result yet."""
        return [
            (row, seed)
            for seed in self.request.seeds
            for row in self.rows
            if self.request.force or finished(row.cell(seed, self.store), self.request.runs) is None
        ]


@dataclass(frozen=True)
class Watch:
    """What the caller wants to hear of while studies run."""

    status: OnStatus = lambda status: None
    outcome: Callable[[Outcome], None] = lambda outcome: None
    round: Callable[[str, int], None] = lambda study, done: None
    stopped: Callable[[int], None] = lambda seeds: None


def default_rounds(rounds: int | None, study: Study, studies: int) -> int:
    """Rounds of timing: as asked for; else `ROUNDS`, of several studies where a claim needs it."""
    if rounds is not None:
        return rounds
    claimed = any(claim.metric == "speed" for claim in study.claims)
    return ROUNDS if studies == 1 or claimed else 0


def default_jobs(
    jobs: int | None, threads: int | None, studies: int, size: str, device: str
) -> tuple[int, int | None]:
    """Cells at a time and threads of each.

    Several studies of tiny models on a CPU: a cell for each core, with one thread, since these
    models are too small for a second one.
    """
    small = size == "tiny" and studies > 1 and resolve_device(device).type == "cpu"
    if jobs is not None or threads is not None or not small:
        return jobs or 1, threads
    return environment()["cores_usable"] or 1, 1


def plan(request: Request) -> Planned:
    """Check everything that can be checked before the long work."""
    device = resolve_device(request.device)
    start(0, request.threads)  # so that the environment block says what the runs use
    rows = plan_rows(
        request.study,
        request.dataset,
        request.size,
        variants=request.variants,
        settings=request.settings,
    )
    _writable(request.runs)
    store = ensure_store(request.dataset)
    prepared = prepare(store, rows[0].config)
    missing = {
        variant.name: reason
        for variant in request.study.variants
        if (reason := unmet(variant, store))
    }
    known = Known(
        cold_items(store, prepared.fitted),
        _flops(request, prepared),
        missing,
        int(prepared.fitted.sum()),
    )
    execution = Execution(request.runs, device, request.threads, request.jobs, request.force)
    rows = [row for row in rows if row.name not in missing]
    return Planned(request, rows, store, execution, known)


def _flops(request: Request, prepared: Prepared) -> dict[str, dict[str, int]]:
    """Row → part → FLOPs of the rows that claims about FLOPs compare, run or not."""
    study = request.study
    names = {
        row
        for claim in study.claims
        if claim.metric.startswith("flops.")
        for row in claim.rows(study.base)
    }
    if not names:
        return {}
    rows = plan_rows(
        study, request.dataset, request.size, variants=sorted(names), settings=request.settings
    )
    return {
        row.name: forward_flops(row.config, prepared.schema) for row in rows if row.name in names
    }


def run_study(planned: Planned, watch: Watch | None = None) -> StudyRecord:
    """Run what is missing, measure the speed, and compare."""
    return run_studies([planned], watch)[0]


def run_studies(
    plans: Sequence[Planned], watch: Watch | None = None, budget_s: float | None = None
) -> list[StudyRecord]:
    """Run several studies on the same data; a cell that several of them have is run once.

    With ``budget_s``, seeds are run one after the other, and no further one is begun that would
    not fit if it took as long as the last one; the first always runs.
    """
    begun, watch = time.monotonic(), watch or Watch()
    machine = environment()
    # Speeds first: what they take is then part of what the budget leaves for seeds.
    speeds = [_speed(one, machine, watch) if one.request.rounds else None for one in plans]
    seeds, outcomes = _run(plans, watch, begun, budget_s)
    return [
        assemble(
            one.request.study,
            one.rows,
            seeds,
            _of(one, seeds, outcomes),
            speed,
            one.store,
            one.request.size,
            machine,
            one.known,
        )
        for one, speed in zip(plans, speeds, strict=True)
    ]


Key = tuple[str, int]


def distinct(plans: Sequence[Planned]) -> list[Row]:
    """The rows of all studies, each configuration once, under the name of its study if several."""
    rows: dict[str, Row] = {}
    for one in plans:
        for row in one.rows:
            name = f"{one.request.study.name}/{row.name}" if len(plans) > 1 else row.name
            rows.setdefault(_config_key(row), replace(row, name=name))
    return list(rows.values())


def _config_key(row: Row) -> str:
    return row.config.model_dump_json()


def _run(
    plans: Sequence[Planned], watch: Watch, begun: float, budget_s: float | None
) -> tuple[list[int], dict[Key, Outcome]]:
    """The seeds that were run, and the outcome of every cell."""
    first = plans[0]
    rows, wanted = distinct(plans), list(first.request.seeds)
    keys = {row.name: _config_key(row) for row in rows}
    outcomes: dict[Key, Outcome] = {}
    done: list[int] = []
    for group in [wanted] if budget_s is None else [[seed] for seed in wanted]:
        at = time.monotonic()
        for outcome in run_cells(rows, group, first.store, first.execution, watch.status):
            outcomes[keys[outcome.row], outcome.seed] = outcome
            watch.outcome(outcome)
        done += group
        now = time.monotonic()
        if budget_s is not None and now - begun + (now - at) > budget_s:
            break
    if len(done) < len(wanted):
        watch.stopped(len(done))
    return done, outcomes


def _of(planned: Planned, seeds: Sequence[int], outcomes: Mapping[Key, Outcome]) -> list[Outcome]:
    """The outcomes of one study's rows."""
    return [
        replace(outcomes[_config_key(row), seed], row=row.name)
        for seed in seeds
        for row in planned.rows
    ]


def _speed(planned: Planned, machine: Mapping[str, Any], watch: Watch) -> Speed:
    request = planned.request
    timed = {
        row.name: row.config
        for row in planned.rows
        if not isinstance(row.config.model, RatesConfig)
    }
    return kept_speed(
        timed,
        planned.store,
        planned.execution.device,
        request.runs,
        {name: machine[name] for name in MACHINE},
        rounds=request.rounds,
        threads=request.threads,
        force=request.force,
        on_round=lambda done: watch.round(request.study.name, done),
    )


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".genrank-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise GenrankError(
            f"--runs {folder}: cannot write there: {error.strerror}", "give another folder"
        ) from None
