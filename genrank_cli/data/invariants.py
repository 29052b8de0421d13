"""What is true of every store. Checked at the end of a build and by ``genrank data validate``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genrank_cli.data.columns import hash_values, window_columns
from genrank_cli.data.rawcheck import LATEST
from genrank_cli.data.side import read_column, read_field, read_number
from genrank_cli.data.sidetables import side_hash
from genrank_cli.data.store import CONTENT, EVENTS, Store

SLICE = 1 << 18  # rows looked at together: few enough to stay in the cache

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Finding:
    """An invariant and what breaks it; an empty ``detail`` means that it holds."""

    invariant: str
    detail: str = ""


def first_problem(store: Store) -> Finding | None:
    """The first broken invariant, but for the hashes, which a build has just made itself."""
    # One by one: Python 3.11 sometimes fails where two threads read the header of an array file.
    checks = (name for name in CHECKS if name not in HASHES)
    return next((found for found in map(_finder(store), checks) if found.detail), None)


def check(store: Store) -> Iterator[Finding]:
    """Every invariant with its finding; stops after the layout where that is broken."""
    for name in CHECKS:
        finding = _finder(store)(name)
        yield finding
        if name == "layout" and finding.detail:
            return


def _finder(store: Store) -> Callable[[str], Finding]:
    return lambda name: Finding(name, next(CHECKS[name](store), ""))


def _slices(store: Store, name: str) -> Iterator[Array]:
    """Slices of an event column, each with the first row of the next one.

    Read, not mapped: pages of a mapped file count as this process's memory while it is open.
    """
    file = store.path / EVENTS / f"{name}.npy"
    column = np.load(file, mmap_mode="r")
    for start in range(0, max(1, len(column)), SLICE):
        count = min(SLICE + 1, len(column) - start)
        offset = column.offset + start * column.itemsize
        yield np.fromfile(file, column.dtype, count, offset=offset)


def _layout(store: Store) -> Iterator[str]:
    manifest = store.manifest
    expected: dict[str, np.dtype[Any]] = {"timestamp": np.dtype(np.float64)}
    expected |= dict.fromkeys(("user", "item", "request", "actions"), np.dtype(np.uint32))
    expected |= {f"task.{task.name}": np.dtype(np.float32) for task in manifest.tasks}
    expected |= {f"context.{name}": np.dtype(np.uint32) for name in manifest.context}
    expected |= {f"number.{name}": np.dtype(np.float32) for name in manifest.event_numbers}
    expected |= dict.fromkeys(window_columns(manifest.windows), np.dtype(np.float32))
    expected |= {"apart": np.dtype(np.uint8)} if manifest.apart else {}
    missing = sorted(set(expected) - set(store.columns))
    if missing:
        yield f"no column {missing[0]}"
    for name in store.columns:
        try:
            column = np.load(store.path / EVENTS / f"{name}.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            yield f"{EVENTS}/{name}.npy is not an array file: {error}"
            return
        dtype = expected.get(name, np.dtype(np.float32))
        if column.dtype != dtype or column.shape != (manifest.counts.events,):
            found = f"{column.dtype} {list(column.shape)}"
            yield f"{EVENTS}/{name}.npy holds {found}, not {dtype} [{manifest.counts.events}]"


def _users_sorted(store: Store) -> Iterator[str]:
    yield from _steps(store, "user", store.manifest.counts.users)


def _steps(store: Store, name: str, size: int) -> Iterator[str]:
    """Problems of codes that must run from 0 to size − 1 in steps of 0 or 1."""
    codes = np.load(store.path / EVENTS / f"{name}.npy", mmap_mode="r")
    if int(codes[0]) != 0 or int(codes[-1]) != size - 1:
        yield f"{name} runs from {codes[0]} to {codes[-1]}, not from 0 to {size - 1}"
    for part in _slices(store, name):
        step = np.diff(part.astype(np.int64))
        if ((step != 0) & (step != 1)).any():
            yield f"{name} codes do not grow by 0 or 1 from event to event"


def _items_dense(store: Store) -> Iterator[str]:
    size = store.manifest.counts.items
    seen = np.zeros(size, dtype=np.bool_)
    for part in _slices(store, "item"):
        if int(part.max()) >= size:
            yield f"item code {part.max()} in a store of {size} items"
            return
        seen[part] = True
    if not seen.all():
        yield f"item {int(np.argmin(seen))} has no event"


def _time(store: Store) -> Iterator[str]:
    first, last = np.inf, -np.inf
    for part, users in zip(_slices(store, "timestamp"), _slices(store, "user"), strict=True):
        if not np.isfinite(part).all():
            yield "a timestamp is not a finite number"
        first, last = min(first, part.min()), max(last, part.max())
        if ((np.diff(part) < 0) & (users[1:] == users[:-1])).any():
            yield "a user's events are not in order of time"
    if first < 0 or last > LATEST:
        yield "a timestamp is not between 1970 and 2100 in seconds since 1970"
    told = store.manifest.time
    if (first, last) != (told.first, told.last):
        yield f"events run from {first} to {last}, not from {told.first} to {told.last} as told"


def _requests(store: Store) -> Iterator[str]:
    yield from _steps(store, "request", store.manifest.counts.requests)
    for part, users in zip(_slices(store, "request"), _slices(store, "user"), strict=True):
        if ((part[1:] == part[:-1]) & (users[1:] != users[:-1])).any():
            yield "a request holds events of two users"


def _actions(store: Store) -> Iterator[str]:
    limit = 1 << len(store.manifest.actions)
    for part in _slices(store, "actions"):
        if int(part.max()) >= limit:
            yield f"action mask {part.max()} with {len(store.manifest.actions)} actions"


def _labels(store: Store) -> Iterator[str]:
    for task in store.manifest.tasks:
        seen: set[float] = set()
        for part in _slices(store, f"task.{task.name}"):
            if not np.isfinite(part).all():
                yield f"a label of task {task.name} is not a finite number"
            if task.kind == "binary" and not np.isin(part, (0, 1)).all():
                yield f"a label of binary task {task.name} is neither 0 nor 1"
            seen |= {float(part.min()), float(part.max())}
        if len(seen) < 2:
            yield f"task {task.name} has only one class"


def _truth(store: Store) -> Iterator[str]:
    binary = {task.name for task in store.manifest.tasks if task.kind == "binary"}
    for name in store.columns:
        kind, _, task = name.partition(".")
        if kind != "truth":
            continue
        for part in _slices(store, name):
            if not np.isfinite(part).all():
                yield f"{name} holds a value that is not finite"
            elif task in binary and (part.min() < 0 or part.max() > 1):
                yield f"{name} holds a probability outside 0 to 1"


def _context(store: Store) -> Iterator[str]:
    for name, size in store.manifest.context.items():
        for part in _slices(store, f"context.{name}"):
            if int(part.max()) >= size:
                yield f"context {name} has code {part.max()} of {size}"


def _numbers(store: Store) -> Iterator[str]:
    for name in store.manifest.event_numbers:
        for part in _slices(store, f"number.{name}"):
            if np.isinf(part).any():
                yield f"number {name} is infinite in an event; NaN is what tells a missing value"


def _apart(store: Store) -> Iterator[str]:
    if not store.manifest.apart:
        return
    for part in _slices(store, "apart"):
        if int(part.max()) > 1:
            yield f"apart holds {part.max()}, which is neither 0 nor 1"


def _windows(store: Store) -> Iterator[str]:
    for name in window_columns(store.manifest.windows):
        for part in _slices(store, name):
            if not np.isfinite(part).all() or part.min() < 0:
                yield f"{name} holds a value that is not a finite number from 0"


def _side_tables(store: Store) -> Iterator[str]:
    for kind in ("users", "items"):
        try:
            yield from (f"{kind}.arrow: {problem}" for problem in _side(store, kind))
        except Exception as error:  # whatever polars raises for a broken file
            yield f"{kind}.arrow is not readable: {error}"


def _side(store: Store, kind: str) -> Iterator[str]:
    manifest, file = store.manifest, store.path / f"{kind}.arrow"
    users = kind == "users"
    rows = manifest.counts.users if users else manifest.counts.items
    ids = read_column(file, "id")
    if len(ids) != rows or ids.n_unique() != rows:
        yield f"it does not list {rows} different ids"
    for name, info in (manifest.user_fields if users else manifest.item_fields).items():
        codes = read_field(file, name, info)
        if len(codes) != rows or codes.min() < 0 or codes.max() >= info.size:
            yield f"field {name} is not {rows} codes below {info.size}"
    for name, number in (manifest.user_numbers if users else manifest.item_numbers).items():
        values = read_number(file, name, number)
        if values.dtype != np.float32 or len(values) != rows or np.isinf(values).any():
            yield f"number {name} is not {rows} finite or missing float32"


def _content(store: Store) -> Iterator[str]:
    width = store.manifest.content_width
    if not width:
        return
    content = np.load(store.path / CONTENT, mmap_mode="r")
    shape = (store.manifest.counts.items, width)
    if content.dtype != np.float32 or content.shape != shape:
        yield f"{CONTENT} holds {content.dtype} {content.shape}, not float32 {shape}"
        return
    step = max(1, SLICE // width)
    starts = range(0, len(content), step)
    if not all(np.isfinite(content[start : start + step]).all() for start in starts):
        yield f"{CONTENT} holds a value that is not finite"


def _file_hashes(store: Store) -> Iterator[str]:
    for file, record in store.manifest.files.items():
        if _hash(store, file) != record.sha256:
            yield f"{file}: its values were changed after the build"


def _hash(store: Store, file: str) -> str:
    if file.endswith(".arrow"):
        return side_hash(store.path, file, store.manifest)
    return hash_values(np.load(store.path / file, mmap_mode="r"))


def _content_hash(store: Store) -> Iterator[str]:
    if store.manifest.hash_content() != store.manifest.content_hash:
        yield "the manifest's content hash is not that of its files"


#: name → problems found, lazily; in the order in which they are checked
CHECKS: dict[str, Callable[[Store], Iterator[str]]] = {
    "layout": _layout,
    "users sorted and dense": _users_sorted,
    "items dense": _items_dense,
    "time": _time,
    "requests": _requests,
    "actions": _actions,
    "labels": _labels,
    "truth": _truth,
    "context": _context,
    "numbers": _numbers,
    "apart": _apart,
    "windows": _windows,
    "side tables": _side_tables,
    "content": _content,
    "file hashes": _file_hashes,
    "content hash": _content_hash,
}
HASHES = frozenset({"file hashes", "content hash"})
