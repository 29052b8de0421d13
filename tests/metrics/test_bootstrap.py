"""The bootstrap over users against drawing the users and sorting anew."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.arrays import OneClassError
from genrank_cli.metrics.bootstrap import bootstrap_contrast, bootstrap_users, user_multiplicities

Feed = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def feed(events: int, users: int, seed: int = 0) -> Feed:
    """Labels, a weak and tied score, a better one, users in no order."""
    generator = np.random.default_rng(seed)
    user = generator.integers(0, users, events)
    truth = 1 / (1 + np.exp(-generator.normal(0, 1, events) - generator.normal(0, 1, users)[user]))
    labels = generator.random(events) < truth
    weak = np.round(truth + generator.normal(0, 0.5, events), 1)
    return labels, weak, truth + generator.normal(0, 0.2, events), user


def naive(labels: np.ndarray, a: np.ndarray, b: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Differences over the same draws, from the events really repeated."""
    users = np.unique(user).size
    differences = []
    for multiplicity in user_multiplicities(users, 50, seed=7):
        rows = np.repeat(np.arange(labels.size), multiplicity[user].astype(int))
        one, other = (roc_auc_score(labels[rows], scores[rows]) for scores in (a, b))
        differences.append(other - one)
    return np.array(differences)


def test_equals_resampling_by_hand() -> None:
    labels, a, b, user = feed(1500, 60)
    differences = naive(labels, a, b, user)
    interval = bootstrap_users(labels, a, b, user, seed=7, repetitions=50)
    assert interval.low == pytest.approx(np.quantile(differences, 0.025), abs=1e-12)
    assert interval.high == pytest.approx(np.quantile(differences, 0.975), abs=1e-12)
    assert interval.sd == pytest.approx(differences.std(ddof=1) * np.sqrt(60))
    assert interval.mean == pytest.approx(roc_auc_score(labels, b) - roc_auc_score(labels, a))
    assert interval.n == 60


def test_several_seeds_are_averaged() -> None:
    labels, a, b, user = feed(800, 40)
    c = np.random.default_rng(1).random(800)
    both = bootstrap_users(labels, [a, c], [b, b], user, seed=0, repetitions=30)
    means = [bootstrap_users(labels, s, b, user, seed=0, repetitions=30).mean for s in (a, c)]
    assert both.mean == pytest.approx(np.mean(means))
    assert both.sd < bootstrap_users(labels, c, b, user, seed=0, repetitions=30).sd


def test_swapping_the_models_mirrors_the_interval() -> None:
    labels, a, b, user = feed(800, 40)
    forth = bootstrap_users(labels, a, b, user, seed=0)
    back = bootstrap_users(labels, b, a, user, seed=0)
    mirrored = (-back.mean, -back.high, -back.low, back.sd)
    assert (forth.mean, forth.low, forth.high, forth.sd) == pytest.approx(mirrored)
    assert forth.low > 0  # b is the better model, and the sign says so


def test_a_contrast_of_two_models_is_their_difference() -> None:
    labels, a, b, user = feed(800, 40)
    plain = bootstrap_users(labels, a, b, user, seed=3)
    assert bootstrap_contrast(labels, [(-1, a), (1, b)], user, seed=3) == plain
    twice = bootstrap_contrast(labels, [(-2, a), (2, [b, b])], user, seed=3)
    expected = (2 * plain.mean, 2 * plain.low, 2 * plain.high, 2 * plain.sd)
    assert (twice.mean, twice.low, twice.high, twice.sd) == pytest.approx(expected)


def test_a_contrast_of_gains_sees_the_same_users_everywhere() -> None:
    labels, a, b, user = feed(800, 40)
    gains = [(1, b), (-1, a), (-1, b), (1, a)]
    nothing = bootstrap_contrast(labels, gains, user, seed=0)
    assert (nothing.mean, nothing.low, nothing.high) == pytest.approx((0, 0, 0), abs=1e-12)
    with pytest.raises(GenrankError, match="term 1 has 3 values"):
        bootstrap_contrast([0, 1], [(1, [0, 1]), (1, [0, 1, 2])], [0, 1], seed=0)


def test_a_model_equals_itself() -> None:
    labels, a, _, user = feed(800, 40)
    same = bootstrap_users(labels, a, a, user, seed=0)
    assert (same.mean, same.low, same.high) == (0, 0, 0)


def test_follows_its_seed_but_not_row_order_or_user_names() -> None:
    labels, a, b, user = feed(800, 40)
    interval = bootstrap_users(labels, a, b, user, seed=0)
    order = np.random.default_rng(0).permutation(800)
    names = np.array([f"user {code:03d}" for code in user])
    again = bootstrap_users(labels[order], a[order], b[order], names[order], seed=0)
    assert interval == again
    assert interval != bootstrap_users(labels, a, b, user, seed=1)


def test_the_interval_covers_the_true_difference() -> None:
    labels, a, b, _ = feed(100_000, 1000, seed=5)
    truth = roc_auc_score(labels, b) - roc_auc_score(labels, a)
    hits = []
    for seed in range(100):
        sample = feed(2000, 100, seed + 10)
        interval = bootstrap_users(*sample, seed=seed, repetitions=100)
        hits.append(interval.low <= truth <= interval.high)
    assert np.mean(hits) > 0.88


def test_one_user_gives_no_bounds_and_one_class_is_refused() -> None:
    single = bootstrap_users([0, 1], [0, 1], [1, 0], [5, 5], seed=0)
    assert (single.mean, single.n) == (-1.0, 1)
    assert np.isnan([single.low, single.high, single.sd]).all()
    with pytest.raises(OneClassError):
        bootstrap_users([1, 1], [0, 1], [1, 0], [0, 1], seed=0)


def test_draws_of_one_class_are_left_out() -> None:
    interval = bootstrap_users([0, 1], [0, 1], [0, 1], [0, 1], seed=0)
    assert (interval.low, interval.high, interval.n) == (0, 0, 2)


def test_misfits_are_refused_by_name() -> None:
    with pytest.raises(GenrankError, match="scores_b has 3 values for 2 labels"):
        bootstrap_users([0, 1], [0, 1], [0, 1, 2], [0, 1], seed=0)
    with pytest.raises(GenrankError, match="user has 1 values for 2 labels"):
        bootstrap_users([0, 1], [0, 1], [0, 1], [0], seed=0)


@pytest.mark.slow
def test_a_million_events() -> None:
    labels, a, b, user = feed(1_000_000, 30_000)
    start = time.perf_counter()
    interval = bootstrap_users(labels, a, b, user, seed=0)
    assert time.perf_counter() - start < 60  # 2 s alone on a core; sorting anew takes minutes
    assert 0 < interval.low < interval.mean < interval.high
