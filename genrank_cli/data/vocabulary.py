"""Raw values → codes, by position among the sorted values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.uint32]

MERGE_ROWS = 4_000_000  # values held before they are merged into the distinct ones
FLAGS = 1 << 26  # integers of a span up to this are marked, a byte each
SPARSE = 4  # a table of codes may have this many places for each value


@dataclass(frozen=True)
class Vocabulary:
    """Sorted distinct raw values, integers or text, none of them null."""

    values: pl.Series

    @classmethod
    def of(cls, raw: pl.Series) -> Vocabulary:
        """The vocabulary of the values that occur in ``raw``; nulls are left out."""
        return cls(raw.drop_nulls().unique().sort())

    def __len__(self) -> int:
        return len(self.values)

    @property
    def size(self) -> int:
        """Number of field codes, with 0 for a missing value."""
        return len(self) + 1

    def ids(self, raw: pl.Series) -> Codes:
        """Codes 0…n−1 of values that all occur here; [len(raw)]."""
        table = self._table
        if table is not None:
            # Not in the type of `raw`, which may be too narrow for a difference.
            codes: Codes = table[np.subtract(raw.to_numpy(), self.values[0], dtype=np.int64)]
            return codes
        return self.values.search_sorted(raw.cast(self.values.dtype)).to_numpy().astype(np.uint32)

    def field(self, raw: pl.Series) -> Codes:
        """Codes 1…n of values that occur here or are null, which is 0; [len(raw)]."""
        if not raw.null_count():
            return self.ids(raw) + np.uint32(1)
        codes = np.zeros(len(raw), dtype=np.uint32)
        known = raw.is_not_null().to_numpy()
        codes[known] = self.ids(raw.drop_nulls()) + 1
        return codes

    @cached_property
    def _table(self) -> Codes | None:
        """Code by distance from the lowest value, for integers that lie close together.

        One look-up instead of a binary search, which is slow among millions of values.
        """
        if not self.values.dtype.is_integer() or not len(self):
            return None
        span = self.values[-1] - self.values[0] + 1
        if span > SPARSE * len(self) + 1024:
            return None
        table = np.zeros(span, dtype=np.uint32)
        table[self.values.to_numpy() - self.values[0]] = np.arange(len(self), dtype=np.uint32)
        return table


class Distinct:
    """The distinct values of a column that is seen in pieces, in memory for themselves only."""

    def __init__(self) -> None:
        self._parts: list[pl.Series] = []
        self._merged = self._waiting = 0
        self._marks = Marks()

    def add(self, values: pl.Series) -> None:
        """Take in one piece; nulls are left out."""
        values = values.drop_nulls()
        if self._marks.add(values):
            values = values.clear()  # what is left of it is the type
        # Shrunk: polars leaves room for as many values as the piece had, which would add up.
        self._parts.append(values.unique().shrink_to_fit())
        self._waiting += len(self._parts[-1])
        if self._waiting > max(MERGE_ROWS, self._merged):
            self._merge()

    def vocabulary(self) -> Vocabulary:
        """The vocabulary of everything seen; at least one piece was."""
        self._parts.append(pl.Series(self._marks.values()).cast(self._parts[0].dtype))
        self._merge()
        return Vocabulary(self._parts[0].sort())

    def _merge(self) -> None:
        self._parts = [pl.concat(self._parts).unique().shrink_to_fit()]
        self._merged, self._waiting = len(self._parts[0]), 0


class Marks:
    """Which integers of a window have occurred; the window grows with them, up to ``FLAGS``."""

    def __init__(self) -> None:
        self._low = 0
        self._seen = np.zeros(0, dtype=np.bool_)

    def add(self, values: pl.Series) -> bool:
        """Mark integers; returns whether it was possible: if not, none is marked."""
        if not values.dtype.is_integer() or not len(values):
            return False
        raw = values.to_numpy()
        if not self._reach(int(raw.min()), int(raw.max())):
            return False
        self._seen[np.subtract(raw, self._low, dtype=np.int64)] = True
        return True

    def values(self) -> npt.NDArray[np.int64]:
        """The marked ones, ascending."""
        return np.flatnonzero(self._seen) + self._low

    def _reach(self, first: int, last: int) -> bool:
        """Let the window hold ``first`` to ``last`` too; returns whether it may become so large."""
        old, size = self._low, len(self._seen)
        if size:
            first, last = min(first, old), max(last, old + size - 1)
        wanted = max(size, 1024)
        while first // wanted != last // wanted and wanted <= FLAGS:
            wanted *= 2
        if wanted > FLAGS:
            return False
        if wanted > size:
            grown = np.zeros(wanted, dtype=np.bool_)
            self._low = first // wanted * wanted
            if size:
                grown[old - self._low : old - self._low + size] = self._seen
            self._seen = grown
        return True
