"""Running the cells of a study, one after the other or in several processes."""

from __future__ import annotations

import logging
import multiprocessing as mp
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.queues import Queue
from pathlib import Path
from threading import Thread
from typing import Any

import torch

from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from genrank_cli.studies.plan import Row
from genrank_cli.training.loop import Trainer
from genrank_cli.training.run import Record, finished, run_cell

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Status:
    """How far one cell is; ``done`` and ``total`` count training steps."""

    row: str
    seed: int
    done: int
    total: int
    loss: float
    valid_auc: float
    events_per_s: float


@dataclass(frozen=True)
class Outcome:
    """A cell's record, or why there is none."""

    row: str
    seed: int
    record: Record | None
    error: str = ""
    reused: bool = False


@dataclass(frozen=True)
class Execution:
    """Where and how cells run."""

    runs: Path
    device: torch.device
    threads: int | None = None
    jobs: int = 1
    force: bool = False


OnStatus = Callable[[Status], None]


def run_cells(
    rows: Sequence[Row],
    seeds: Sequence[int],
    store: Store,
    execution: Execution,
    on_status: OnStatus = lambda status: None,
) -> Iterator[Outcome]:
    """Outcomes of all rows × seeds as they come, seed by seed; finished cells first, unless forced.

    A cell that fails is an `Outcome` with its error: the others go on.
    """
    todo = []
    for seed in seeds:
        for row in rows:
            record = None if execution.force else finished(row.cell(seed, store), execution.runs)
            if record is None:
                todo.append((row, seed))
            else:
                yield Outcome(row.name, seed, record, reused=True)
    if execution.jobs == 1 or len(todo) < 2:
        for row, seed in todo:
            yield _run_one(row, seed, store, execution, on_status)
    else:
        yield from _run_many(todo, store.path, execution, on_status)


def _run_one(
    row: Row, seed: int, store: Store, execution: Execution, on_status: OnStatus
) -> Outcome:
    def observe(trainer: Trainer) -> None:
        progress = trainer.progress
        on_status(
            Status(
                row.name,
                seed,
                progress.epoch * trainer.steps + progress.step,
                trainer.config.epochs * trainer.steps,
                progress.loss,
                progress.best_auc,
                progress.events_per_s,
            )
        )

    try:
        record = run_cell(
            row.cell(seed, store),
            store,
            execution.runs,
            execution.device,
            threads=execution.threads,
            force=execution.force,
            observe=observe,
        )
    except GenrankError as error:
        return Outcome(row.name, seed, None, error.message)
    except Exception as error:  # the other cells go on, and this one's failure is in the record
        log.debug("%s, seed %d", row.name, seed, exc_info=True)
        return Outcome(row.name, seed, None, f"{type(error).__name__}: {error}")
    return Outcome(row.name, seed, record)


_worker: dict[str, Any] = {}


def _start_worker(store_path: Path, execution: Execution, queue: Queue[Status | None]) -> None:
    # Ctrl-C reaches the whole group of processes; the parent decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _worker.update(store=Store.open(store_path), execution=execution, queue=queue)


def _work(row: Row, seed: int) -> Outcome:
    return _run_one(row, seed, _worker["store"], _worker["execution"], _worker["queue"].put)


def _run_many(
    todo: Sequence[tuple[Row, int]], store_path: Path, execution: Execution, on_status: OnStatus
) -> Iterator[Outcome]:
    context = mp.get_context("spawn")
    queue: Queue[Status | None] = context.Queue()
    listener = Thread(target=_listen, args=(queue, on_status), daemon=True)
    pool = ProcessPoolExecutor(
        execution.jobs, context, _start_worker, (store_path, execution, queue)
    )
    listener.start()
    futures = {pool.submit(_work, row, seed): (row, seed) for row, seed in todo}
    try:
        for future in as_completed(futures):
            yield _outcome(future, *futures[future])
    except BaseException:
        _kill(pool)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        queue.put(None)
        listener.join()


def _outcome(future: Future[Outcome], row: Row, seed: int) -> Outcome:
    try:
        return future.result()
    except BrokenProcessPool:
        return Outcome(row.name, seed, None, "the process died: out of memory? try --jobs 1")
    except Exception as error:
        return Outcome(row.name, seed, None, f"{type(error).__name__}: {error}")


def _listen(queue: Queue[Status | None], on_status: OnStatus) -> None:
    while (status := queue.get()) is not None:
        on_status(status)


def _kill(pool: ProcessPoolExecutor) -> None:
    """End the workers at once; their checkpoints let the same command go on."""
    for process in list((pool._processes or {}).values()):
        with suppress(ProcessLookupError):
            process.kill()
