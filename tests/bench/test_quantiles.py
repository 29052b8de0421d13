"""Percentiles and their intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genrank_cli.bench.quantiles import fewest, quantile_interval, quantile_ratio


def test_the_interval_of_a_median_is_the_known_pair_of_order_statistics() -> None:
    # n = 10: between the 2nd and the 9th value lies the median with 97.9 %, 3rd and 8th 89.1 %.
    found = quantile_interval(range(1, 11), 0.5)
    assert (found.mean, found.low, found.high, found.n) == (5.5, 2.0, 9.0, 10)


@pytest.mark.parametrize(("share", "needed"), [(0.99, 368), (0.5, 6), (0.9, 36)])
def test_a_percentile_has_an_upper_bound_from_the_known_number_on(
    share: float, needed: int
) -> None:
    values = np.arange(needed, dtype=float)
    assert fewest(share) == needed
    assert math.isfinite(quantile_interval(values, share).high)
    assert math.isnan(quantile_interval(values[:-1], share).high)


def test_the_lower_bound_is_missing_for_few_values_too() -> None:
    assert math.isnan(quantile_interval(range(5), 0.5).low)
    assert math.isnan(quantile_interval([], 0.5).mean)
    assert quantile_interval([3.0], 0.99).mean == 3.0


@pytest.mark.parametrize(("count", "share"), [(60, 0.5), (60, 0.9), (500, 0.99)])
def test_intervals_hold_the_true_quantile_as_often_as_they_say(count: int, share: float) -> None:
    draw = np.random.default_rng(1)
    true = -math.log(1 - share)
    found = [quantile_interval(draw.exponential(size=count), share) for _ in range(1_000)]
    held = np.mean([x.low <= true <= x.high for x in found])
    assert 0.94 <= held <= 0.995


def test_a_ratio_of_quantiles_is_as_wide_as_both_together() -> None:
    draw = np.random.default_rng(2)
    below, above = draw.exponential(size=500), 2 * draw.exponential(size=500)
    ratio = quantile_ratio(above, below, 0.99)
    assert ratio.low < 2.0 < ratio.high
    top, bottom = quantile_interval(above, 0.99, 0.975), quantile_interval(below, 0.99, 0.975)
    assert ratio.high == top.high / bottom.low
    assert math.isnan(quantile_ratio(above[:400], below, 0.99).high)
