"""Staged events, sorted by user from any order of the source: an external sort.

The events of the source are cut into *runs*, each sorted by user. A block of consecutive users is
then one slice of each run, so that memory is bounded by a run, a few blocks and ``KEPT_BYTES``, and
every staged event is written at most once and read once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.vocabulary import MERGE_ROWS, Vocabulary

SLICE_ROWS = 1 << 16  # rows of a run on disk that are read together
KEPT_BYTES = 1 << 29  # of runs that stay in memory; further ones go to disk
NARROW = (np.int8, np.int16, np.int32)

Run = pl.DataFrame | Path


class Block(NamedTuple):
    """Events of consecutive users: of one user, in the order of the source."""

    first_user: int  # code of the block's first user
    users: Vocabulary  # raw ids of its users
    events: pl.DataFrame  # integers in the narrowest type that holds them


class Cut(NamedTuple):
    """Where a block of consecutive users lies."""

    first_user: int
    end_user: int
    rows: list[tuple[int, int]]  # begin and end in each run


@dataclass(frozen=True)
class Runs:
    """The runs, in the order of the source, and who is in them."""

    runs: list[Run]
    users: Vocabulary
    events_of_user: npt.NDArray[np.int64]  # [U]

    @property
    def events(self) -> int:
        return int(self.events_of_user.sum())

    def cuts(self, rows: int) -> list[Cut]:
        """Where blocks of at most ``rows`` events, or of one user who has more, lie in the runs."""
        firsts = _block_starts(self.events_of_user, rows)
        starts = self.users.values.gather(firsts)
        places = [_places(run, starts) for run in self.runs]
        ends = [*firsts[1:], len(self.users)]
        return [
            Cut(first, end, [(place[index], place[index + 1]) for place in places])
            for index, (first, end) in enumerate(zip(firsts, ends, strict=True))
        ]

    def block(self, cut: Cut) -> Block:
        """The block at ``cut``; several threads may read blocks."""
        slices = [
            _slice(run, start, stop)
            for run, (start, stop) in zip(self.runs, cut.rows, strict=True)
            if stop > start
        ]
        users = Vocabulary(self.users.values[cut.first_user : cut.end_user])
        # In one piece: to gather from many small ones takes seven times as long.
        events = pl.concat(slices, how="vertical_relaxed", rechunk=True)
        return Block(cut.first_user, users, events)


class RunWriter:
    """Makes runs of about ``rows`` events, the first in memory, and counts their users."""

    def __init__(self, folder: Path, rows: int) -> None:
        self._folder, self._rows = folder, rows
        self._pieces: list[pl.DataFrame] = []
        self._held = self._kept = 0
        self._runs: list[Run] = []
        self._users: list[pl.DataFrame] = []
        self._waiting = self._merged = 0

    def add(self, piece: pl.DataFrame) -> None:
        """Take in the next events of the source; column ``user`` holds the raw id."""
        self._pieces.append(piece)
        self._held += len(piece)
        if self._held >= self._rows:
            self._close_run()

    def finish(self) -> Runs:
        """Everything that was added; at least one event was."""
        if self._pieces:
            self._close_run()
        self._merge()
        counts = self._users[0].sort("user")
        return Runs(self._runs, Vocabulary(counts["user"]), counts["events"].to_numpy())

    def _close_run(self) -> None:
        events = pl.concat(self._pieces)
        self._pieces, self._held = [], 0
        order = _by_user(events["user"])
        run = pl.DataFrame([_arranged(column, order) for column in events.iter_columns()])
        self._count(run["user"].cast(events["user"].dtype))
        size = run.estimated_size()
        if self._kept + size <= KEPT_BYTES:
            self._kept += int(size)
            self._runs.append(run)
            return
        file = self._folder / f"{len(self._runs)}.arrow"
        run.write_ipc(file, compression="uncompressed", record_batch_size=SLICE_ROWS)
        self._runs.append(file)

    def _count(self, user: pl.Series) -> None:
        counts = user.rle().struct.unnest()
        counts = counts.select(user="value", events=pl.col("len").cast(pl.Int64))
        self._users.append(counts.shrink_to_fit())
        self._waiting += len(counts)
        if self._waiting > max(MERGE_ROWS, self._merged):
            self._merge()

    def _merge(self) -> None:
        counts = pl.concat(self._users).group_by("user").agg(pl.col("events").sum())
        self._users, self._merged, self._waiting = [counts], len(counts), 0


def _by_user(user: pl.Series) -> npt.NDArray[np.int64]:
    """Places of the events [n] by user; those of one user stay as they are."""
    rows = len(user)
    if user.dtype.is_integer():
        raw = user.to_numpy()
        low, high = int(raw.min()), int(raw.max())
        if (high - low + 1) * rows < 2**63:
            # User and place in one integer: numpy sorts those far faster than it sorts places.
            key = (raw - low) * rows + np.arange(rows)
            key.sort()
            key %= rows
            return key
    order = user.to_frame("user").with_row_index().sort("user", maintain_order=True)["index"]
    return order.to_numpy().astype(np.int64)


def _arranged(column: pl.Series, order: npt.NDArray[np.int64]) -> pl.Series:
    """``column`` in ``order``; integers without a null in the narrowest type that holds them."""
    if not column.dtype.is_numeric() or column.null_count():
        return column.rechunk().gather(order)
    return pl.Series(column.name, _narrowed(column.to_numpy()).take(order))


def _narrowed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if values.dtype != np.int64:
        return values
    low, high = int(values.min()), int(values.max())
    for dtype in NARROW:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return values


def _block_starts(events_of_user: npt.NDArray[np.int64], rows: int) -> list[int]:
    """The first user of each block: as many users as fit in ``rows``, at least one."""
    ends = np.cumsum(events_of_user)  # [U]
    starts, first, before = [], 0, 0
    while first < len(ends):
        starts.append(first)
        first = max(int(np.searchsorted(ends, before + rows, side="right")), first + 1)
        before = int(ends[first - 1])
    return starts


def _places(run: Run, starts: pl.Series) -> list[int]:
    """Where the blocks that begin with the users ``starts`` begin in a run, and where it ends."""
    users = run.lazy() if isinstance(run, pl.DataFrame) else pl.scan_ipc(run)
    found = users.select(pl.col("user").cast(starts.dtype)).collect()["user"]
    return [*found.search_sorted(starts, side="left").to_list(), len(found)]


def _slice(run: Run, start: int, stop: int) -> pl.DataFrame:
    if isinstance(run, pl.DataFrame):
        return run[start:stop]
    return pl.scan_ipc(run).slice(start, stop - start).collect()
