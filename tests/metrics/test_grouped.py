"""Metrics inside groups against a plain loop over the groups."""

from __future__ import annotations

import time
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import ndcg_score, roc_auc_score

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.auc import auc
from genrank_cli.metrics.grouped import GroupWeight, gauc, ndcg_at_k

rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(-2, 2), st.integers(0, 4)), min_size=1, max_size=40
)


def feed(events: int, groups: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, heavily tied scores and unsorted groups."""
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 8, events) / 8
    labels = (generator.random(events) < 0.1 + 0.6 * scores).astype(np.uint8)
    return labels, scores, generator.integers(0, groups, events)


@pytest.mark.parametrize("weight", ["count", "uniform"])
def test_gauc_equals_a_loop(weight: GroupWeight) -> None:
    labels, scores, groups = feed(2000, 400)
    values, sizes = [], []
    for group in np.unique(groups):
        inside = groups == group
        if 0 < labels[inside].sum() < inside.sum():
            values.append(roc_auc_score(labels[inside], scores[inside]))
            sizes.append(inside.sum())
    result = gauc(labels, scores, groups, weight)
    weights = sizes if weight == "count" else None
    assert result.value == pytest.approx(np.average(values, weights=weights), abs=1e-12)
    assert result.groups_used == len(values)
    assert result.groups_skipped == np.unique(groups).size - len(values)
    assert result.event_share == pytest.approx(sum(sizes) / labels.size)


def test_ties_earn_one_half_in_any_row_order() -> None:
    """The same predictions must not give 0.50 or 1.00 by row order: 0.75 is right."""
    labels, scores = np.array([1, 0, 0]), np.array([0.5, 0.5, 0.1])
    for order in ([0, 1, 2], [1, 0, 2], [2, 1, 0], [1, 2, 0]):
        assert gauc(labels[order], scores[order], np.zeros(3)).value == 0.75


def test_equal_predictions_give_one_half() -> None:
    labels, _, groups = feed(1000, 50)
    assert gauc(labels, np.full(1000, 0.3), groups).value == 0.5


@given(rows, st.randoms(use_true_random=False))
def test_row_order_and_group_names_never_matter(
    data: list[tuple[int, int, int]], random: Random
) -> None:
    shuffled = data[:]
    random.shuffle(shuffled)
    gains, scores, groups = (np.array(column) for column in zip(*data, strict=True))
    gains2, scores2, groups2 = (np.array(column) for column in zip(*shuffled, strict=True))
    names = np.array(["e", "d", "c", "b", "a"])[groups2]
    one, other = gauc(gains > 1, scores, groups), gauc(gains2 > 1, scores2, names)
    assert one == pytest.approx(other, abs=1e-12, nan_ok=True)
    one, other = ndcg_at_k(gains, scores, groups, 3), ndcg_at_k(gains2, scores2, names, 3)
    assert one == pytest.approx(other, abs=1e-12, nan_ok=True)


def test_one_group_is_the_plain_auc() -> None:
    labels, scores, _ = feed(500, 1)
    assert gauc(labels, scores, np.zeros(500)).value == pytest.approx(auc(labels, scores))


def test_groups_of_one_class_are_skipped_and_counted() -> None:
    result = gauc([1, 1, 0, 1, 0], [1, 2, 3, 5, 4], ["a", "a", "b", "c", "c"])
    assert result == (1.0, 1, 2, 0.4)


@pytest.mark.parametrize("labels", [[], [1, 1], [0, 1]], ids=["empty", "one class", "singletons"])
def test_no_usable_group_is_nan(labels: list[int]) -> None:
    result = gauc(labels, np.arange(len(labels)), np.arange(len(labels)))
    assert np.isnan(result.value)
    assert result[1:] == (0, len(labels), 0.0)


def test_unknown_weight_names_the_allowed_ones() -> None:
    with pytest.raises(GenrankError, match="allowed: count, uniform"):
        gauc([0, 1], [0, 1], [0, 0], "counts")  # type: ignore[arg-type]


@given(rows, st.integers(1, 6))
def test_ndcg_equals_sklearn_with_ties(data: list[tuple[int, int, int]], k: int) -> None:
    gains, scores, groups = (np.array(column, np.float64) for column in zip(*data, strict=True))
    values = [
        # A lone row is its own ideal; sklearn refuses it.
        ndcg_score([gains[inside]], [scores[inside]], k=k) if inside.sum() > 1 else 1.0
        for inside in (groups == group for group in np.unique(groups))
        if gains[inside].any()
    ]
    result = ndcg_at_k(gains, scores, groups, k)
    assert result.groups_used == len(values)
    assert result.value == pytest.approx(np.mean(values) if values else np.nan, nan_ok=True)


def test_ndcg_by_hand() -> None:
    assert ndcg_at_k([0, 1], [2, 1], [0, 0], k=2).value == pytest.approx(1 / np.log2(3))
    assert ndcg_at_k([0, 1], [2, 1], [0, 0], k=1).value == 0.0
    assert ndcg_at_k([0, 1], [1, 1], [0, 0], k=1).value == 0.5
    assert np.isnan(ndcg_at_k([], [], [], k=1).value)


@pytest.mark.parametrize(("labels", "k", "message"), [([0, 1], 0, "k of nDCG"), ([0, -1], 1, "-1")])
def test_ndcg_refuses(labels: list[int], k: int, message: str) -> None:
    with pytest.raises(GenrankError, match=message):
        ndcg_at_k(labels, [0, 1], [0, 0], k)


@pytest.mark.slow
def test_a_million_events_in_a_hundred_thousand_groups() -> None:
    labels, scores, groups = feed(1_000_000, 100_000)
    start = time.perf_counter()
    result = gauc(labels, scores, groups)
    assert time.perf_counter() - start < 10  # 0.3 s alone on a core; a loop takes minutes
    assert result.groups_used + result.groups_skipped == np.unique(groups).size
