"""Staged events on disk, sorted by user from any order of the source: an external sort.

Each batch of the source is sorted by user and written as one *run*. A block of consecutive users is
then one slice of each run, so that memory is bounded by a batch and a block, and every staged event
is written once and read once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.vocabulary import MERGE_ROWS, Vocabulary

SLICE_ROWS = 1 << 16  # rows of a run that are read together


class Block(NamedTuple):
    """Events of consecutive users: of one user, in the order of the source."""

    first_user: int  # code of the block's first user
    users: Vocabulary  # raw ids of its users
    events: pl.DataFrame


@dataclass(frozen=True)
class Runs:
    """The runs, in the order of the source, and who is in them."""

    files: list[Path]
    users: Vocabulary
    events_of_user: npt.NDArray[np.int64]  # [U]

    @property
    def events(self) -> int:
        return int(self.events_of_user.sum())

    def blocks(self, rows: int) -> Iterator[Block]:
        """Blocks of at most ``rows`` events, or of one user who has more."""
        firsts = _block_starts(self.events_of_user, rows)
        starts = self.users.values.gather(firsts)
        cuts = [_cuts(file, starts) for file in self.files]
        ends = [*firsts[1:], len(self.users)]
        for index, (first, end) in enumerate(zip(firsts, ends, strict=True)):
            slices = [
                pl.scan_ipc(file).slice(cut[index], cut[index + 1] - cut[index]).collect()
                for file, cut in zip(self.files, cuts, strict=True)
                if cut[index + 1] > cut[index]
            ]
            users = Vocabulary(self.users.values[first:end])
            # In one piece: to gather from many small ones takes seven times as long.
            yield Block(first, users, pl.concat(slices, rechunk=True))


class RunWriter:
    """Writes runs into a folder and counts their users."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: list[Path] = []
        self._users: list[pl.DataFrame] = []
        self._waiting = self._merged = 0

    def add(self, batch: pl.DataFrame) -> None:
        """Write the next events of the source; column ``user`` holds the raw id."""
        # Stable: a user's events stay in the order of the source.
        run = batch.sort("user", maintain_order=True)
        file = self._folder / f"{len(self._files)}.arrow"
        run.write_ipc(file, compression="uncompressed", record_batch_size=SLICE_ROWS)
        self._files.append(file)
        counts = run["user"].rle().struct.unnest()
        counts = counts.select(user="value", events=pl.col("len").cast(pl.Int64))
        self._users.append(counts.shrink_to_fit())
        self._waiting += len(counts)
        if self._waiting > max(MERGE_ROWS, self._merged):
            self._merge()

    def finish(self) -> Runs:
        """Everything that was written; at least one batch was."""
        self._merge()
        counts = self._users[0].sort("user")
        return Runs(self._files, Vocabulary(counts["user"]), counts["events"].to_numpy())

    def _merge(self) -> None:
        counts = pl.concat(self._users).group_by("user").agg(pl.col("events").sum())
        self._users, self._merged, self._waiting = [counts], len(counts), 0


def _block_starts(events_of_user: npt.NDArray[np.int64], rows: int) -> list[int]:
    """The first user of each block: as many users as fit in ``rows``, at least one."""
    ends = np.cumsum(events_of_user)  # [U]
    starts, first, before = [], 0, 0
    while first < len(ends):
        starts.append(first)
        first = max(int(np.searchsorted(ends, before + rows, side="right")), first + 1)
        before = int(ends[first - 1])
    return starts


def _cuts(file: Path, starts: pl.Series) -> list[int]:
    """Where the blocks that begin with the users ``starts`` begin in a run, and where it ends."""
    users = pl.scan_ipc(file).select("user").collect()["user"]
    return [*users.search_sorted(starts, side="left").to_list(), len(users)]
