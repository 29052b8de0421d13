"""Equality and non-inferiority: against scipy's t-tests, by their intervals, by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.equivalence import equivalence
from genrank_cli.metrics.intervals import geometric_ratio, paired_t
from genrank_cli.metrics.noninferiority import Outcome, non_inferior_ratio, non_inferiority
from genrank_cli.metrics.power import (
    equivalence_power,
    minimum_detectable,
    smallest_equivalence_margin,
    smallest_noninferiority_margin,
)

values = st.lists(st.floats(-1, 1), min_size=2, max_size=12)
margins = st.floats(0.01, 2)


def spread(numbers: list[float]) -> bool:
    return float(np.std(numbers)) > 1e-6


@given(values, margins)
def test_equivalence_is_two_tests_of_scipy(differences: list[float], margin: float) -> None:
    assume(spread(differences))
    found = equivalence(differences, margin)
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    assert found.p == pytest.approx(max(above, below), abs=1e-9)
    assert found.interval == paired_t(differences, 0.9)
    if abs(found.p - 0.05) > 1e-9:
        inside = -margin < found.interval.low and found.interval.high < margin
        assert found.equivalent is inside


@given(values, margins)
def test_equivalence_has_no_direction(differences: list[float], margin: float) -> None:
    mirrored = equivalence([-d for d in differences], margin)
    assert mirrored.p == pytest.approx(equivalence(differences, margin).p, abs=1e-9)


@given(values, margins)
def test_not_inferior_is_a_test_of_scipy(differences: list[float], margin: float) -> None:
    assume(spread(differences))
    found = non_inferiority(differences, margin)
    above = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(differences, -margin, alternative="less").pvalue
    assert found.p == pytest.approx(above, abs=1e-9)
    if min(abs(above - 0.05), abs(below - 0.05)) > 1e-9:
        assert (found.outcome is Outcome.NOT_INFERIOR) is bool(above < 0.05)
        assert (found.outcome is Outcome.INFERIOR) is bool(below < 0.05)


@pytest.mark.parametrize(
    ("shift", "outcome", "worse"),
    [
        (0.0000, Outcome.NOT_INFERIOR, False),
        (-0.0007, Outcome.NOT_INFERIOR, True),
        (-0.0010, Outcome.CANNOT_JUDGE, True),
        (-0.0014, Outcome.INFERIOR, True),
        (+0.0500, Outcome.NOT_INFERIOR, False),
    ],
)
def test_the_three_outcomes(shift: float, outcome: Outcome, worse: bool) -> None:
    """New − old, larger is better: a gain of any size is never inferior, a loss of it is."""
    noise = np.array([-2e-4, 1e-4, 0.0, 2e-4, -1e-4])
    found = non_inferiority(noise + shift, 0.001)
    assert found.outcome is outcome
    assert found.worse is worse
    assert found.limit == -0.001


def test_ratios_are_judged_by_logarithms_and_shown_as_ratios() -> None:
    ratios = [0.78, 0.80, 0.79, 0.77, 0.81]
    slow = non_inferior_ratio(ratios, 0.15)
    assert slow.outcome is Outcome.INFERIOR
    assert slow.limit == pytest.approx(0.85)
    assert slow.mean == pytest.approx(stats.gmean(ratios))
    assert slow.high == pytest.approx(geometric_ratio(ratios, 0.9).high)
    logs = non_inferiority(np.log(ratios), -math.log(0.85))
    assert slow.p == pytest.approx(logs.p)
    assert slow.smallest_margin == pytest.approx(1 - math.exp(-logs.smallest_margin))
    assert slow.worse
    assert non_inferior_ratio([1.3, 1.2], 0.2).outcome is Outcome.NOT_INFERIOR
    assert not non_inferior_ratio([1.3, 1.2], 0.2).worse
    assert non_inferior_ratio(ratios, 0.3).outcome is Outcome.NOT_INFERIOR
    assert non_inferior_ratio(ratios, 0.21).outcome is Outcome.CANNOT_JUDGE


def test_too_few_values_cannot_be_judged() -> None:
    for differences in ([], [0.5]):
        assert non_inferiority(differences, 0.1).outcome is Outcome.CANNOT_JUDGE
        assert not non_inferiority(differences, 0.1).worse
        assert math.isnan(non_inferiority(differences, 0.1).p)
        assert not equivalence(differences, 0.1).equivalent
        assert math.isnan(equivalence(differences, 0.1).p)
    assert non_inferior_ratio([], 0.1).outcome is Outcome.CANNOT_JUDGE


def test_values_that_do_not_vary_decide_alone() -> None:
    """The same seeds on the same machine give the same AUC: no change, and no noise."""
    same = non_inferiority([0.0] * 3, 0.001)
    assert (same.outcome, same.p, same.smallest_margin) == (Outcome.NOT_INFERIOR, 0.0, 0.0)
    assert equivalence([0.0] * 3, 0.001).equivalent
    assert non_inferiority([-0.25] * 3, 0.125).outcome is Outcome.INFERIOR
    assert non_inferiority([-0.25] * 3, 0.25).outcome is Outcome.CANNOT_JUDGE
    assert not equivalence([0.25] * 3, 0.25).equivalent


@pytest.mark.parametrize("margin", [0.0, -0.1, math.nan, math.inf])
def test_margins_must_be_positive(margin: float) -> None:
    for test in (equivalence, non_inferiority):
        with pytest.raises(GenrankError, match="margin must be a positive number"):
            test([0.0, 0.1], margin)
    with pytest.raises(GenrankError, match="between 0 and 1"):
        non_inferior_ratio([1.0, 1.1], margin)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_smallest_margins_are_shown_four_times_in_five(n: int) -> None:
    draws = np.random.default_rng(n).normal(0, 2.0, (1500, n))
    equal = smallest_equivalence_margin(2.0, n)
    shown = np.mean([equivalence(draw, equal).equivalent for draw in draws])
    assert shown == pytest.approx(0.8, abs=0.035)
    margin = smallest_noninferiority_margin(2.0, n)
    outcomes = [non_inferiority(draw, margin).outcome for draw in draws[:400]]
    shown = np.mean([outcome is Outcome.NOT_INFERIOR for outcome in outcomes])
    assert shown == pytest.approx(0.8, abs=0.06)


def test_a_difference_at_the_margin_is_called_equal_in_five_percent() -> None:
    draws = np.random.default_rng(0).normal(1.0, 0.5, (2500, 6))
    wrong = np.mean([equivalence(draw, 1.0).equivalent for draw in draws])
    assert 0.037 < wrong < 0.063
    wrong = np.mean([equivalence(draw, 0.6).equivalent for draw in draws[:500]])
    assert wrong < 0.01


def test_smallest_margins_against_large_sample_values() -> None:
    """Known deviations: (1.645 + 0.842) and (1.645 + 1.282) standard errors."""
    assert smallest_noninferiority_margin(1.0, 10_000) == pytest.approx(0.024865, rel=2e-3)
    assert smallest_equivalence_margin(1.0, 10_000) == pytest.approx(0.029264, rel=2e-3)
    assert minimum_detectable(1.0, 10_000) == pytest.approx(0.028016, rel=2e-3)


@pytest.mark.parametrize("n", [2, 3, 10, 300])
def test_smallest_margins_scale_and_have_their_power(n: int) -> None:
    margin = smallest_equivalence_margin(0.02, n, power=0.9)
    assert equivalence_power(margin, 0.02, n) == pytest.approx(0.9, abs=1e-6)
    assert margin > smallest_noninferiority_margin(0.02, n, power=0.9)
    one = smallest_noninferiority_margin(1.0, n)
    assert smallest_noninferiority_margin(0.02, n) == pytest.approx(0.02 * one)


def test_edges_of_the_smallest_sizes() -> None:
    for smallest in (smallest_equivalence_margin, smallest_noninferiority_margin):
        assert math.isnan(smallest(0.1, 1))
        assert math.isnan(smallest(math.nan, 5))
        assert smallest(0.0, 5) == 0.0
