"""Raw values → codes, by position among the sorted values."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

Codes = npt.NDArray[np.uint32]


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
        return self.values.search_sorted(raw).to_numpy().astype(np.uint32)

    def field(self, raw: pl.Series) -> Codes:
        """Codes 1…n of values that occur here or are null, which is 0; [len(raw)]."""
        codes = np.zeros(len(raw), dtype=np.uint32)
        known = raw.is_not_null().to_numpy()
        codes[known] = self.ids(raw.drop_nulls()) + 1
        return codes
