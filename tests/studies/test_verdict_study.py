"""Several claims of one study, directions, gains, and what the users' interval adds."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.equivalence import equivalence
from genrank_cli.metrics.holm import holm
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.metrics.power import minimum_detectable, smallest_equivalence_margin
from genrank_cli.studies.evidence import weigh
from genrank_cli.studies.statement import Statement
from genrank_cli.studies.verdict import Judgement, Measured, Verdict, contrast, judge_study

UP = Statement("difference", direction="up")
DOWN = Statement("difference", direction="down")
CLAIM = Statement("difference", 0.001)
EQUAL = Statement("difference", 0.0, tolerance=0.001)
seeds = st.lists(st.floats(-0.01, 0.01), min_size=2, max_size=8)


def noisy(mean: float, sd: float = 0.0002, n: int = 5, seed: int = 0) -> Interval:
    """An interval with exactly this mean and deviation."""
    draw = np.random.default_rng(seed).normal(0, 1, n)
    draw = (draw - draw.mean()) / draw.std(ddof=1)
    return paired_t(mean + sd * draw)


def one(
    statement: Statement,
    effect: Interval,
    users: Interval | None = None,
    premise: Interval | None = None,
) -> Judgement:
    return judge_study([(statement, Measured(effect, users, premise))])[0]


def test_a_single_claim_is_not_adjusted() -> None:
    judged = one(CLAIM, noisy(0.001))
    assert judged.verdict is Verdict.REPRODUCED
    assert judged.p == judged.p_holm
    assert judged.minimum_detectable == pytest.approx(minimum_detectable(0.0002, 5))


def test_holm_takes_back_what_only_chance_may_have_given() -> None:
    """p = 0.044 alone: enough for one claim, not for the weakest of three that are not sure."""
    barely = noisy(0.00026)
    statement = Statement("difference", 0.0004)
    alone = one(statement, barely)
    assert alone.verdict is Verdict.REPRODUCED
    assert 0.02 < (alone.p or 0) < 0.05
    among = judge_study([(statement, Measured(barely))] * 3)
    assert [judged.verdict for judged in among] == [Verdict.WITHIN_NOISE] * 3
    for judged in among:
        assert judged.p == alone.p
        assert judged.p_holm == pytest.approx(3 * (alone.p or 0))
        assert "reproduced if judged alone, but not among 3 claims (Holm)" in judged.reason
        assert judged.minimum_detectable == pytest.approx(
            minimum_detectable(0.0002, 5, confidence=1 - 0.05 / 3)
        )


def test_clear_claims_make_room_for_the_others() -> None:
    """Step-down: after two sure rejections the third is tested at the full level."""
    barely, sure = Measured(noisy(0.00026)), Measured(noisy(0.01))
    statement = Statement("difference", 0.0004)
    judged = judge_study([(UP, sure), (statement, barely), (UP, sure)])
    assert [each.verdict for each in judged] == [Verdict.REPRODUCED] * 3
    assert judged[1].p_holm == judged[1].p


def test_contradictions_are_adjusted_too() -> None:
    barely = noisy(-0.00026)
    assert one(UP, barely).verdict is Verdict.CONTRADICTED
    assert (one(UP, barely).p or 1) < 0.05  # of "is it excluded?", not of "is it shown?"
    among = judge_study([(UP, Measured(barely))] * 4)
    assert {judged.verdict for judged in among} == {Verdict.WITHIN_NOISE}
    assert "contradicted if judged alone" in among[0].reason


def test_claims_that_could_not_be_tested_do_not_count() -> None:
    untested = [Measured(None, missing="not here"), Measured(paired_t([0.1]))]
    barely = Measured(noisy(0.00026))
    judged = judge_study([(UP, barely), (UP, untested[0]), (UP, untested[1])])
    assert [each.verdict for each in judged] == [
        Verdict.REPRODUCED,
        Verdict.NOT_TESTABLE,
        Verdict.NOT_TESTABLE,
    ]
    assert judged[0].p == judged[0].p_holm
    assert judged[1].reason == "not here"
    assert "1 paired value(s)" in judged[2].reason
    assert judged[1].p is judged[1].p_holm is judged[1].minimum_detectable is None
    assert judge_study([]) == []


@settings(deadline=None)  # the first study of n seeds searches its smallest effect
@given(st.lists(seeds, min_size=1, max_size=4))
def test_the_adjusted_p_is_holms(effects: list[list[float]]) -> None:
    claims = [(CLAIM, Measured(paired_t(values))) for values in effects]
    varying = [paired_t(values).sd > 0 for values in effects]  # the others are no tests
    weighed = [weigh(CLAIM, paired_t(values)) for values in effects]
    shown, excluded = (
        holm([p if test else math.nan for p, test in zip(p_values, varying, strict=True)])
        for p_values in ([w.support for w in weighed], [w.against for w in weighed])
    )
    for judged, support, against in zip(judge_study(claims), shown, excluded, strict=True):
        expected = against if judged.verdict is Verdict.CONTRADICTED else support
        if math.isnan(expected):
            assert judged.p is judged.p_holm is judged.minimum_detectable is None
            continue
        assert judged.p_holm == expected
        if judged.verdict is Verdict.REPRODUCED:
            assert support < 0.05


@settings(deadline=None)  # as above
@given(seeds, st.sampled_from([0.002, 0.005, 0.02]))
def test_equality_is_reproduced_just_where_tost_rejects(values: list[float], t: float) -> None:
    found = equivalence(values, t)
    judged = one(Statement("difference", 0.0, tolerance=t), paired_t(values))
    if abs(found.p - 0.05) > 1e-6:
        assert (judged.verdict is Verdict.REPRODUCED) is found.equivalent
    if judged.p is not None and judged.verdict is not Verdict.CONTRADICTED:
        assert judged.p == pytest.approx(found.p, abs=1e-9)


def test_equality_uses_the_ninety_percent_interval_and_shows_its_own_smallest_size() -> None:
    effect = noisy(0.0, sd=0.00092)
    assert effect.high > 0.001 > paired_t([0.0]).mean  # the 95 % interval reaches beyond
    judged = one(EQUAL, effect)
    assert judged.verdict is Verdict.REPRODUCED
    assert judged.minimum_detectable == pytest.approx(smallest_equivalence_margin(0.00092, 5))
    wide = one(EQUAL, noisy(0.0, sd=0.005))
    assert wide.verdict is Verdict.WITHIN_NOISE
    assert "smallest detectable tolerance is +0.008" in wide.reason


@pytest.mark.parametrize(
    ("mean", "verdict", "why"),
    [
        (0.001, Verdict.REPRODUCED, "no effect is excluded"),
        (0.0001, Verdict.WITHIN_NOISE, "neither direction is excluded"),
        (-0.001, Verdict.CONTRADICTED, "goes the other way"),
    ],
)
def test_a_direction_needs_no_number(mean: float, verdict: Verdict, why: str) -> None:
    judged = one(UP, noisy(mean))
    mirror = one(DOWN, noisy(-mean))
    assert judged.verdict is mirror.verdict is verdict
    assert why in judged.reason
    assert ", claimed more: " in judged.reason
    assert ", claimed less: " in mirror.reason
    assert judged.minimum_detectable == pytest.approx(-(mirror.minimum_detectable or 0))
    ratio = Statement("ratio", direction="up")
    faster = geometric_ratio(np.exp(mean * 100 + np.array([-0.01, 0.01, 0.0])))
    assert one(ratio, faster).verdict is verdict


def test_twice_the_gain_is_judged_by_a_contrast() -> None:
    """The generative gain 0.004, the DLRM's 0.0015: twice as large, and not three times."""
    random = np.random.default_rng(0)
    base = {seed: 0.7 + 0.01 * random.normal() for seed in range(6)}
    with_it = {seed: auc + 0.004 + 1e-4 * random.normal() for seed, auc in base.items()}
    dlrm = {seed: 0.68 + 0.01 * random.normal() for seed in range(6)}
    dlrm_with = {seed: auc + 0.0015 + 1e-4 * random.normal() for seed, auc in dlrm.items()}
    gain = contrast("difference", [(1, with_it), (-1, base)])

    def verdict(factor: float) -> Verdict:
        terms = [(1.0, with_it), (-1.0, base), (-factor, dlrm_with), (factor, dlrm)]
        return one(UP, contrast("difference", terms), premise=gain).verdict

    assert gain.mean == pytest.approx(0.004, abs=2e-4)
    assert verdict(2.0) is Verdict.REPRODUCED
    assert verdict(3.0) is Verdict.CONTRADICTED


def test_a_gain_that_is_not_there_is_not_twice_another() -> None:
    """A DLRM that loses makes the contrast positive; the claim is still about a gain."""
    contrast_ = noisy(0.004)
    unsure = one(UP, contrast_, premise=noisy(0.0001))
    assert unsure.verdict is Verdict.WITHIN_NOISE
    assert "the gain behind it is not shown" in unsure.reason
    loss = one(UP, contrast_, premise=noisy(-0.002))
    assert loss.verdict is Verdict.CONTRADICTED
    assert "the gain behind it goes the other way" in loss.reason
    assert one(UP, contrast_, premise=noisy(0.002)).verdict is Verdict.REPRODUCED
    single = judge_study([(UP, Measured(contrast_, premise=paired_t([0.1])))])[0]
    assert single.verdict is Verdict.NOT_TESTABLE


def test_contrasts_pair_by_the_keys_that_all_have() -> None:
    a, b, c = {0: 1.0, 1: 2.0, 2: 4.0}, {2: 1.0, 0: 0.5, 1: 7.0}, {0: 2.0, 2: 3.0, 5: 9.0}
    effect = contrast("difference", [(1, a), (-2, b), (1, c)])
    assert effect == paired_t([1 - 1 + 2, 4 - 2 + 3])
    ratio = contrast("ratio", [(1, a), (-1, b), (-1, c)])
    assert ratio.mean == pytest.approx(math.sqrt(1 / 0.5 / 2 * 4 / 1 / 3))
    assert contrast("difference", [(1, a), (1, {7: 1.0})]).n == 0


def test_the_users_interval_is_shown_and_decides_nothing() -> None:
    wide = Interval(0.001, -0.0004, 0.0024, 900, 0.02)
    alone = one(CLAIM, noisy(0.001))
    judged = one(CLAIM, noisy(0.001), users=wide)
    assert judged.verdict is alone.verdict is Verdict.REPRODUCED
    assert judged.p == alone.p
    assert judged.sample_only
    assert "(users [-0.0004, +0.0024])" in judged.reason
    assert "about these test users only: resampling them does not exclude no effect" in (
        judged.reason
    )
    narrow = one(CLAIM, noisy(0.001), users=replace(wide, low=0.0002))
    assert narrow.sample_only is False
    assert "these test users" not in narrow.reason
    assert alone.sample_only is None
    one_user = one(CLAIM, noisy(0.001), users=Interval(0.001, math.nan, math.nan, 1, math.nan))
    assert one_user.sample_only is None
    assert "users" not in one_user.reason


@pytest.mark.parametrize(
    ("statement", "mean", "users", "left_open"),
    [
        (CLAIM, -0.001, (-0.003, 0.0008), "half of the claimed size"),
        (CLAIM, -0.001, (-0.003, 0.0004), ""),
        (UP, -0.001, (-0.003, 0.0004), "no effect"),
        (UP, -0.001, (-0.003, -0.0004), ""),
        (DOWN, -0.001, (-0.003, 0.0004), "no effect"),
        (DOWN, -0.001, (-0.003, -0.0004), ""),
        (EQUAL, 0.0, (-0.0008, 0.0012), "a difference beyond the tolerance"),
        (EQUAL, 0.0, (-0.0008, 0.0008), ""),
        (EQUAL, 0.005, (0.0008, 0.009), "equality"),
        (EQUAL, 0.005, (0.0012, 0.009), ""),
        (UP, 0.0, (-0.003, 0.003), None),
    ],
)
def test_what_the_users_leave_open(
    statement: Statement, mean: float, users: tuple[float, float], left_open: str | None
) -> None:
    judged = one(statement, noisy(mean), users=Interval(mean, *users, 500, 0.01))
    assert judged.sample_only is (None if left_open is None else bool(left_open))
    if left_open:
        assert f"does not exclude {left_open}" in judged.reason


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "either a number or a direction"),
        ({"reported": 0.1, "direction": "up"}, "either a number or a direction"),
        ({"direction": "up", "tolerance": 0.1}, "positive number around a reported one"),
        ({"reported": 0.1, "tolerance": 0.0}, "positive number around a reported one"),
        ({"reported": 0.0}, "needs a tolerance"),
    ],
)
def test_statements_that_say_nothing_are_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(GenrankError, match=message):
        Statement("difference", **fields)  # type: ignore[arg-type]
    with pytest.raises(GenrankError, match="must be positive"):
        Statement("ratio", -1.0)


def test_studies_of_nothing_are_rarely_called_anything() -> None:
    """Four claims of a study in which nothing happens, sharing their base: 5 % of studies err."""
    random = np.random.default_rng(0)
    wrong, unadjusted = [], []
    for _ in range(500):
        draws = random.normal(0, 1, (5, 5))
        effects = [paired_t(draws[row] - draws[0]) for row in range(1, 5)]
        judged = judge_study([(UP, Measured(effect)) for effect in effects])
        wrong.append(any(each.verdict is not Verdict.WITHIN_NOISE for each in judged))
        unadjusted.append(any(effect.low > 0 or effect.high < 0 for effect in effects))
    assert np.mean(wrong) < 0.065
    assert np.mean(unadjusted) > 0.1
