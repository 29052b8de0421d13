"""Power of the paired t-test against numerical integration, simulation and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import integrate, stats

from genrank_cli.metrics.power import minimum_detectable, paired_t_power


def test_published_value() -> None:
    """Two-sided paired t-test, d = 0.5, n = 34 (G*Power): 0.8077775."""
    assert paired_t_power(0.5, 1.0, 34) == pytest.approx(0.8077775, abs=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5, 34, 1000])
@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0, 5.0])
def test_equals_an_integral_over_the_estimated_deviation(n: int, shift: float) -> None:
    critical = stats.t.ppf(0.975, n - 1)

    def rejected(u: float) -> float:
        deviation = math.sqrt(stats.chi2.ppf(u, n - 1) / (n - 1))
        above = stats.norm.cdf(shift - critical * deviation)
        return float(above + stats.norm.cdf(-shift - critical * deviation))

    expected = integrate.quad(rejected, 0, 1, limit=200)[0]
    assert paired_t_power(shift / math.sqrt(n), 1.0, n) == pytest.approx(expected, abs=1e-6)


def test_equals_simulation() -> None:
    draws = np.random.default_rng(0).normal(0.001, 0.0005, (20_000, 5))
    power = float((stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean())
    assert paired_t_power(0.001, 0.0005, 5) == pytest.approx(power, abs=0.01)


@pytest.mark.parametrize("n", [2, 3, 5, 10, 100, 30_000])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95, 0.999])
def test_the_detectable_effect_has_that_power(n: int, power: float) -> None:
    effect = minimum_detectable(0.02, n, power=power)
    assert paired_t_power(effect, 0.02, n) == pytest.approx(power, abs=1e-9)


def test_no_effect_is_found_as_often_as_the_test_allows() -> None:
    assert paired_t_power(0.0, 1.0, 7) == pytest.approx(0.05)
    assert paired_t_power(0.0, 1.0, 7, confidence=0.99) == pytest.approx(0.01)


def test_edges() -> None:
    assert math.isnan(minimum_detectable(0.1, 1))
    assert math.isnan(minimum_detectable(math.nan, 5))
    assert minimum_detectable(0.0, 5) == 0.0
