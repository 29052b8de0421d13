"""Verdicts on a grid of claims and intervals, and what must hold for all of them."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.metrics.power import minimum_detectable
from genrank_cli.studies.claims import Claim
from genrank_cli.studies.statement import EffectKind, Statement
from genrank_cli.studies.verdict import Judgement, Measured, Verdict, contrast, judge_study

EFFECT = 0.0010
Values = Mapping[int, float]
sizes = st.floats(1e-4, 10)
bounds = st.tuples(st.floats(-20, 20), st.floats(-20, 20)).map(sorted)


def judge(
    reported: float, interval: Interval | None, kind: EffectKind, tolerance: float | None = None
) -> Judgement:
    """One claim by itself."""
    statement = Statement(kind, reported, tolerance=tolerance)
    return judge_study([(statement, Measured(interval))])[0]


def judge_claim(claim: Claim, base: Values, variant: Values) -> Judgement:
    """One claim by itself, from the values of both sides."""
    assert claim.reported is not None
    interval = contrast(claim.kind, [(1, variant), (-1, base)])
    return judge(claim.reported, interval, claim.kind, claim.tolerance)


def between(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high, 5, 0.01)


@pytest.mark.parametrize(
    ("low", "high", "verdict", "why"),
    [
        (0.0006, 0.0014, Verdict.REPRODUCED, "claimed direction"),
        (0.0001, 0.0006, Verdict.REPRODUCED, "claimed direction"),
        (0.0015, 0.0025, Verdict.REPRODUCED, "larger than claimed"),
        (0.0002, 0.0009, Verdict.REPRODUCED, ", smaller than claimed"),
        (-0.0002, 0.0012, Verdict.WITHIN_NOISE, "smallest detectable effect is +0.017"),
        (-0.0100, 0.0100, Verdict.WITHIN_NOISE, "neither"),
        (0.0000, 0.0020, Verdict.WITHIN_NOISE, "neither"),
        (0.0001, 0.0004, Verdict.CONTRADICTED, "less than half"),
        (-0.0003, 0.0004, Verdict.CONTRADICTED, "half of the claimed size is excluded"),
        (0.0000, 0.0000, Verdict.CONTRADICTED, "no effect seen"),
        (-0.0014, -0.0006, Verdict.CONTRADICTED, "other way"),
    ],
)
def test_every_case_and_its_mirror(low: float, high: float, verdict: Verdict, why: str) -> None:
    judgement = judge(EFFECT, between(low, high), "difference")
    assert judgement.verdict is verdict
    assert why in judgement.reason
    assert judge(-EFFECT, between(-high, -low), "difference").verdict is verdict


def test_a_negative_effect_contradicts_a_positive_claim() -> None:
    """From raw values per seed, so that a swapped subtraction anywhere would show."""
    claim = auc_claim(reported=0.0009)
    base = {seed: 0.7 + 0.01 * seed for seed in range(5)}
    worse = {seed: value - 0.0009 - 1e-5 * seed for seed, value in base.items()}
    better = {seed: value + 0.0009 + 1e-5 * seed for seed, value in base.items()}
    assert judge_claim(claim, base, worse).verdict is Verdict.CONTRADICTED
    assert judge_claim(claim, base, better).verdict is Verdict.REPRODUCED


def test_a_slowdown_contradicts_a_speed_up() -> None:
    claim = Claim(
        id="s", variant="v", metric="speed", kind="ratio", reported=1.25, source="a paper"
    )
    base = {round_: 100.0 + round_ for round_ in range(8)}
    noise = np.random.default_rng(0).lognormal(0, 0.01, 8)
    for factor, verdict in [
        (1.25, Verdict.REPRODUCED),
        (1.6, Verdict.REPRODUCED),
        (1.05, Verdict.CONTRADICTED),
        (1 / 1.25, Verdict.CONTRADICTED),
    ]:
        changed = {round_: base[round_] * factor * noise[round_] for round_ in base}
        assert judge_claim(claim, base, changed).verdict is verdict


@given(sizes, bounds)
def test_the_sign_of_the_claim_is_a_mirror(size: float, ends: list[float]) -> None:
    low, high = ends
    one = judge(size, between(low, high), "difference")
    mirror = judge(-size, between(-high, -low), "difference")
    assert one.verdict is mirror.verdict
    assert one.minimum_detectable == -mirror.minimum_detectable  # type: ignore[operator]


@given(st.floats(-2, 2).filter(lambda effect: abs(effect) > 1e-3), bounds)
def test_ratios_are_judged_by_their_logarithms(effect: float, ends: list[float]) -> None:
    low, high = ends
    ratio = Interval(math.exp((low + high) / 2), math.exp(low), math.exp(high), 5, 0.01)
    verdict = judge(math.exp(effect), ratio, "ratio").verdict
    share = effect / 2
    if min(abs(low), abs(high), abs(low - share), abs(high - share)) > 1e-9:
        assert verdict is judge(effect, between(low, high), "difference").verdict


@given(sizes, bounds)
def test_the_verdict_says_what_the_interval_excludes(size: float, ends: list[float]) -> None:
    low, high = ends
    assume(min(abs(low), abs(high - size / 2)) > 1e-9 * (1 + high - low))  # a bound is no test
    verdict = judge(size, between(low, high), "difference").verdict
    holds_half_or_more = high >= size / 2
    assert (verdict is Verdict.CONTRADICTED) is not holds_half_or_more
    if verdict is Verdict.REPRODUCED:
        assert low > 0
    if verdict is Verdict.WITHIN_NOISE:
        assert low <= 0 < high


@given(sizes, bounds, st.floats(0, 5))
def test_a_larger_effect_is_never_a_worse_verdict(
    size: float, ends: list[float], up: float
) -> None:
    rank = [Verdict.CONTRADICTED, Verdict.WITHIN_NOISE, Verdict.REPRODUCED]
    low, high = ends
    one = judge(size, between(low, high), "difference").verdict
    other = judge(size, between(low + up, high + up), "difference").verdict
    assert rank.index(one) <= rank.index(other)


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (-0.0009, 0.0008, Verdict.REPRODUCED),
        (-0.0005, -0.0001, Verdict.REPRODUCED),
        (-0.0020, 0.0005, Verdict.WITHIN_NOISE),
        (-0.0100, 0.0100, Verdict.WITHIN_NOISE),
        (-0.0100, -0.0015, Verdict.CONTRADICTED),
        (0.0015, 0.0100, Verdict.CONTRADICTED),
    ],
)
def test_a_claim_of_equality_has_a_tolerance(low: float, high: float, verdict: Verdict) -> None:
    assert judge(0.0, between(low, high), "difference", tolerance=0.001).verdict is verdict
    shifted = between(0.5 + low, 0.5 + high)
    assert judge(0.5, shifted, "difference", tolerance=0.001).verdict is verdict


def test_the_tolerance_of_a_ratio_is_a_factor_both_ways() -> None:
    def verdict(low: float, high: float) -> Verdict:
        return judge(1.0, between(low, high), "ratio", tolerance=0.25).verdict

    assert verdict(0.81, 1.24) is Verdict.REPRODUCED
    assert verdict(0.70, 1.24) is Verdict.WITHIN_NOISE
    assert verdict(0.60, 0.79) is Verdict.CONTRADICTED


@pytest.mark.parametrize(("kind", "reported"), [("difference", 0.0), ("ratio", 1.0)])
def test_no_effect_without_a_tolerance_is_refused(kind: str, reported: float) -> None:
    with pytest.raises(GenrankError, match="needs a tolerance"):
        judge(reported, between(0.9, 1.1), kind)  # type: ignore[arg-type]


def test_without_an_interval_there_is_a_reason() -> None:
    statement = Statement("difference", 0.003)
    online = judge_study([(statement, Measured(None, missing="reported of production only"))])[0]
    assert online.verdict is Verdict.NOT_TESTABLE
    assert (online.reason, online.minimum_detectable) == ("reported of production only", None)
    for interval in (paired_t([0.1]), paired_t([]), geometric_ratio([1.2])):
        single = judge(1.25, interval, "ratio")
        assert single.verdict is Verdict.NOT_TESTABLE
        assert f"{interval.n} paired value(s)" in single.reason


def test_the_smallest_detectable_effect_is_in_the_unit_of_the_claim() -> None:
    values = [0.0008, 0.0012, 0.0004, 0.0010]
    interval = paired_t(values)
    expected = minimum_detectable(interval.sd, 4)
    assert judge(0.001, interval, "difference").minimum_detectable == expected
    assert judge(-0.001, interval, "difference").minimum_detectable == -expected
    ratios = geometric_ratio([1.2, 1.3, 1.25])
    factor = math.exp(minimum_detectable(ratios.sd, 3))
    assert judge(1.25, ratios, "ratio").minimum_detectable == pytest.approx(factor)
    assert judge(0.80, ratios, "ratio").minimum_detectable == pytest.approx(1 / factor)


def test_the_reason_shows_the_numbers() -> None:
    reason = judge(0.0009, between(0.0004, 0.0014), "difference").reason
    assert reason.startswith("measured +0.0009 [+0.0004, +0.0014], reported +0.0009: ")
    reason = judge(1.25, between(1.1, 1.3), "ratio").reason
    assert reason.startswith("measured 1.2× [1.1×, 1.3×], reported 1.25×: ")


def test_symbols_differ_and_are_ascii() -> None:
    assert [verdict.symbol for verdict in Verdict] == ["+", "~", "x", "?"]


def auc_claim(reported: float, tolerance: float | None = None) -> Claim:
    return Claim(
        id="c",
        variant="alibi",
        metric="auc",
        kind="difference",
        reported=reported,
        tolerance=tolerance,
        source="a paper",
    )


def test_only_shared_seeds_are_compared_each_with_itself() -> None:
    base = {0: 0.70, 1: 0.80, 2: 0.75, 9: 0.10}
    variant = {2: 0.7512, 1: 0.8011, 0: 0.7010, 7: 0.99}
    interval = contrast("difference", [(1, variant), (-1, base)])
    assert interval.n == 3
    assert interval.mean == pytest.approx(0.0011)
    assert judge_claim(auc_claim(0.0009), base, variant).verdict is Verdict.REPRODUCED
    ratio = contrast("ratio", [(1, variant), (-1, base)])
    assert ratio.mean == pytest.approx((0.7512 / 0.75 * 0.8011 / 0.8 * 0.701 / 0.7) ** (1 / 3))


def test_a_claim_of_equality_is_judged_by_its_tolerance() -> None:
    base = {0: 0.70, 1: 0.71, 2: 0.72}
    variant = {0: 0.7001, 1: 0.7099, 2: 0.7200}
    assert judge_claim(auc_claim(0.0, 0.001), base, variant).verdict is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reported": 0.0}, "needs a tolerance"),
        ({"kind": "ratio", "reported": 1.0}, "needs a tolerance"),
        ({"kind": "ratio", "reported": -1.0}, "must be positive"),
        ({"reported": math.nan}, "finite"),
        ({"tolerance": 0.0}, "greater than 0"),
        ({"reported": None, "direction": "up", "tolerance": 0.1}, "around a reported one"),
        ({"bound": "at_least", "tolerance": 0.1}, "without a tolerance"),
        ({"slice": "cold-items", "task": "others"}, "leave task out"),
        ({"metric": "parameters", "task": "others"}, "belongs to no task"),
        ({"metric": "flops.attention", "task": "others"}, "belongs to no task"),
        ({"metric": "gauc"}, "'auc' or 'speed'"),
    ],
)
def test_claims_that_cannot_be_judged_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Claim.model_validate(auc_claim(0.001).model_dump() | changes)
