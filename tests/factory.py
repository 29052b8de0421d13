"""Small event logs in memory, with everything that a built store offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrank_cli.data.card import Task
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.store import (
    BUILD_VERSION,
    Counts,
    Manifest,
    SideTable,
    Store,
    TimeRange,
)

Columns = dict[str, np.ndarray[Any, Any]]


class MemoryStore(Store):
    """A store whose columns are arrays instead of files."""

    def __init__(
        self, manifest: Manifest, columns: Columns, users: SideTable, items: SideTable
    ) -> None:
        super().__init__(Path("memory"), manifest)
        self.__dict__.update(_columns=columns, users=users, items=items)


def make_store(
    lengths: tuple[int, ...] = (40, 7, 1, 23),
    *,
    items: int = 30,
    per_request: int = 3,
    actions: int = 2,
    seed: int = 0,
    content: int = 4,
    ties: float = 0.0,
) -> MemoryStore:
    """Users with ``lengths`` events in requests of about (1 + ``per_request``) / 2 events.

    Events of one request are seconds apart, requests about an hour; but a share ``ties`` of the
    requests begins at the very moment of the event before, as a column of requests allows.

    Label ``click`` is random, ``dwell`` a positive number; one context column, one single-valued
    and one multi-valued item field, one user field.
    """
    random = np.random.default_rng(seed)
    columns = _columns(random, lengths, items, per_request, ties)
    tags = random.integers(1, 6, (items, 3))
    tags[random.random((items, 3)) < 0.4] = 0
    users, item_table = _users(random, len(lengths)), _items(random, tags, content)
    manifest = _manifest(columns, f"memory-{seed}", (len(lengths), items), actions, content)
    if ties:
        manifest = manifest.model_copy(update={"request_rule": "column"})
    return MemoryStore(manifest, columns, users, item_table)


def _columns(
    random: np.random.Generator,
    lengths: tuple[int, ...],
    items: int,
    per_request: int,
    ties: float,
) -> Columns:
    events = sum(lengths)
    user = np.repeat(np.arange(len(lengths)), lengths)
    new = random.random(events) < 2 / (1 + per_request)
    first = np.concatenate(([0], np.cumsum(lengths)[:-1])).astype(int)
    new[first] = True
    gap = np.where(new, random.exponential(5000.0, events) + 1, 5 * random.random(events))
    click = (random.random(events) < 0.4).astype(np.float32)
    item = random.integers(0, items, events)
    second = random.integers(0, 2, events) << 1
    if ties:
        tied = new & (random.random(events) < ties)
        tied[first] = False
        gap[tied] = 0
    return {
        "user": user.astype(np.uint32),
        "item": item.astype(np.uint32),
        "timestamp": 1e9 + np.cumsum(gap),
        "request": (np.cumsum(new) - 1).astype(np.uint32),
        "actions": (click.astype(np.uint32) | second).astype(np.uint32),
        "task.click": click,
        "task.dwell": random.exponential(20.0, events).astype(np.float32),
        "context.surface": random.integers(0, 4, events).astype(np.uint32),
    }


def _users(random: np.random.Generator, users: int) -> SideTable:
    ids = pl.Series([str(u) for u in range(users)])
    return SideTable(ids, {"age": random.integers(0, 5, users)}, {"age": 5}, None)


def _items(
    random: np.random.Generator, tags: np.ndarray[Any, np.dtype[np.int64]], content: int
) -> SideTable:
    items = len(tags)
    return SideTable(
        pl.Series([str(i) for i in range(items)]),
        {"topic": random.integers(1, 6, items), "tags": tags},
        {"topic": 6, "tags": 6},
        random.normal(size=(items, content)).astype(np.float32),
    )


def _manifest(
    columns: Columns, content_hash: str, sizes: tuple[int, int], actions: int, content: int
) -> Manifest:
    timestamp = columns["timestamp"]
    return Manifest(
        name="memory",
        dataset_version=1,
        build_version=BUILD_VERSION,
        card_hash="0",
        content_hash=content_hash,
        counts=make_counts(len(timestamp), *sizes, int(columns["request"][-1]) + 1),
        actions=[f"a{k}" for k in range(actions)],
        tasks=[Task(name="click", kind="binary"), Task(name="dwell", kind="regression")],
        context={"surface": 4},
        user_fields={},
        item_fields={},
        event_numbers={},
        user_numbers={},
        item_numbers={},
        content_width=content,
        windows=None,
        apart=False,
        truth=False,
        request_rule="gap",
        split=SplitSpec(name="user-temporal", train=0.7, valid=0.1, test=0.2),
        time=TimeRange(first=float(timestamp[0]), last=float(timestamp[-1])),
        quirks={},
        sources={},
        options={},
        files={},
    )


def make_counts(events: int, users: int, items: int, requests: int) -> Counts:
    """Counts of a log from which nothing was left out."""
    return Counts(
        events=events,
        users=users,
        items=items,
        requests=requests,
        dropped_duplicates=0,
        dropped_users=0,
        dropped_items=0,
        unlisted_users=0,
        unlisted_items=0,
    )
