"""Point-in-time window statistics: what was known of a user or an item when a request came.

For an event whose request starts at q, a key (its user or its item) and a span s, with W = the
events of the same user (item) whose time t satisfies q − s ≤ t < q:

    window.<key>_<span>_count    |W|
    window.<key>_<span>_<task>   (positives in W + PRIOR · p) / (|W| + PRIOR)

    p = (positives + 1) / (events + 2) of all events of the log up to the last full hour before q

Nothing at or after q counts: no event of the request itself, none of another user at the very same
moment, and the prior p stops earlier still. So a change of any event, in its labels or by putting
it off, leaves every statistic of the requests up to its time as it was.

Times are compared in whole milliseconds, the unit that stores keep exact; finer fractions are cut
off, so that an event in the same millisecond as the request does not count. A label counts from
its event's time on. Where labels become known late (a purchase the next day), the log's timestamp
must be the time at which the label was known.

Memory is that of one block of `BLOCK_ROWS` events, whatever the length of the log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from genrank_cli.data.columns import hash_values, window_columns
from genrank_cli.data.declare import WindowSpec, span_seconds
from genrank_cli.data.progress import Report
from genrank_cli.data.store import EVENTS, FileRecord, Store

BLOCK_ROWS = 8_000_000  # events whose statistics are computed at a time; about 120 bytes each
CHUNK_ROWS = 2_000_000  # events read at a time; more only where one user has more
SEGMENT_ROWS = 1 << 26  # rows of an output file that are mapped at a time
PRIOR = 10.0  # events that the overall rate counts for
BIN_MS = 3_600_000  # the prior advances hour by hour

PART_ROWS = 1 << 16  # events whose windows are found at a time

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
Key = Literal["user", "item"]


@dataclass(frozen=True)
class Prior:
    """Events and positives of the whole log by hour; p of a request sees full hours before it."""

    first: int  # number of the first hour since 1970
    rates: Floats  # [hours + 1, K], before each hour

    def at(self, query_ms: Ints) -> Floats:
        """Smoothed rate of each task before the hour that each request falls into, [n, K]."""
        hour = np.clip(query_ms // BIN_MS - self.first, 0, len(self.rates) - 1)
        return np.asarray(self.rates[hour])


@dataclass(frozen=True)
class Block:
    """All events of a range of keys, in the order of the store.

    ``rows`` int64 [n] in the store; ``key`` int64 [n] from 0; ``time``, ``query`` int64 [n]
    milliseconds since 1970 of the event and of its request; ``labels`` uint8 [n, K].
    """

    rows: Ints
    key: Ints
    time: Ints
    query: Ints
    labels: npt.NDArray[np.uint8]


def write_windows(
    store: Store, spec: WindowSpec, folder: Path, report: Report
) -> dict[str, FileRecord]:
    """Write ``events/window.*.npy``, float32 [E] each, into ``folder``; file → its record.

    ``store`` is on disk, its other columns complete; ``spec`` names its tasks, all binary. Raises
    `OSError` where the disk is full.
    """
    tasks = spec.tasks
    files = [f"{EVENTS}/{name}.npy" for name in window_columns(spec)]
    events = store.manifest.counts.events
    for file in files:
        _reserve(folder / file, events)
    chunks = _chunks(store.user_offsets)
    prior = _prior(store, tasks, chunks)
    done, total = 0, events * len(spec.keys)
    for key in spec.keys:
        for low, high in _key_ranges(store, key, chunks, spec):
            block = _read_block(store, key, (low, high), tasks, chunks)
            of_key = window_columns(spec.model_copy(update={"keys": (key,)}))
            for name, values in zip(of_key, _statistics(block, spec, prior), strict=True):
                _put(folder / EVENTS / f"{name}.npy", block.rows, values)
            done += len(block.rows)
            report("window statistics", done, total)
    return {file: _record(folder / file) for file in files}


def _statistics(block: Block, spec: WindowSpec, prior: Prior) -> Iterator[Floats]:
    """Values of each column, [n] in the order of the block's rows; columns as they are named."""
    longest = 1000 * max(span_seconds(span) for span in spec.spans)
    origin = min(int(block.time.min()), int(block.query.min())) - longest
    width = max(int(block.time.max()), int(block.query.max())) - origin + 1
    # Key and time in one integer: a window of one key never reaches into its neighbour's range.
    place = block.key * width + (block.time - origin)  # [n]
    order = np.argsort(place)
    place = place[order]
    seen = np.zeros((len(spec.tasks), len(order) + 1), np.int32)  # positives among the first i
    np.cumsum(block.labels[order].T, axis=1, out=seen[:, 1:])
    found = np.empty((len(spec.spans) * (1 + len(spec.tasks)), len(order)), np.float32)
    # In the order of the events, so that neighbouring searches end at neighbouring places; a part
    # at a time, so that its numbers stay in the processor's cache.
    for start in range(0, len(order), PART_ROWS):
        part = order[start : start + PART_ROWS]
        request = block.query[part]
        query = block.key[part] * width + (request - origin)
        found[:, start : start + PART_ROWS] = _counted(place, seen, query, prior.at(request), spec)
    for values in found:
        back = np.empty_like(values)
        back[order] = values
        yield back


def _counted(
    place: Ints, seen: npt.NDArray[np.int32], query: Ints, prior: Floats, spec: WindowSpec
) -> list[Floats]:
    """Count and smoothed rates of each span, [n] each, for requests at ``query``.

    ``place`` are the sorted events, ``seen`` [K, events + 1] the positives among the first of them,
    ``prior`` [n, K].
    """
    columns: list[Floats] = []
    stop = np.searchsorted(place, query)
    known = [positives[stop] for positives in seen]
    for span in spec.spans:
        start = np.searchsorted(place, query - 1000 * span_seconds(span))
        count = (stop - start).astype(np.float64)
        columns.append(count)
        for k, positives in enumerate(seen):
            inside = known[k] - positives[start]
            columns.append((inside + PRIOR * prior[:, k]) / (count + PRIOR))
    return columns


def _chunks(user_offsets: Ints) -> list[tuple[int, int]]:
    """Row ranges of whole users, up to `CHUNK_ROWS` or one user long: no request is cut."""
    return [
        (int(user_offsets[first]), int(user_offsets[last]))
        for first, last in _ranges(user_offsets, CHUNK_ROWS, len(user_offsets))
    ]


def _ranges(offsets: Ints, most: int, widest: int) -> list[tuple[int, int]]:
    """Ranges of keys with rows, each of at most ``most`` rows (or one key) and ``widest`` keys."""
    ranges, first, keys = [], 0, len(offsets) - 1
    while first < keys:
        fits = int(np.searchsorted(offsets, offsets[first] + most, side="right")) - 1
        last = min(max(first + 1, fits), first + widest, keys)
        if offsets[first] < offsets[last]:
            ranges.append((first, last))
        first = last
    return ranges


def _key_ranges(
    store: Store, key: Key, chunks: list[tuple[int, int]], spec: WindowSpec
) -> list[tuple[int, int]]:
    """Ranges of user or item codes whose events make one block."""
    counts = store.manifest.counts
    size = counts.users if key == "user" else counts.items
    events = np.zeros(size, np.int64)
    for start, stop in chunks:
        events += np.bincount(_read(store, key, start, stop), minlength=size)
    time = store.manifest.time
    reach = max(span_seconds(span) for span in spec.spans)
    widest = int(2**62 // (1000 * (time.last - time.first + reach) + 3))
    return _ranges(np.concatenate(([0], np.cumsum(events))), BLOCK_ROWS, widest)


def _prior(store: Store, tasks: tuple[str, ...], chunks: list[tuple[int, int]]) -> Prior:
    first = int(_milliseconds(np.array([store.manifest.time.first]))[0] // BIN_MS)
    last = int(_milliseconds(np.array([store.manifest.time.last]))[0] // BIN_MS)
    events = np.zeros(last - first + 2)
    positives = np.zeros((last - first + 2, len(tasks)))
    for start, stop in chunks:
        hour = _milliseconds(_read(store, "timestamp", start, stop)) // BIN_MS - first
        events[1:] += np.bincount(hour, minlength=len(events) - 1)
        for k, task in enumerate(tasks):
            label = _read(store, f"task.{task}", start, stop)
            positives[1:, k] += np.bincount(hour, label, minlength=len(events) - 1)
    passed = np.cumsum(events)[:, None]
    return Prior(first, (np.cumsum(positives, axis=0) + 1) / (passed + 2))


def _read_block(
    store: Store,
    key: Key,
    codes: tuple[int, int],
    tasks: tuple[str, ...],
    chunks: list[tuple[int, int]],
) -> Block:
    """The events of the users or items with a code in ``[codes[0], codes[1])``."""
    parts = []
    if key == "user":  # sorted by user: only those rows are read
        low, high = store.user_offsets[list(codes)]
        chunks = [(start, stop) for start, stop in chunks if start < high and stop > low]
    for start, stop in chunks:
        code = _read(store, key, start, stop)
        inside = np.flatnonzero((code >= codes[0]) & (code < codes[1]))
        if len(inside):
            parts.append(_read_events(store, code, inside, (start, stop), tasks))
    rows, code, time, query, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Block(rows, code - codes[0], time, query, labels)


def _read_events(
    store: Store,
    code: npt.NDArray[np.uint32],
    inside: Ints,
    chunk: tuple[int, int],
    tasks: tuple[str, ...],
) -> tuple[Ints, Ints, Ints, Ints, npt.NDArray[np.uint8]]:
    """Rows, codes, times, request times and labels of the rows ``inside`` a chunk."""
    time = _read(store, "timestamp", *chunk)
    request = _read(store, "request", *chunk)
    begins = np.ones(len(request), np.bool_)
    np.not_equal(request[1:], request[:-1], out=begins[1:])
    opening = np.flatnonzero(begins)[np.cumsum(begins)[inside] - 1]
    labels = [_read(store, f"task.{task}", *chunk)[inside].astype(np.uint8) for task in tasks]
    return (
        inside + chunk[0],
        code[inside].astype(np.int64),
        _milliseconds(time[inside]),
        _milliseconds(time[opening]),
        np.stack(labels, axis=1) if labels else np.zeros((len(inside), 0), np.uint8),
    )


def _milliseconds(seconds: npt.NDArray[np.float64]) -> Ints:
    """Whole milliseconds; a float64 of today is off by 0.0001 ms, which is not a fraction."""
    return np.floor(seconds * 1000 + 0.001).astype(np.int64)


def _read(store: Store, name: str, start: int, stop: int) -> npt.NDArray[Any]:
    """A copy of some rows; the file is mapped only meanwhile, so that memory stays flat."""
    return np.array(np.load(store.path / EVENTS / f"{name}.npy", mmap_mode="r")[start:stop])


def _reserve(file: Path, rows: int) -> None:
    """An array of zeros on disk, its space taken now: a full disk must not end a mapped write."""
    with file.open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows,)}
        npy.write_array_header_1_0(stream, header)
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(stream.fileno(), 0, stream.tell() + 4 * rows)
            return
        for start in range(0, rows, CHUNK_ROWS):
            stream.write(bytes(4 * min(CHUNK_ROWS, rows - start)))


def _put(file: Path, rows: Ints, values: Floats) -> None:
    """Write ``values`` into the ascending ``rows`` of an array file, a segment at a time."""
    whole = np.load(file, mmap_mode="r")
    for begin in range(0, len(whole), SEGMENT_ROWS):
        size = min(SEGMENT_ROWS, len(whole) - begin)
        low, high = np.searchsorted(rows, (begin, begin + size))
        if low < high:
            at = whole.offset + 4 * begin
            segment = np.memmap(file, np.float32, "r+", at, (size,)).view(np.ndarray)
            segment[rows[low:high] - begin] = values[low:high]


def _record(file: Path) -> FileRecord:
    sha256 = hash_values(np.load(file, mmap_mode="r").view(np.ndarray))
    return FileRecord(bytes=file.stat().st_size, sha256=sha256)
