"""From numbers to categories: boundaries fixed by the training events, codes by comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from genrank_cli.data.columns import window_columns
from genrank_cli.data.declare import QUANTILES, Buckets
from genrank_cli.data.store import SideTable, Store

#: Quantiles of an event column are taken over at most this many training events, evenly spread over
#: the store: a sixteenth of the events is then found to within a thousandth of them.
SAMPLE = 2_000_000

PIECE = 1 << 20  # events looked at together

#: Boundaries of a column up to which comparing with each is faster than searching among them.
FEW = 64

#: Starts the names of number fields in a coded side table; no field can be named so.
NUMBER = "number:"
STATISTIC = "statistic:"

Boundaries = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.floating[Any]]


def boundaries_of(
    values: Numbers, buckets: Buckets, weights: npt.NDArray[Any] | None = None
) -> Boundaries:
    """Ascending boundaries, float64 [n]: the declared ones, or the quantiles of ``values`` [v].

    ``weights`` [v] say how many events each value stands for, by default one. Missing values (NaN)
    and values of no weight do not count. A value that several quantiles fall on gets a bucket of
    its own. Every boundary is one of the values and has values below it, so n may be less than the
    number of quantiles − 1, and is 0 where all values are the same or missing.
    """
    if buckets.quantiles is None:
        return np.array(buckets.boundaries, np.float64)
    counts = np.ones(len(values)) if weights is None else weights
    counted = np.isfinite(values) & (counts > 0)
    if not counted.any():
        return np.zeros(0)
    order = np.argsort(values[counted], kind="stable")
    ordered = values[counted][order]
    below = np.cumsum(counts[counted][order], dtype=np.float64)
    shares = np.arange(1, buckets.quantiles) / buckets.quantiles * below[-1]
    # The smallest value that more than this share of the events do not exceed.
    reached = ordered[np.searchsorted(below, shares, side="right")]
    found, times = np.unique(reached, return_counts=True)
    after = np.searchsorted(ordered, found[times > 1], side="right")
    above = ordered[after[after < len(ordered)]]  # ends the bucket of a value met more than once
    merged = np.union1d(found, above)
    return np.asarray(merged[merged > ordered[0]], np.float64)


def codes_of(values: Numbers, boundaries: Boundaries) -> npt.NDArray[np.int64]:
    """0 where a value is missing (NaN), else 1 + the boundaries that it has reached; int64 [v].

    Compared at the precision of the values: a stored 0.7 lies above a declared boundary 0.7.
    """
    codes = np.searchsorted(boundaries.astype(values.dtype), values, side="right") + 1
    codes[np.isnan(values)] = 0
    return codes


class Coder:
    """`codes_of` for several columns at once, many times faster in pieces of a batch's size.

    A search branches at every step, which a processor cannot foresee; comparing all values with one
    boundary after the other needs no branch. Columns with more than `FEW` boundaries are searched.
    """

    def __init__(self, boundaries: Sequence[Boundaries]) -> None:
        self.boundaries = boundaries
        self._few = np.array([len(bounds) <= FEW for bounds in boundaries], np.bool_)
        short = [bounds for bounds in boundaries if len(bounds) <= FEW]
        # Below every value, but not below NaN, stands −∞; no value reaches the NaN that fills up.
        steps = np.full((1 + max(map(len, short), default=0), len(short), 1), np.nan, np.float32)
        steps[:1] = -np.inf
        for column, bounds in enumerate(short):
            steps[1 : 1 + len(bounds), column, 0] = bounds
        self._steps = steps  # [1 + boundaries, columns, 1]

    def __call__(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
        """Values [columns, n] → codes int64 [columns, n]."""
        short = values if self._few.all() else values[self._few]
        reached = np.zeros(short.shape, np.uint8)
        for step in self._steps:
            reached += short >= step
        codes = np.empty(values.shape, np.int64)
        codes[self._few] = reached
        for column in np.flatnonzero(~self._few).tolist():
            codes[column] = codes_of(values[column], self.boundaries[column])
        return codes


def code_count(boundaries: Boundaries) -> int:
    """Number of codes, 0 for a missing value included."""
    return len(boundaries) + 2


def event_boundaries(store: Store, train: npt.NDArray[np.bool_]) -> dict[str, Boundaries]:
    """Event column → boundaries: the numbers, then the window statistics.

    ``train`` bool [E] are the events that quantiles are taken over.
    """
    declared = {f"number.{name}": spec for name, spec in store.manifest.event_numbers.items()}
    even = Buckets(quantiles=QUANTILES)
    declared |= dict.fromkeys(window_columns(store.manifest.windows), even)
    if not declared:
        return {}
    rows = _spread_over(train)
    return {name: boundaries_of(store.column(name)[rows], spec) for name, spec in declared.items()}


def _spread_over(train: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Rows of at most `SAMPLE` of the marked events, evenly spread."""
    step = max(1, -(-int(np.count_nonzero(train)) // SAMPLE))
    rows, passed = [], 0
    for start in range(0, len(train), PIECE):
        found = np.flatnonzero(train[start : start + PIECE])
        rows.append(start + found[-passed % step :: step])
        passed += len(found)
    return np.concatenate(rows)


def coded_side(
    store: Store, key: Literal["user", "item"], train: npt.NDArray[np.bool_]
) -> SideTable:
    """The side table of users or items, its numbers as further fields.

    They are named ``number:x`` and ``statistic:x``. Quantiles count a row as often as the training
    events, ``train`` bool [E], meet it; a row that they never meet does not count.
    """
    user = key == "user"
    table = store.users if user else store.items
    infos = store.manifest.user_numbers if user else store.manifest.item_numbers
    if not infos:
        return table
    met, codes = np.zeros(len(table.ids), np.int64), store.column(key)
    for start in range(0, len(train), PIECE):
        inside = codes[start : start + PIECE][train[start : start + PIECE]]
        met += np.bincount(inside, minlength=len(met))
    fields, sizes = dict(table.fields), dict(table.sizes)
    for name, info in infos.items():
        boundaries = boundaries_of(table.numbers[name], info.buckets, met)
        field = (STATISTIC if info.statistic else NUMBER) + name
        fields[field] = codes_of(table.numbers[name], boundaries)
        sizes[field] = code_count(boundaries)
    return replace(table, fields=fields, sizes=sizes)
