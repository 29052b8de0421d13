"""Intervals and tests against scipy, brute force and their own coverage."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.intervals import (
    Interval,
    exact_sign_flip_p,
    geometric_ratio,
    paired_t,
)

finite = st.floats(-1e3, 1e3)


@given(st.lists(finite, min_size=2, max_size=30), st.sampled_from([0.8, 0.95, 0.99]))
def test_paired_t_equals_scipy(values: list[float], confidence: float) -> None:
    interval = paired_t(values, confidence)
    if interval.sd > 1e-9:  # scipy has no interval for equal values
        expected = stats.ttest_1samp(values, 0).confidence_interval(confidence)
        assert interval.low == pytest.approx(expected.low, rel=1e-9, abs=1e-9)
        assert interval.high == pytest.approx(expected.high, rel=1e-9, abs=1e-9)
    assert interval.mean == pytest.approx(np.mean(values))
    assert interval.n == len(values)


def test_the_interval_covers_what_it_says_even_over_three_seeds() -> None:
    draws = np.random.default_rng(0).normal(1.0, 1.0, (1500, 3))
    intervals = [paired_t(draw) for draw in draws]
    covered = np.mean([interval.low <= 1.0 <= interval.high for interval in intervals])
    assert covered == pytest.approx(0.95, abs=0.02)


@pytest.mark.parametrize("interval_of", [paired_t, geometric_ratio])
def test_fewer_than_two_values_give_no_bounds(interval_of: Callable[..., Interval]) -> None:
    one = interval_of([2.0])
    assert one.mean == pytest.approx(2.0)
    assert one.n == 1
    none = interval_of([])
    assert none.n == 0
    assert np.isnan([one.low, one.high, one.sd, none.mean, none.low, none.high]).all()


def test_equal_values_give_a_point() -> None:
    interval = paired_t([0.25] * 4)
    assert (interval.low, interval.mean, interval.high, interval.sd) == (0.25, 0.25, 0.25, 0.0)


@given(st.lists(st.floats(0.1, 10), min_size=2, max_size=20))
def test_inverse_ratios_have_the_inverse_interval(ratios: list[float]) -> None:
    one, inverse = geometric_ratio(ratios), geometric_ratio([1 / ratio for ratio in ratios])
    assert one.mean == pytest.approx(1 / inverse.mean)
    assert one.low == pytest.approx(1 / inverse.high)
    assert one.mean == pytest.approx(stats.gmean(ratios))
    assert one.sd == pytest.approx(inverse.sd)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=9))
def test_sign_flip_equals_brute_force(values: list[int]) -> None:
    sums = [
        sum(s * v for s, v in zip(signs, values, strict=True))
        for signs in product((1, -1), repeat=len(values))
    ]
    expected = np.mean([abs(total) >= abs(sum(values)) for total in sums])
    scaled = [value * 0.1 for value in values]  # inexact: ties must survive rounding
    assert exact_sign_flip_p(scaled) == pytest.approx(expected, abs=1e-15)


def test_sign_flip_equals_scipy() -> None:
    values = np.random.default_rng(0).normal(0.5, 1, 12)
    result = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    assert exact_sign_flip_p(values) == pytest.approx(result.pvalue)


def test_five_seeds_never_reach_five_percent() -> None:
    assert exact_sign_flip_p([1.0] * 5) == 0.0625
    assert exact_sign_flip_p([1.0] * 6) == 0.03125
    assert np.isnan(exact_sign_flip_p([]))


def test_sign_flip_reaches_forty_values_and_stops_there() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, 41)
    assert exact_sign_flip_p(values[:40]) == pytest.approx(
        stats.ttest_1samp(values[:40], 0).pvalue, rel=0.2
    )
    with pytest.raises(GenrankError, match="at most 40"):
        exact_sign_flip_p(values)


@pytest.mark.parametrize("ratios", [[1.0, 0.0], [1.0, -2.0]])
def test_ratios_must_be_positive(ratios: list[float]) -> None:
    with pytest.raises(GenrankError, match="ratios must be positive"):
        geometric_ratio(ratios)


@pytest.mark.parametrize("values", [[1.0, float("nan")], [1.0, float("inf")], [[1.0, 2.0]]])
def test_values_must_be_finite(values: list[float]) -> None:
    for function in (paired_t, geometric_ratio, exact_sign_flip_p):
        with pytest.raises(GenrankError, match="finite"):
            function(values)
