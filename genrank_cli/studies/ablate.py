"""A study from the request to its record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrank_cli.data.build import ensure_store
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import RatesConfig
from genrank_cli.studies.cells import Execution, OnStatus, Outcome, run_cells
from genrank_cli.studies.plan import Row, plan_rows
from genrank_cli.studies.record import StudyRecord, assemble
from genrank_cli.studies.speed import Speed, kept_speed
from genrank_cli.studies.study import Study
from genrank_cli.training.environment import environment
from genrank_cli.training.prepare import prepare
from genrank_cli.training.run import finished
from genrank_cli.training.runtime import resolve_device, start

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

    def remaining(self) -> list[tuple[Row, int]]:
        """The cells that have no result yet."""
        return [
            (row, seed)
            for seed in self.request.seeds
            for row in self.rows
            if self.request.force or finished(row.cell(seed, self.store), self.request.runs) is None
        ]


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
    prepare(store, rows[0].config)
    execution = Execution(request.runs, device, request.threads, request.jobs, request.force)
    return Planned(request, rows, store, execution)


def run_study(
    planned: Planned,
    on_status: OnStatus = lambda status: None,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
    on_round: Callable[[int], None] = lambda done: None,
) -> StudyRecord:
    """Run what is missing, measure the speed, and compare."""
    request, rows, store = planned.request, planned.rows, planned.store
    outcomes = []
    for outcome in run_cells(rows, request.seeds, store, planned.execution, on_status):
        outcomes.append(outcome)
        on_outcome(outcome)
    machine = environment()
    return assemble(
        request.study,
        rows,
        request.seeds,
        outcomes,
        _speed(planned, machine, on_round) if request.rounds else None,
        store,
        request.size,
        machine,
    )


def _speed(planned: Planned, machine: Mapping[str, Any], on_round: Callable[[int], None]) -> Speed:
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
        on_round=on_round,
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
