"""Claims of at least some size, of two gains, and of what has no spread, by known vectors."""

from __future__ import annotations

import math

import numpy as np
import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.metrics.noninferiority import Outcome, non_inferiority
from genrank_cli.metrics.power import minimum_detectable
from genrank_cli.studies.evidence import weigh
from genrank_cli.studies.statement import Statement
from genrank_cli.studies.verdict import Judgement, Measured, Verdict, judge_study

FALLS = Statement("difference", -0.01, bound="at_least")
EQUAL = Statement("difference", 0.0, tolerance=0.001)
NO_LOSS = Statement("difference", 0.0, tolerance=0.001, bound="no_loss")
UP = Statement("difference", direction="up")


def one(statement: Statement, effect: Interval, gains: tuple[Interval, ...] = ()) -> Judgement:
    return judge_study([(statement, Measured(effect, gains=gains))])[0]


def between(low: float, high: float) -> Interval:
    """The interval of 5 seeds with these bounds."""
    error = (high - low) / 2 / 2.7764451051977987  # t(0.975) of 4 degrees of freedom
    return Interval((low + high) / 2, low, high, 5, error * math.sqrt(5))


@pytest.mark.parametrize(
    ("low", "high", "verdict", "why"),
    [
        (-0.015, -0.011, Verdict.REPRODUCED, "less than the claimed size is excluded"),
        (-0.012, -0.009, Verdict.WITHIN_NOISE, "the claimed direction, but neither less nor more"),
        (-0.012, 0.002, Verdict.WITHIN_NOISE, "neither less nor more"),
        (-0.009, -0.006, Verdict.CONTRADICTED, "the claimed direction, but less than the size"),
        (-0.009, 0.001, Verdict.CONTRADICTED, "no effect seen, and the claimed size is excluded"),
        (0.001, 0.004, Verdict.CONTRADICTED, "the effect goes the other way"),
    ],
)
def test_by_more_than_is_judged_by_the_size_itself(
    low: float, high: float, verdict: Verdict, why: str
) -> None:
    judged = one(FALLS, between(low, high))
    assert judged.verdict is verdict
    assert why in judged.reason
    assert "reported more than -0.01: " in judged.reason
    mirror = Statement("difference", 0.01, bound="at_least")
    assert one(mirror, between(-high, -low)).verdict is verdict


@pytest.mark.parametrize(
    ("low", "high", "verdict", "equal", "why"),
    [
        (
            0.002,
            0.004,
            Verdict.REPRODUCED,
            Verdict.CONTRADICTED,
            "loss beyond the tolerance is exc",
        ),
        (-0.0005, 0.004, Verdict.REPRODUCED, Verdict.WITHIN_NOISE, "is excluded"),
        (-0.0005, 0.0005, Verdict.REPRODUCED, Verdict.REPRODUCED, "is excluded"),
        (-0.002, 0.004, Verdict.WITHIN_NOISE, Verdict.WITHIN_NOISE, "reaches beyond the tolerance"),
        (-0.004, -0.002, Verdict.CONTRADICTED, Verdict.CONTRADICTED, ": a loss beyond the tol"),
    ],
)
def test_no_loss_is_equality_that_a_gain_does_not_contradict(
    low: float, high: float, verdict: Verdict, equal: Verdict, why: str
) -> None:
    judged = one(NO_LOSS, between(low, high))
    assert judged.verdict is verdict
    assert why in judged.reason
    assert "claimed no loss: " in judged.reason
    assert one(EQUAL, between(low, high)).verdict is equal


def test_no_loss_is_the_test_of_non_inferiority() -> None:
    differences = [-0.0004, 0.0011, -0.0002, 0.0006]
    found = non_inferiority(differences, 0.001)
    weighed = weigh(NO_LOSS, paired_t(differences))
    assert (weighed.support < 0.05) == (found.outcome is Outcome.NOT_INFERIOR)
    assert weighed.support == pytest.approx(found.p)
    smallest = one(NO_LOSS, paired_t(differences)).minimum_detectable
    assert smallest == pytest.approx(found.smallest_margin)
    for wrong in ({"reported": 0.1}, {"direction": "up"}):
        with pytest.raises(GenrankError, match="no_loss belongs to"):
            Statement("difference", bound="no_loss", **wrong)


def test_a_bound_on_a_ratio_is_one_on_its_logarithm() -> None:
    faster = Statement("ratio", 1.25, bound="at_least")
    ratios = geometric_ratio([1.30, 1.31, 1.32])
    assert one(faster, ratios).verdict is Verdict.REPRODUCED
    assert one(faster, geometric_ratio([1.20, 1.21, 1.22])).verdict is Verdict.CONTRADICTED
    factor = 1.25 * math.exp(minimum_detectable(ratios.sd, 3))
    assert one(faster, ratios).minimum_detectable == pytest.approx(factor)


def test_the_smallest_detectable_effect_lies_beyond_the_bound() -> None:
    effect = between(-0.015, -0.011)
    expected = -(0.01 + minimum_detectable(effect.sd, 5))
    assert one(FALLS, effect).minimum_detectable == pytest.approx(expected)


def test_the_p_values_are_those_of_the_shifted_test() -> None:
    """t = (0.0125 − 0.01) / (s / √3) with two degrees of freedom, doubled."""
    effect = paired_t([-0.0120, -0.0125, -0.0130])
    shifted = paired_t([0.0020, 0.0025, 0.0030])
    found = weigh(FALLS, effect)
    assert found.support == pytest.approx(weigh(UP, shifted).support)
    assert found.support == pytest.approx(0.0131, abs=1e-4)
    assert found.support + found.against > 1


def test_bounds_are_adjusted_like_everything_else() -> None:
    barely = Measured(paired_t([-0.0118, -0.0125, -0.0138]))
    assert judge_study([(FALLS, barely)])[0].verdict is Verdict.REPRODUCED
    among = judge_study([(FALLS, barely)] * 3)
    assert {judged.verdict for judged in among} == {Verdict.WITHIN_NOISE}
    assert "among 3 claims (Holm)" in among[0].reason


@pytest.mark.parametrize(
    ("users", "left_open"),
    [((-0.016, -0.0105), ""), ((-0.016, -0.009), "less than the claimed size")],
)
def test_users_are_asked_the_same_question(users: tuple[float, float], left_open: str) -> None:
    measured = Measured(between(-0.015, -0.011), users=Interval(-0.013, *users, 500, 0.1))
    (judged,) = judge_study([(FALLS, measured)])
    assert judged.sample_only is bool(left_open)
    assert left_open in judged.reason


NONE, SOME = between(-0.0004, 0.0004), between(0.004, 0.006)


def test_comparable_gains_need_a_gain() -> None:
    equal = between(-0.0005, 0.0005)
    nothing = one(EQUAL, equal, (NONE, NONE))
    assert nothing.verdict is Verdict.WITHIN_NOISE
    assert "no gain is shown on either side" in nothing.reason
    assert "the gains +0 [-0.0004, +0.0004] and +0 [-0.0004, +0.0004]" in nothing.reason
    loss = between(-0.006, -0.004)
    assert one(EQUAL, equal, (loss, loss)).verdict is Verdict.WITHIN_NOISE
    assert one(EQUAL, equal, (SOME, NONE)).verdict is Verdict.REPRODUCED
    assert one(EQUAL, equal, (NONE, SOME)).verdict is Verdict.REPRODUCED
    assert one(EQUAL, equal).verdict is Verdict.REPRODUCED
    wide = one(EQUAL, between(-0.005, 0.005), (NONE, NONE))
    assert "beyond the tolerance" in wide.reason
    apart = one(EQUAL, between(-0.006, -0.004), (NONE, SOME))
    assert apart.verdict is Verdict.CONTRADICTED


def test_a_gain_is_the_better_of_two() -> None:
    """One-sided p = 0.04 of one side is 0.08 of the better of two: no gain yet."""
    barely = paired_t(np.array([-1.0, 0.0, 1.0]) * 0.001 + 0.00135)
    single = weigh(UP, barely).support / 2
    assert 0.05 / 2 < single < 0.1
    support = weigh(EQUAL, between(-1e-5, 1e-5), gains=(barely, NONE)).support
    assert support == pytest.approx(2 * single)


def test_what_has_no_spread_is_no_test() -> None:
    exact = Statement("ratio", 0.25, tolerance=0.05)
    met, missed = geometric_ratio([0.25, 0.25]), geometric_ratio([0.3, 0.3])
    barely = Measured(paired_t([0.0002, 0.0005, 0.0009, 0.0006, 0.0001]))
    first, second, third = judge_study(
        [(exact, Measured(met)), (exact, Measured(missed)), (UP, barely)]
    )
    assert (first.verdict, second.verdict) == (Verdict.REPRODUCED, Verdict.CONTRADICTED)
    assert third.p == third.p_holm  # the only test of the three
    assert first.p is first.p_holm is first.minimum_detectable is None
    flat = one(UP, paired_t([0.0, 0.0, 0.0]))
    assert flat.verdict is Verdict.WITHIN_NOISE
    assert "smallest detectable" not in flat.reason
