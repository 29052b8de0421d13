"""Raw values → codes, by position among the sorted values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.uint32]

MERGE_ROWS = 4_000_000  # values held before they are merged into the distinct ones
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
            codes: Codes = table[raw.to_numpy() - self.values[0]]
            return codes
        return self.values.search_sorted(raw).to_numpy().astype(np.uint32)

    def field(self, raw: pl.Series) -> Codes:
        """Codes 1…n of values that occur here or are null, which is 0; [len(raw)]."""
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

    def add(self, values: pl.Series) -> None:
        """Take in one piece; nulls are left out."""
        # Shrunk: polars leaves room for as many values as the piece had, which would add up.
        self._parts.append(values.drop_nulls().unique().shrink_to_fit())
        self._waiting += len(self._parts[-1])
        if self._waiting > max(MERGE_ROWS, self._merged):
            self._merge()

    def vocabulary(self) -> Vocabulary:
        """The vocabulary of everything seen; at least one piece was."""
        self._merge()
        return Vocabulary(self._parts[0].sort())

    def _merge(self) -> None:
        self._parts = [pl.concat(self._parts).unique().shrink_to_fit()]
        self._merged, self._waiting = len(self._parts[0]), 0
