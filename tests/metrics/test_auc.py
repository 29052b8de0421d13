"""AUC against the definition, against sklearn, and on input that it must refuse."""

from __future__ import annotations

import pickle
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.metrics.arrays import OneClassError
from genrank_cli.metrics.auc import auc

events = st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


def by_definition(labels: list[bool], scores: list[float]) -> float:
    positives = [s for y, s in zip(labels, scores, strict=True) if y]
    negatives = [s for y, s in zip(labels, scores, strict=True) if not y]
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / (len(positives) * len(negatives))


@given(events)
def test_equals_its_definition_with_ties(rows: list[tuple[bool, int]]) -> None:
    labels, scores = [y for y, _ in rows], [float(s) for _, s in rows]
    assert auc(labels, scores) == pytest.approx(by_definition(labels, scores), abs=1e-15)


@given(events, st.randoms(use_true_random=False))
def test_row_order_never_matters(rows: list[tuple[bool, int]], random: Random) -> None:
    shuffled = rows[:]
    random.shuffle(shuffled)
    assert auc(*zip(*rows, strict=True)) == auc(*zip(*shuffled, strict=True))


@pytest.mark.parametrize("distinct", [2, 5, 50, 10**9])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_sklearn(distinct: int, weighted: bool) -> None:
    generator = np.random.default_rng(distinct)
    scores = generator.integers(0, distinct, 3000) / distinct
    labels = generator.random(3000) < scores
    weights = generator.exponential(size=3000) if weighted else None
    expected = roc_auc_score(labels, scores, sample_weight=weights)
    assert auc(labels, scores, weights) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_takes_any_label_dtype(dtype: type) -> None:
    assert auc(np.array([0, 1, 0, 1], dtype), np.array([0, 1, 2, 3], np.float32)) == 0.75


def test_landmarks() -> None:
    labels = np.array([0, 0, 1, 1])
    assert auc(labels, [1, 2, 3, 4]) == 1.0
    assert auc(labels, [4, 3, 2, 1]) == 0.0
    assert auc(labels, [7, 7, 7, 7]) == 0.5
    assert auc(labels, [-np.inf, 0, 0, np.inf]) == 0.875


@given(events)
def test_mirrors_and_ignores_monotone_transforms(rows: list[tuple[bool, int]]) -> None:
    labels = np.array([y for y, _ in rows])
    scores = np.array([s for _, s in rows], np.float64)
    value = auc(labels, scores)
    assert auc(labels, -scores) == pytest.approx(1 - value, abs=1e-15)
    assert auc(~labels, scores) == pytest.approx(1 - value, abs=1e-15)
    assert auc(labels, np.exp(scores)) == value


@given(events, st.data())
def test_integer_weights_are_repetitions(rows: list[tuple[bool, int]], data: st.DataObject) -> None:
    labels = np.array([y for y, _ in rows])
    scores = np.array([s for _, s in rows])
    repeats = np.array(
        data.draw(st.lists(st.integers(1, 4), min_size=len(rows), max_size=len(rows)))
    )
    repeated = auc(np.repeat(labels, repeats), np.repeat(scores, repeats))
    assert auc(labels, scores, repeats) == pytest.approx(repeated, abs=1e-15)


@pytest.mark.parametrize(
    ("labels", "weights"),
    [([1, 1], None), ([0, 0], None), ([], None), ([0, 1], [0, 1])],
    ids=["positives", "negatives", "empty", "weightless"],
)
def test_one_class_is_an_error_of_its_own(labels: list[int], weights: list[int] | None) -> None:
    with pytest.raises(OneClassError, match="AUC is undefined") as caught:
        auc(labels, np.arange(len(labels)), weights)
    assert caught.value.exit_code == ExitCode.DATA
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.message, copy.hint) == (caught.value.message, caught.value.hint)


@pytest.mark.parametrize(
    ("labels", "scores", "weights", "message"),
    [
        ([0, 2], [0, 1], None, "labels must be 0 or 1, found 2"),
        ([0, float("nan")], [0, 1], None, "found nan"),
        ([0, 1], [0, float("nan")], None, "scores holds 1 NaN among 2"),
        ([0, 1], [0, 1, 2], None, "scores has 3 values for 2 labels"),
        ([0, 1], [[0, 1]], None, "scores must have one dimension"),
        ([0, 1], [0, 1], [1, -1], "not negative"),
        ([0, 1], [0, 1], [1, float("inf")], "finite"),
    ],
)
def test_refuses_what_it_cannot_rank(
    labels: list[float], scores: list[float], weights: list[float] | None, message: str
) -> None:
    with pytest.raises(GenrankError, match=message):
        auc(labels, scores, weights)
