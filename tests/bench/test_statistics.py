"""Intervals for few rounds: known values, coverage, outliers, and what counts as different."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from genrank_cli.bench.statistics import (
    FEWEST_ROUNDS,
    _signed_rank_cut,
    differs,
    drift,
    half_width,
    median_interval,
    outliers,
    ratio_interval,
    spread,
)
from genrank_cli.metrics.intervals import geometric_ratio

# Two-sided critical values of the signed-rank test at 5 %, as printed in every table.
CRITICAL = {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 11: 10, 12: 13, 15: 25, 20: 52}


@pytest.mark.parametrize(("n", "expected"), CRITICAL.items())
def test_the_interval_leaves_out_the_tabulated_number_of_pair_means(n: int, expected: int) -> None:
    assert _signed_rank_cut(n, 0.95) == expected


def test_the_interval_is_the_inverted_test() -> None:
    """A ratio lies inside exactly where scipy's exact test does not reject it."""
    draw = np.random.default_rng(0)
    times, base = draw.lognormal(0.2, 0.1, 11), draw.lognormal(0, 0.1, 11)
    found = ratio_interval(list(times), list(base))
    logs = np.log(times / base)
    for bound, inwards in ((found.low, 1), (found.high, -1)):
        inside, outside = (math.log(bound) + sign * inwards * 1e-9 for sign in (1, -1))
        assert stats.wilcoxon(logs - inside, method="exact").pvalue > 0.05
        assert stats.wilcoxon(logs - outside, method="exact").pvalue <= 0.05


def test_six_rounds_span_their_extremes() -> None:
    found = ratio_interval([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [1.0] * 6)
    assert found.low == pytest.approx(1.0)
    assert found.high == pytest.approx(1.5)


def test_below_six_rounds_it_is_the_t_interval() -> None:
    times, base = [1.0, 1.2, 1.1], [1.0, 1.0, 1.0]
    assert ratio_interval(times, base) == geometric_ratio(times)
    assert math.isnan(ratio_interval([2.0], [1.0]).low)


def test_an_inverse_ratio_has_the_inverse_interval() -> None:
    draw = np.random.default_rng(1)
    times, base = list(draw.lognormal(0.5, 0.1, 9)), list(draw.lognormal(0, 0.1, 9))
    one, other = ratio_interval(times, base), ratio_interval(base, times)
    assert one.mean == pytest.approx(1 / other.mean)
    assert one.low == pytest.approx(1 / other.high)
    assert one.high == pytest.approx(1 / other.low)


def test_the_pace_of_the_machine_cancels() -> None:
    found = ratio_interval([2.0, 20.0, 4.0, 2.0, 6.0, 8.0], [1.0, 10.0, 2.0, 1.0, 3.0, 4.0])
    assert (found.mean, found.low, found.high) == (2.0, 2.0, 2.0)


def test_rounds_must_belong_together() -> None:
    with pytest.raises(ValueError, match="zip"):
        ratio_interval([1.0, 2.0], [1.0])


@pytest.mark.parametrize("n", [6, 8, 12, 20])
@pytest.mark.parametrize(("noise", "hits"), [(0.01, 0.0), (0.03, 0.05)])
def test_coverage_of_the_ratio(n: int, noise: float, hits: float) -> None:
    draw, repetitions = np.random.default_rng(n), 800
    covered = 0
    for _ in range(repetitions):
        sides = np.exp(draw.normal(0, noise, (2, n)))
        hit = draw.random((2, n)) < hits
        sides[hit] *= draw.uniform(1.3, 3, hit.sum())
        found = ratio_interval(list(1.2 * sides[0]), list(sides[1]))
        covered += found.low <= 1.2 <= found.high
    # 95 % less three standard errors of this simulation.
    assert covered / repetitions >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / repetitions)


def test_one_disturbed_round_hardly_moves_the_ratio() -> None:
    base = [1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0, 1.0, 1.01]
    quiet = ratio_interval([1.2 * time for time in base], base)
    disturbed = [1.2 * time for time in base]
    disturbed[4] *= 3
    found = ratio_interval(disturbed, base)
    assert quiet.mean == pytest.approx(1.2)
    assert found.mean == pytest.approx(1.2, rel=0.01)
    assert half_width(found) < 0.05 < half_width(geometric_ratio(np.divide(disturbed, base)))


def test_median_and_its_interval_of_order_statistics() -> None:
    values = [3.0, 1.0, 9.0, 4.0, 5.0, 2.0, 8.0, 7.0, 6.0]
    found = median_interval(values)
    assert (found.mean, found.low, found.high, found.n) == (5.0, 2.0, 8.0, 9)
    six = median_interval(values[:6])
    assert (six.low, six.high) == (1.0, 9.0)
    assert math.isnan(median_interval(values[:5]).low)
    assert median_interval(values[:5]).mean == 4.0
    assert math.isnan(median_interval([]).mean)


def test_half_width_is_a_share() -> None:
    assert half_width(ratio_interval([2.0] * 6, [1.0] * 6)) == 0.0
    spanned = ratio_interval([0.9, 1.0, 1.0, 1.0, 1.0, 1.1], [1.0] * 6)
    assert half_width(spanned) == pytest.approx(0.1, rel=0.01)
    assert half_width(ratio_interval([1.0], [1.0])) == math.inf


def test_different_needs_size_and_significance() -> None:
    base = [1.0, 1.001, 0.999, 1.0, 1.002, 0.998, 1.0, 1.0]

    def found(times: list[float], other: list[float]) -> bool:
        return differs(ratio_interval(times, other, 0.99))

    assert found([1.2 * time for time in base], base)
    assert found(base, [1.2 * time for time in base])
    assert not found([1.01 * time for time in base], base)  # sure, but too small to matter
    noisy = [0.7, 1.6, 1.0, 1.9, 0.8, 1.5, 1.0, 1.3]
    assert not found(noisy, base)  # large, but it may be noise


def test_outliers_are_counted() -> None:
    assert outliers([1.0, 1.1, 1.0, 1.6, 9.0]) == 1
    assert outliers([1.0, 1.0, 1.0, 1.51]) == 1
    assert outliers([1.0, 1.0, 1.0, 1.49]) == 0
    assert outliers([]) == 0


def test_drift_compares_the_last_third_with_the_first() -> None:
    assert drift([1.0, 1.0, 1.0, 1.1, 1.2, 1.2]) == pytest.approx(0.2)
    assert drift([1.2, 1.2, 1.0, 1.0, 0.6, 0.6]) == pytest.approx(-0.5)
    assert drift([1.0, 2.0, 3.0, 4.0, 5.0]) == 0.0
    assert drift([]) == 0.0


def test_spread_is_between_the_quartiles() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0, 5.0]) == pytest.approx(2 / 3)


def test_the_fewest_rounds_give_a_strict_interval() -> None:
    assert _signed_rank_cut(FEWEST_ROUNDS, 0.99) == 0
    assert _signed_rank_cut(FEWEST_ROUNDS - 1, 0.99) < 0
