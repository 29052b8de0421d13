"""DeLong's variance against its definition in O(n²), permutation, and its own coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.arrays import OneClassError
from genrank_cli.metrics.auc import auc
from genrank_cli.metrics.bootstrap import bootstrap_users
from genrank_cli.metrics.delong import PairedAuc, delong

Array = np.ndarray


def sample(events: int, seed: int = 0, users: int = 50, taste: float = 0.0) -> tuple[Array, ...]:
    """Labels, a weak tied score, a better one, users whose click rate and scores differ by taste.

    ``taste`` is what a user adds to the better score and to nothing else.
    """
    random = np.random.default_rng(seed)
    user = random.integers(0, users, events)
    truth = random.normal(0, 1, events)
    labels = (truth + random.normal(0, 1, events) + taste * random.normal(0, 1, users)[user]) > 0.3
    weak = np.round(truth + random.normal(0, 1, events), 1)
    better = truth + random.normal(0, 0.7, events) + taste * random.normal(0, 1, users)[user]
    return labels, weak, better, user


def by_definition(labels: Array, a: Array, b: Array) -> tuple[float, float]:
    """AUC difference and its variance from the matrix of all pairs (DeLong 1988, equation 5)."""
    kernels = []
    for scores in (a, b):
        gap = scores[labels][:, None] - scores[~labels][None, :]
        kernels.append((gap > 0) + 0.5 * (gap == 0))
    of_positives = [kernel.mean(axis=1) for kernel in kernels]
    of_negatives = [kernel.mean(axis=0) for kernel in kernels]
    covariance = np.cov(of_positives) / labels.sum() + np.cov(of_negatives) / (~labels).sum()
    variance = float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    return float(kernels[1].mean() - kernels[0].mean()), variance


def error(result: PairedAuc) -> float:
    return result.difference.sd / math.sqrt(result.difference.n)


@pytest.mark.parametrize("events", [12, 101, 400])
def test_equals_its_definition_with_ties(events: int) -> None:
    labels, a, b, _ = sample(events)
    result = delong(labels, a, b)
    gap, variance = by_definition(labels, a, b)
    assert result.auc_a == pytest.approx(roc_auc_score(labels, a))
    assert result.auc_b == pytest.approx(roc_auc_score(labels, b))
    assert result.difference.mean == pytest.approx(gap)
    assert error(result) == pytest.approx(np.sqrt(variance))
    assert result.p == pytest.approx(2 * stats.norm.cdf(-abs(gap) / np.sqrt(variance)))
    half = 1.959963984540054 * np.sqrt(variance)
    bounds = (result.difference.low, result.difference.high)
    assert bounds == pytest.approx((gap - half, gap + half))
    assert result.difference.n == events


def test_a_hand_computed_case() -> None:
    """Positives 3, 4, 1 and negatives 0, 2: shares (1, 1, 1/2) and (1, 2/3); b is constant."""
    result = delong([1, 1, 1, 0, 0], np.zeros(5), [3, 4, 1, 0, 2])
    assert result.difference.mean == pytest.approx(5 / 6 - 1 / 2)
    assert error(result) ** 2 == pytest.approx((1 / 12) / 3 + (1 / 18) / 2)


def test_one_user_an_event_is_the_plain_test() -> None:
    labels, a, b, _ = sample(300)
    plain, single = delong(labels, a, b), delong(labels, a, b, np.arange(300)[::-1])
    assert single.difference.sd == pytest.approx(plain.difference.sd)
    assert single.p == pytest.approx(plain.p)


def test_users_equal_their_definition() -> None:
    """Obuchowski's variance from the pair matrix, user by user."""
    labels, a, b, user = sample(300, users=20, taste=1.0)
    gap, _ = by_definition(labels, a, b)
    sums = []
    for number in range(20):
        inside = user == number
        pair = []
        for scores in (a, b):
            rows, columns = scores[labels], scores[~labels]
            up = scores[labels & inside][:, None] - columns[None, :]
            down = rows[:, None] - scores[~labels & inside][None, :]
            pair.append(
                [
                    ((up > 0) + 0.5 * (up == 0)).mean(axis=1).sum(),
                    ((down > 0) + 0.5 * (down == 0)).mean(axis=0).sum(),
                ]
            )
        counts = np.array([(labels & inside).sum(), (~labels & inside).sum()])
        sums.append(np.subtract(pair[1], pair[0]) - counts * gap)
    x, y = np.array(sums).T
    m, n = labels.sum(), (~labels).sum()
    with_m, with_n = np.unique(user[labels]).size, np.unique(user[~labels]).size
    variance = with_m / (with_m - 1) * (x @ x) / m**2 + with_n / (with_n - 1) * (y @ y) / n**2
    variance += 20 / 19 * 2 * (x @ y) / (m * n)
    result = delong(labels, a, b, user)
    assert error(result) == pytest.approx(np.sqrt(variance))
    assert result.difference.n == 20


def test_users_agree_with_the_bootstrap_where_events_do_not() -> None:
    labels, a, b, user = sample(6000, users=150, taste=1.5)
    resampled = bootstrap_users(labels, a, b, user, seed=0, repetitions=600)
    by_user, by_event = delong(labels, a, b, user), delong(labels, a, b)
    expected = resampled.sd / np.sqrt(150)
    assert error(by_user) == pytest.approx(expected, rel=0.12)
    assert error(by_event) < 0.6 * expected


def test_agrees_with_swapping_the_models_event_by_event() -> None:
    """The permutation test of equal models: each event's pair of ranks is swapped or not."""
    labels, a, b, _ = sample(250, seed=3)
    b = stats.rankdata(a) + 0.35 * stats.rankdata(b)
    ranks = stats.rankdata(a), stats.rankdata(b)
    random = np.random.default_rng(0)
    gaps = []
    for _ in range(1500):
        swapped = random.random(250) < 0.5
        one, other = np.where(swapped, ranks, ranks[::-1])
        gaps.append(auc(labels, one) - auc(labels, other))
    result = delong(labels, a, b)
    extreme = np.mean(np.abs(gaps) >= abs(result.difference.mean))
    assert result.p == pytest.approx(extreme, abs=0.03)


@given(st.integers(0, 1000))
def test_swapping_mirrors_and_monotone_transforms_change_nothing(seed: int) -> None:
    labels, a, b, user = sample(60, seed, users=12)
    forth, back = delong(labels, a, b, user), delong(labels, b, a, user)
    assert (forth.difference.low, forth.difference.high) == pytest.approx(
        (-back.difference.high, -back.difference.low)
    )
    assert forth.p == pytest.approx(back.p)
    assert delong(labels, np.exp(a), b**3, user).difference == forth.difference
    order = np.random.default_rng(seed).permutation(60)
    again = delong(labels[order], a[order], b[order], user[order])
    assert again.difference.sd == pytest.approx(forth.difference.sd)


@pytest.mark.slow
def test_intervals_cover_and_p_is_uniform() -> None:
    """Two equally good models: 5 % of 1,000 tests reject; users need the clustered form."""
    plain, clustered, ignored = [], [], []
    for seed in range(1000):
        random = np.random.default_rng(seed)
        user = np.repeat(np.arange(40), 8)
        truth = random.normal(0, 1, 320)
        labels = truth + random.normal(0, 1, 320) > 0
        a, b = truth + random.normal(0, 1, (2, 320))
        plain.append(delong(labels, a, b).p < 0.05)
        a, b = truth + random.normal(0, 1, (2, 40))[:, user]
        labels = truth + random.normal(0, 1, 40)[user] > 0
        clustered.append(delong(labels, a, b, user).p < 0.05)
        ignored.append(delong(labels, a, b).p < 0.05)
    assert np.mean(plain) == pytest.approx(0.05, abs=0.02)
    assert np.mean(clustered) == pytest.approx(0.05, abs=0.03)
    assert np.mean(ignored) > 0.12


def test_edges() -> None:
    labels = np.array([0, 1, 0, 1], dtype=bool)
    same = delong(labels, [0.1, 0.4, 0.3, 0.2], [1, 4, 3, 2])
    assert (same.difference.mean, same.difference.sd, same.p) == (0, 0, 1)
    sure = delong(labels, [1, 0, 1, 0], [0, 1, 0, 1])
    assert (sure.difference.mean, sure.difference.low, sure.p) == (1, 1, 0)
    single = delong([0, 1, 1], [0, 1, 2], [0, 2, 1])
    assert np.isnan(single.difference.low)
    with pytest.raises(OneClassError):
        delong([1, 1], [0, 1], [1, 0])
    with pytest.raises(GenrankError, match="scores_b has 3 values"):
        delong([0, 1], [0, 1], [0, 1, 2])
    with pytest.raises(GenrankError, match="user has 1 values"):
        delong([0, 1], [0, 1], [0, 1], [3])
