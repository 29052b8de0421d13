"""Was a published claim reproduced? One of four verdicts, from a measured interval.

With e the claimed effect and the measured interval turned so that e > 0 (ratios as logarithms):

| verdict | when |
|---|---|
| reproduced | low > 0 and high ≥ e/2: the effect is there, and half of its size is not excluded |
| contradicted | high < e/2: not even half of the claimed size is compatible with the run |
| within noise | low ≤ 0 and high ≥ e/2: the run cannot tell "no effect" from "half of the claim" |
| not testable here | there is no interval |

A claim of equality has a tolerance t instead, and is reproduced when the whole interval lies within
reported ± t, contradicted when no part of it does, and within noise otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.metrics.power import minimum_detectable
from genrank_cli.studies.claims import Claim, EffectKind

COMPATIBLE_SHARE = 0.5  # of the claimed effect


class Verdict(StrEnum):
    """What a run says of a claim."""

    REPRODUCED = "reproduced"
    WITHIN_NOISE = "within noise"
    CONTRADICTED = "contradicted"
    NOT_TESTABLE = "not testable here"

    @property
    def symbol(self) -> str:
        """One character, since colour is never the only sign."""
        return _SYMBOLS[self]


_SYMBOLS = {
    Verdict.REPRODUCED: "+",
    Verdict.WITHIN_NOISE: "~",
    Verdict.CONTRADICTED: "x",
    Verdict.NOT_TESTABLE: "?",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, why, and what the run could have seen.

    `minimum_detectable` is the smallest effect found with 80 % power, with the claim's sign and in
    its unit (a ratio for ratios); None where nothing was measured.
    """

    verdict: Verdict
    reason: str
    minimum_detectable: float | None


def judge(
    reported: float,
    interval: Interval | None,
    kind: EffectKind,
    *,
    tolerance: float | None = None,
    missing: str = "nothing was measured",
) -> Judgement:
    """The verdict on an effect `reported` (variant − base, or variant / base), given its interval.

    `tolerance` turns the claim into one of equality; `missing` is the reason shown without an
    interval. Raises `GenrankError` for a claim of no effect without a tolerance.
    """
    if interval is None:
        return Judgement(Verdict.NOT_TESTABLE, missing, None)
    if not math.isfinite(interval.high - interval.low):
        reason = f"{interval.n} paired value(s) give no interval, at least 2 are needed"
        return Judgement(Verdict.NOT_TESTABLE, reason, None)
    unit = _Unit(kind)
    effect, low, high = (unit.inner(value) for value in (reported, interval.low, interval.high))
    if tolerance is not None:
        margin = math.log1p(tolerance) if kind == "ratio" else tolerance
        verdict, why = _judge_equality(low - effect, high - effect, margin)
    elif effect == 0:
        raise GenrankError("a claim of no effect needs a tolerance within which it holds")
    else:
        low, high = (low, high) if effect > 0 else (-high, -low)
        verdict, why = _judge_effect(abs(effect), low, high)
    detectable = unit.outer(math.copysign(minimum_detectable(interval.sd, interval.n), effect))
    if verdict is Verdict.WITHIN_NOISE:
        why += f"; the smallest detectable effect is {unit.text(detectable)}"
    shown = f"{unit.text(interval.mean)} [{unit.text(interval.low)}, {unit.text(interval.high)}]"
    reason = f"measured {shown}, reported {unit.text(reported)}: {why}"
    return Judgement(verdict, reason, detectable)


def judge_claim(
    claim: Claim,
    base: Mapping[int, float] | None,
    variant: Mapping[int, float] | None,
) -> Judgement:
    """The verdict on `claim` from its metric per seed (or per timing round) of both sides.

    Only seeds that both sides have are compared, each with itself; None or an empty mapping = the
    metric is missing.
    """
    absent = [side for side, values in (("base", base), (claim.variant, variant)) if not values]
    if absent or not base or not variant:
        missing = f"{claim.metric} was not measured for {' and '.join(absent)}"
        return judge(claim.reported, None, claim.kind, missing=missing)
    interval = paired_effect(claim.kind, base, variant)
    return judge(claim.reported, interval, claim.kind, tolerance=claim.tolerance)


def paired_effect(
    kind: EffectKind, base: Mapping[int, float], variant: Mapping[int, float]
) -> Interval:
    """Interval of variant − base, or of variant / base, over the keys that both sides have."""
    pairs = [(base[key], variant[key]) for key in base if key in variant]
    if kind == "ratio":
        return geometric_ratio([changed / original for original, changed in pairs])
    return paired_t([changed - original for original, changed in pairs])


def _judge_effect(size: float, low: float, high: float) -> tuple[Verdict, str]:
    """`size` > 0; low and high are turned into the claimed direction."""
    if high < COMPATIBLE_SHARE * size:
        if low > 0:
            return Verdict.CONTRADICTED, "the claimed direction, but less than half of the size"
        if high < 0:
            return Verdict.CONTRADICTED, "the effect goes the other way"
        return Verdict.CONTRADICTED, "no effect seen, and half of the claimed size is excluded"
    if low > 0:
        larger = ", larger than claimed" if low > size else ""
        return Verdict.REPRODUCED, f"the claimed direction{larger}, no effect is excluded"
    return Verdict.WITHIN_NOISE, "neither no effect nor half of the claimed size is excluded"


def _judge_equality(low: float, high: float, margin: float) -> tuple[Verdict, str]:
    """`low` and `high` bound the deviation from the reported value."""
    if -margin <= low and high <= margin:
        return Verdict.REPRODUCED, "equal within the tolerance"
    if low > margin or high < -margin:
        return Verdict.CONTRADICTED, "equality within the tolerance is excluded"
    return Verdict.WITHIN_NOISE, "the interval reaches beyond the tolerance"


@dataclass(frozen=True, slots=True)
class _Unit:
    """Effects are compared as differences; ratios become differences of logarithms."""

    kind: EffectKind

    def inner(self, value: float) -> float:
        return math.log(value) if self.kind == "ratio" else value

    def outer(self, value: float) -> float:
        return math.exp(value) if self.kind == "ratio" else value

    def text(self, value: float) -> str:
        return f"{value:.3g}×" if self.kind == "ratio" else f"{value:+.2g}"
