"""Staged events → event columns of the store: sorted, deduplicated, coded, cut into requests."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.card import Card, RequestRule
from genrank_cli.data.columns import ColumnWriter
from genrank_cli.data.prefetch import prefetched
from genrank_cli.data.progress import Report
from genrank_cli.data.runs import Block, Cut
from genrank_cli.data.staging import Stage
from genrank_cli.data.store import EVENTS, FileRecord, TimeRange
from genrank_cli.errors import data_error

Columns = dict[str, npt.NDArray[Any]]

SORTERS = 2  # threads that sort and code blocks ahead
WRITERS = 2  # threads that hash and write one block's columns meanwhile

# Seconds. A float64 time of today is exact to a quarter of this: 1.067 − 0.067 is not quite 1.
CLOCK = 1e-6
_AS_STAGED = ("timestamp", "actions", "apart", "task.", "truth.", "number.")


@dataclass(frozen=True)
class EventSummary:
    """What was written."""

    files: dict[str, FileRecord]
    events: int
    requests: int
    duplicates: int
    time: TimeRange


def write_events(stage: Stage, card: Card, folder: Path, report: Report) -> EventSummary:
    """Write ``events/*.npy`` into ``folder``.

    Raises `GenrankError` (5) naming the request that is not contiguous, or the task that has only
    one class.
    """
    (folder / EVENTS).mkdir()
    classes = {task.name: Range() for task in card.tasks}
    time, rows, requests = Range(), 0, 0
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(ColumnWriter(folder / EVENTS / f"{name}.npy", dtype))
            for name, dtype in _dtypes(stage).items()
        }
        # Entered last: no thread writes any more when the files are closed.
        pool = stack.enter_context(ThreadPoolExecutor(WRITERS, "genrank-write"))
        written: list[Future[None]] = []
        report("sorting events", 0, stage.events)
        for block in prefetched(partial(_coded, stage, card.requests), stage.cuts(), SORTERS):
            rows, columns = rows + block.rows, block.columns
            columns["request"] += np.uint32(requests)
            _finish(written)
            written = [pool.submit(writers[name].append, c) for name, c in columns.items()]
            requests = int(columns["request"][-1]) + 1
            time.add(columns["timestamp"])
            for name, found in classes.items():
                found.add(columns[f"task.{name}"])
            report("sorting events", rows, stage.events)
        _finish(written)
        _check_classes(classes)
        records = pool.map(ColumnWriter.close, writers.values())
        files = dict(zip((f"{EVENTS}/{name}.npy" for name in writers), records, strict=True))
    return EventSummary(
        files=files,
        events=writers["user"].rows,
        requests=requests,
        duplicates=rows - writers["user"].rows,
        time=TimeRange(first=time.low, last=time.high),
    )


def _finish(written: Sequence[Future[None]]) -> None:
    """Wait for a block's columns, and raise what one of them met."""
    for column in written:
        column.result()


class Range:
    """Smallest and largest value seen."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")

    def add(self, values: npt.NDArray[Any]) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))


def _dtypes(stage: Stage) -> dict[str, type[np.generic]]:
    labels = [f"task.{name}" for name in stage.tasks] + [f"truth.{name}" for name in stage.truths]
    labels += [f"number.{name}" for name in stage.numbers]
    codes = ["user", "item", "request", "actions", *(f"context.{name}" for name in stage.contexts)]
    return {
        "timestamp": np.float64,
        **dict.fromkeys(codes, np.uint32),
        **dict.fromkeys(labels, np.float32),
        **({"apart": np.uint8} if stage.apart else {}),
    }


class Coded(NamedTuple):
    """A block's event columns, [n] each; its requests are numbered from 0."""

    rows: int  # with the copies, which the columns lack
    columns: Columns


def _coded(stage: Stage, rule: RequestRule, cut: Cut) -> Coded:
    block = stage.runs.block(cut)
    return Coded(len(block.events), _columns(block, stage, rule))


def _columns(block: Block, stage: Stage, rule: RequestRule) -> Columns:
    events, user = block.events, block.users.ids(block.events["user"])
    order = order_by(user, events["timestamp"].to_numpy())
    kept = _first_of_copies(events, user, order)
    if not kept.all():
        order = order[kept]
    user = user.take(order)
    # numpy gathers a column in a third of the time that polars needs for it.
    columns: Columns = {
        "user": user + np.uint32(block.first_user),
        "item": stage.items.ids(events["item"]).take(order),
    }
    for name, vocabulary in stage.contexts.items():
        columns[f"context.{name}"] = vocabulary.field(events[f"context.{name}"]).take(order)
    for name in events.columns:
        if name.startswith(_AS_STAGED):
            columns[name] = events[name].to_numpy().take(order)
    begins = _request_begins(events, order, columns["timestamp"], user, rule)  # [n]
    columns["request"] = np.cumsum(begins, dtype=np.uint32) - np.uint32(1)
    return columns


def order_by(user: npt.NDArray[np.uint32], time: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Places of the events [n] by user and time ≥ 0; within one moment they stay as they are."""
    ticks = (time + 0.0).view(np.int64)  # the bits of a float grow with it, from 0 on
    width = int(ticks.max()) - int(ticks.min()) + 1
    if (int(user.max()) + 1) * width >= 2**63:
        return np.lexsort((time, user))
    # Both in one integer: numpy sorts those several times as fast, though not stably.
    key = user.astype(np.int64) * width + (ticks - ticks.min())
    order = np.argsort(key)
    key = key[order]
    tied = np.zeros(len(key), dtype=np.bool_)
    tied[1:] = key[1:] == key[:-1]
    tied[:-1] |= tied[1:]
    places = order[tied]
    order[tied] = places[np.lexsort((places, key[tied]))]
    return order


def _first_of_copies(
    events: pl.DataFrame, user: npt.NDArray[np.uint32], order: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Whether each event, in ``order`` by user and time, is no copy of an earlier one; [n]."""
    kept = np.ones(len(user), dtype=np.bool_)
    user, time = user.take(order), events["timestamp"].to_numpy().take(order)
    same = (user[1:] == user[:-1]) & (time[1:] == time[:-1])
    # Copies share their moment: only events that share one are compared column by column.
    shared = np.zeros(len(user), dtype=np.bool_)
    shared[1:] = same
    shared[:-1] |= same
    if same.any():
        first = events[order[shared]].select(pl.struct(pl.all()).is_first_distinct())
        kept[shared] = first.to_series().to_numpy()
    return kept


def _request_begins(
    events: pl.DataFrame,
    order: npt.NDArray[np.int64],
    time: npt.NDArray[np.float64],
    user: npt.NDArray[np.uint32],
    rule: RequestRule,
) -> npt.NDArray[np.bool_]:
    """Whether each event in ``order``, of ``time`` and ``user``, is the first of a request; [n]."""
    begins = np.ones(len(user), dtype=np.bool_)
    begins[1:] = user[1:] != user[:-1]
    if rule.rule == "gap":
        begins[1:] |= np.diff(time) > rule.gap_seconds + CLOCK
        return begins
    events = events.select("user", "request")[order]
    begins |= events["request"].ne_missing(events["request"].shift()).to_numpy()
    pairs = events.filter(pl.Series(begins))
    twice = pairs.filter(pairs.is_duplicated())
    if len(twice):
        broken = twice.sort("user", "request").row(0)
        raise data_error(
            f"request {broken[1]} of user {broken[0]} is not contiguous in time: "
            "events of another request lie between its own",
            "correct the source, or cut requests by time: --set requests.rule=gap",
        )
    return begins


def _check_classes(classes: dict[str, Range]) -> None:
    for name, found in classes.items():
        if found.low == found.high:
            raise data_error(
                f"task {name} has only one class: every label is {found.low:g}",
                "a model of it learns nothing and its AUC is undefined; check the label's "
                "definition on the card",
            )
