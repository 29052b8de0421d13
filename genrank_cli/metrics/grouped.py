"""Rank metrics inside groups (a user's or a request's events), without a loop over the groups."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genrank_cli.errors import GenrankError, data_error, unknown_name
from genrank_cli.metrics.arrays import (
    FloatArray,
    IntArray,
    aligned,
    binary_labels,
    real_values,
    run_starts,
)

GroupWeight = Literal["count", "uniform"]


class Grouped(NamedTuple):
    """A mean over groups, and how much of the data it speaks for."""

    value: float  # nan when no group is usable
    groups_used: int
    groups_skipped: int
    event_share: float  # share of all events that lie in the groups used


class _Cells(NamedTuple):
    """Rows sorted by (group, value); a cell is a run of rows equal in both."""

    order: IntArray  # [n] rows in sorted order
    starts: IntArray  # [cells] sorted position of each cell's first row
    group_first: IntArray  # [groups] each group's first cell
    group_starts: IntArray  # [groups] sorted position of each group's first row


def gauc(
    labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, weight: GroupWeight = "count"
) -> Grouped:
    """Mean of the AUCs inside the groups, ties counting one half.

    A group with labels of one class only has no AUC and is skipped; the result says how many were,
    and `value` is nan when all were. `weight`: groups weigh by their number of events (`count`) or
    all the same (`uniform`).

    `labels` [n] in {0, 1}; `scores` [n]; `groups` [n] of any sortable dtype, in any order.
    """
    if weight not in get_args(GroupWeight):
        raise unknown_name("group weight", weight, get_args(GroupWeight))
    positive = binary_labels(labels)
    values = real_values("scores", scores, positive.size)
    keys = aligned("groups", groups, positive.size)
    if not positive.size:
        return _mean_over_groups(np.empty(0), np.empty(0, np.bool_), np.empty(0), weight)
    cells = _sort_into_cells(keys, values)
    size = np.diff(cells.starts, append=positive.size).astype(np.float64)  # [cells]
    positives = np.add.reduceat(positive[cells.order].astype(np.float64), cells.starts)
    negatives = size - positives
    group_positives = np.add.reduceat(positives, cells.group_first)
    group_negatives = np.add.reduceat(negatives, cells.group_first)
    cells_in_group = np.diff(cells.group_first, append=size.size)
    earlier_groups = np.cumsum(group_negatives) - group_negatives
    below = np.cumsum(negatives) - negatives - np.repeat(earlier_groups, cells_in_group)
    wins = np.add.reduceat(positives * (below + negatives / 2), cells.group_first)
    pairs = group_positives * group_negatives
    per_group = np.divide(wins, pairs, out=np.zeros_like(wins), where=pairs > 0)
    return _mean_over_groups(per_group, pairs > 0, group_positives + group_negatives, weight)


def ndcg_at_k(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike, k: int) -> Grouped:
    """Mean over groups of DCG@k / ideal DCG@k, with gain = label and discount 1 / log2(rank + 1).

    Equal scores earn their expectation over all orders of the tied rows (McSherry & Najork 2008),
    so that the order of the rows never matters. Groups without a positive label are skipped and
    counted.

    `labels` [n] ≥ 0, binary or graded; `scores` [n]; `groups` [n]; `k` ≥ 1.
    """
    if k < 1:
        raise GenrankError(f"k of nDCG@k must be at least 1, got {k}")
    gains = real_values("labels", labels, np.size(labels))
    if gains.size and gains.min() < 0:
        raise data_error(f"labels of nDCG must not be negative, found {gains.min():g}")
    values = real_values("scores", scores, gains.size)
    keys = aligned("groups", groups, gains.size)
    if not gains.size:
        return _mean_over_groups(np.empty(0), np.empty(0, np.bool_), np.empty(0), "uniform")
    ranked = _sort_into_cells(keys, -values)
    reached = _discounted_gain(gains, ranked, k)
    ideal = _discounted_gain(gains, _sort_into_cells(keys, -gains), k)
    per_group = np.divide(reached, ideal, out=np.zeros_like(reached), where=ideal > 0)
    group_size = np.diff(ranked.group_starts, append=gains.size).astype(np.float64)
    return _mean_over_groups(per_group, ideal > 0, group_size, "uniform")


def _sort_into_cells(groups: NDArray[Any], values: FloatArray) -> _Cells:
    order = np.lexsort((values, groups))
    sorted_groups = groups[order]
    starts = run_starts(sorted_groups, values[order])
    group_starts = run_starts(sorted_groups)
    return _Cells(order, starts, np.searchsorted(starts, group_starts), group_starts)


def _discounted_gain(gains: FloatArray, cells: _Cells, k: int) -> FloatArray:
    """DCG@k of each group [groups]: a tied cell's rows all earn the cell's mean discount."""
    size = np.diff(cells.starts, append=gains.size)
    rank = np.arange(gains.size) - np.repeat(
        cells.group_starts, np.diff(cells.group_starts, append=gains.size)
    )
    discount = np.where(rank < k, 1 / np.log2(rank + 2), 0.0)
    mean_discount = np.add.reduceat(discount, cells.starts) / size
    gain = np.add.reduceat(gains[cells.order], cells.starts)
    return np.add.reduceat(gain * mean_discount, cells.group_first)


def _mean_over_groups(
    values: FloatArray, used: NDArray[np.bool_], sizes: FloatArray, weight: GroupWeight
) -> Grouped:
    """Weighted mean of `values` [groups] where `used`; `sizes` are the groups' event counts."""
    count = int(used.sum())
    skipped = int(used.size) - count
    if not count:
        return Grouped(float("nan"), 0, skipped, 0.0)
    weights = sizes[used] if weight == "count" else np.ones(count)
    value = float(values[used] @ weights / weights.sum())
    return Grouped(value, count, skipped, float(sizes[used].sum() / sizes.sum()))
