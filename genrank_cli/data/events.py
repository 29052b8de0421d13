"""Staged events → event columns of the store: sorted, deduplicated, coded, cut into requests."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.card import Card, RequestRule
from genrank_cli.data.columns import ColumnWriter
from genrank_cli.data.progress import Report
from genrank_cli.data.staging import Stage
from genrank_cli.data.store import EVENTS, FileRecord, TimeRange
from genrank_cli.errors import GenrankError, data_error

LATEST = 4_102_444_800.0  # 2100-01-01 in seconds since 1970


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

    Raises `GenrankError` (5) naming the event of the source whose time or label is impossible,
    the request that is not contiguous, or the task that has only one class.
    """
    (folder / EVENTS).mkdir()
    classes = {task.name: Range() for task in card.tasks}
    time, rows, requests = Range(), 0, 0
    with ExitStack() as stack:
        writers = {
            name: stack.enter_context(ColumnWriter(folder / EVENTS / f"{name}.npy", dtype))
            for name, dtype in _dtypes(stage).items()
        }
        report("sorting events", 0, stage.events)
        for block in stage.blocks():
            rows += len(block)
            block = _without_copies(block)
            _check_values(block, card)
            columns = _columns(block, stage, card.requests, requests)
            for name, values in columns.items():
                writers[name].append(values)
            requests = int(columns["request"][-1]) + 1
            time.add(columns["timestamp"])
            for name, found in classes.items():
                found.add(columns[f"task.{name}"])
            report("sorting events", rows, stage.events)
        _check_classes(classes)
        files = {f"{EVENTS}/{name}.npy": writer.close() for name, writer in writers.items()}
    return EventSummary(
        files=files,
        events=writers["user"].rows,
        requests=requests,
        duplicates=rows - writers["user"].rows,
        time=TimeRange(first=time.low, last=time.high),
    )


class Range:
    """Smallest and largest value seen."""

    def __init__(self) -> None:
        self.low, self.high = float("inf"), float("-inf")

    def add(self, values: npt.NDArray[Any]) -> None:
        self.low = min(self.low, float(values.min()))
        self.high = max(self.high, float(values.max()))


def _dtypes(stage: Stage) -> dict[str, type[np.generic]]:
    labels = [f"task.{name}" for name in stage.tasks] + [f"truth.{name}" for name in stage.truths]
    codes = ["user", "item", "request", "actions", *(f"context.{name}" for name in stage.contexts)]
    return {
        "timestamp": np.float64,
        **dict.fromkeys(codes, np.uint32),
        **dict.fromkeys(labels, np.float32),
    }


def _without_copies(block: pl.DataFrame) -> pl.DataFrame:
    """The block without exact copies of earlier events; it is sorted by user and time."""
    moment = pl.struct("user", "timestamp")
    same = block.select(moment == moment.shift())[:, 0].fill_null(False)
    # Copies share their moment: only events that share one are compared column by column.
    shared = block.filter(same | same.shift(-1, fill_value=False))
    copies = shared.filter(~pl.struct(pl.exclude("row")).is_first_distinct())["row"]
    return block.filter(~pl.col("row").is_in(copies.implode())) if len(copies) else block


def _columns(
    block: pl.DataFrame, stage: Stage, rule: RequestRule, first_request: int
) -> dict[str, npt.NDArray[Any]]:
    """The block's event columns, [n] each; requests are numbered from ``first_request``."""
    columns: dict[str, npt.NDArray[Any]] = {
        "user": stage.users.ids(block["user"]),
        "item": stage.items.ids(block["item"]),
        "timestamp": block["timestamp"].to_numpy(),
        "actions": block["actions"].to_numpy(),
    }
    for name, vocabulary in stage.contexts.items():
        columns[f"context.{name}"] = vocabulary.field(block[f"context.{name}"])
    for name in block.columns:
        if name.startswith(("task.", "truth.")):
            columns[name] = block[name].to_numpy()
    begins = _request_begins(block, columns["user"], rule)  # [n]
    columns["request"] = (np.cumsum(begins) + (first_request - 1)).astype(np.uint32)
    return columns


def _request_begins(
    block: pl.DataFrame, user: npt.NDArray[np.uint32], rule: RequestRule
) -> npt.NDArray[np.bool_]:
    """Whether each event is the first of a request; [n]."""
    begins = np.ones(len(block), dtype=np.bool_)
    begins[1:] = user[1:] != user[:-1]
    if rule.rule == "gap":
        timestamp = block["timestamp"].to_numpy()
        begins[1:] |= np.diff(timestamp) > rule.gap_seconds
        return begins
    begins |= block["request"].ne_missing(block["request"].shift()).to_numpy()
    pairs = block.filter(pl.Series(begins)).select("user", "request")
    twice = pairs.filter(pairs.is_duplicated())
    if len(twice):
        broken = twice.sort("user", "request").row(0)
        raise data_error(
            f"request {broken[1]} of user {broken[0]} is not contiguous in time: "
            "events of another request lie between its own",
            "correct the source, or cut requests by time: --set requests.rule=gap",
        )
    return begins


def _check_values(block: pl.DataFrame, card: Card) -> None:
    kinds = {f"task.{task.name}": task.kind for task in card.tasks}
    for column in block.columns:
        if not column.startswith(("timestamp", "task.", "truth.")):
            continue
        values = block[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        bad = ~np.isfinite(values)
        if column == "timestamp":
            bad |= (values < 0) | (values > LATEST)
        elif kinds.get(column) == "binary":
            bad |= (values != 0) & (values != 1)
        if bad.any():
            raise _value_error(block, column, values, bad, kinds.get(column, ""))


def _value_error(
    block: pl.DataFrame,
    column: str,
    values: npt.NDArray[np.float64],
    bad: npt.NDArray[np.bool_],
    kind: str,
) -> GenrankError:
    """The error about the bad value that comes first in the source."""
    rows = block["row"].to_numpy()
    place = np.flatnonzero(bad)[np.argmin(rows[bad])]
    value = values[place]
    reason = "is not a finite number"
    if np.isfinite(value) and column == "timestamp":
        reason = "is not between 1970 and 2100 in seconds since 1970"
        if 0 <= value / 1000 <= LATEST:
            reason += "; this looks like milliseconds, seconds are expected"
    elif np.isfinite(value):
        reason = f"is neither 0 nor 1, as a {kind} label must be"
    event = f"event {rows[place] + 1:,} of the source (user {block['user'][int(place)]})"
    return data_error(f"{column} of {event}: {value:.15g} {reason}")


def _check_classes(classes: dict[str, Range]) -> None:
    for name, found in classes.items():
        if found.low == found.high:
            raise data_error(
                f"task {name} has only one class: every label is {found.low:g}",
                "a model of it learns nothing and its AUC is undefined; check the label's "
                "definition on the card",
            )
