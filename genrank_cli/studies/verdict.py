"""Was a published claim reproduced? One of four verdicts, from measured intervals.

Over the seeds of a study, with e the claimed effect turned so that e > 0 (ratios as logarithms):

| verdict | when |
|---|---|
| reproduced | low > 0 and high ≥ e/2: the effect is there, and half of its size is not excluded |
| contradicted | high < e/2: not even half of the claimed size is compatible with the run |
| within noise | low ≤ 0 and high ≥ e/2: the run cannot tell "no effect" from "half of the claim" |
| not testable here | there is no interval |

A direction without a number is reproduced when low > 0 and contradicted when high < 0. A claim of
equality has a tolerance t: reproduced when two one-sided tests at 5 % (the 90 % interval) place the
effect inside reported ± t, contradicted when the 95 % interval lies wholly outside. "Nearly no
loss" is the lower half of that: a gain does not speak against it. Equality of two
gains ("comparable gains") is about gains: it is reproduced only where at least one side is shown to
gain as well. Where neither is, it stays within noise, since nothing was compared; two gains that
differ by more than the tolerance contradict it whatever their signs.

A bound ("falls by more than e", "above e") is a claim of at least e: reproduced when low > e, so
that less than e is excluded; contradicted when high < e, so that e and all beyond are excluded;
within noise where the interval holds e. Half of the size is no use to it. Its smallest detectable
effect is the one that is shown to exceed e with 80 % power: e and the smallest detectable
difference, since a true effect of exactly e is never shown to be more.

Several claims of one study. Each is put as two questions, "is it shown?" and "is it excluded?",
with a p-value each (`evidence`). Holm's procedure adjusts the p-values of either question over all
claims of the study that could be tested, and a verdict needs an adjusted p below 0.05: in at most
5 % of studies anything is called reproduced that is not so, and in at most 5 % anything is called
contradicted that is so. For a single claim nothing changes. The intervals shown stay at 95 % each,
so that they can be compared between studies; where the adjustment turns a verdict into "within
noise", the reason says so. The smallest detectable effect is that of the adjusted level. What has
no spread at all, such as FLOPs, needs no test: it is judged by its value, has no p-value and no
smallest detectable effect, and does not count among the claims.

Two uncertainties. Verdicts are about seeds: would the same comparison, trained again, come out the
same on these test users? The interval over resampled users is shown beside it and decides nothing;
where it does not exclude what the seeds exclude, the reason says that the finding is about these
users only (`Judgement.sample_only`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from genrank_cli.metrics.holm import holm
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.metrics.power import (
    minimum_detectable,
    smallest_equivalence_margin,
    smallest_noninferiority_margin,
)
from genrank_cli.studies.evidence import Evidence, weigh
from genrank_cli.studies.reasons import (
    known,
    left_open_by_users,
    measured_text,
    why_excluded,
    why_open,
    why_shown,
)
from genrank_cli.studies.statement import EffectKind, Statement

ALPHA = 0.05
# An interval that ends exactly at a bound does not exclude it, whatever rounding says.
_BELOW = ALPHA * (1 - 1e-9)


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
class Measured:
    """What was measured of a statement, each as a 95 % interval in the claim's unit.

    `effect` is over seeds or rounds, `users` the same effect over resampled users. `premise` is a
    second effect over seeds that must have the claimed direction too: "a gain at least twice as
    large" is about a gain. `gains` are both sides of a claim about two gains. `missing` is the
    reason shown without an effect.
    """

    effect: Interval | None
    users: Interval | None = None
    premise: Interval | None = None
    missing: str = "nothing was measured"
    gains: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, why, and what the run could have seen.

    `minimum_detectable` is the smallest effect found with 80 % power, with the claim's sign and in
    its unit (a ratio for ratios); of equality the smallest tolerance; None where nothing was
    measured, or nothing varies. `p` belongs to the question that decided: "is it excluded?" for a
    contradicted claim, else "is it shown?"; `p_holm` is its adjusted value. `sample_only` is None
    without a finding.
    """

    verdict: Verdict
    reason: str
    minimum_detectable: float | None
    p: float | None = None
    p_holm: float | None = None
    sample_only: bool | None = None


def judge_study(claims: Sequence[tuple[Statement, Measured]]) -> list[Judgement]:
    """The verdicts on all `claims` of one study, adjusted for being several."""
    found = [
        weigh(statement, measured.effect, measured.premise, measured.gains)
        if measured.effect is not None and _untestable(measured) is None
        else None
        for statement, measured in claims
    ]
    tests = [
        evidence if evidence and _varies(measured.effect) else None
        for evidence, (_, measured) in zip(found, claims, strict=True)
    ]
    tested = sum(evidence is not None for evidence in tests)
    support = holm([evidence.support if evidence else math.nan for evidence in tests])
    against = holm([evidence.against if evidence else math.nan for evidence in tests])
    return [
        _judgement(*claim, evidence, Evidence(shown, excluded) if test else evidence, tested)
        for claim, evidence, test, shown, excluded in zip(
            claims, found, tests, support.tolist(), against.tolist(), strict=True
        )
    ]


def contrast(kind: EffectKind, terms: Sequence[tuple[float, Mapping[int, float]]]) -> Interval:
    """Interval of Σ coefficient · value, or of Π value^coefficient for ratios, paired by key.

    `terms` are (coefficient, value per seed or round); keys that all terms have are used. With the
    values of a generative model (g), of one with a module (g+), and those of a DLRM (d, d+), "its
    gain is at least twice as large" is 1·g+ − 1·g − 2·d+ + 2·d > 0. That is exact for paired
    t-intervals, unlike an interval of the ratio, whose denominator may be 0.
    """
    values = paired(kind, terms)
    return geometric_ratio(values) if kind == "ratio" else paired_t(values)


def paired(kind: EffectKind, terms: Sequence[tuple[float, Mapping[int, float]]]) -> list[float]:
    """The values behind `contrast`, one for each key that all terms have."""
    first, *others = [values for _, values in terms]
    keys = [key for key in first if all(key in values for values in others)]
    if kind == "ratio":
        return [math.prod(values[key] ** factor for factor, values in terms) for key in keys]
    return [math.fsum(factor * values[key] for factor, values in terms) for key in keys]


def _varies(effect: Interval | None) -> bool:
    return effect is not None and effect.sd > 0


def _untestable(measured: Measured) -> str | None:
    """Why there is nothing to judge; None where there is."""
    if measured.effect is None:
        return measured.missing
    for interval in (measured.effect, measured.premise, *measured.gains):
        if interval is not None and not known(interval):
            return f"{interval.n} paired value(s) give no interval, at least 2 are needed"
    return None


def _judgement(
    statement: Statement,
    measured: Measured,
    alone: Evidence | None,
    adjusted: Evidence | None,
    tested: int,
) -> Judgement:
    effect = measured.effect
    if alone is None or adjusted is None or effect is None:
        return Judgement(Verdict.NOT_TESTABLE, _untestable(measured) or measured.missing, None)
    verdict, unadjusted = _decide(adjusted), _decide(alone)
    varies = _varies(effect)
    detectable = _detectable(statement, effect, ALPHA / tested) if varies else None
    decided = verdict is not Verdict.WITHIN_NOISE
    against = verdict is Verdict.CONTRADICTED
    why = _WHY[verdict](statement, effect, measured.gains)
    if verdict is not unadjusted:
        why = f"{unadjusted.value} if judged alone, but not among {tested} claims (Holm)"
    if not decided and detectable is not None:
        smallest = "tolerance" if statement.tolerance is not None else "effect"
        why += f"; the smallest detectable {smallest} is {statement.unit.text(detectable)}"
    open_ = left_open_by_users(statement, measured.users, not against) if decided else None
    if open_:
        why += f"; about these test users only: resampling them does not exclude {open_}"
    p, p_holm = (one.against if against else one.support for one in (alone, adjusted))
    return Judgement(
        verdict,
        measured_text(statement, effect, measured.users, measured.gains) + why,
        detectable,
        p=p if varies else None,
        p_holm=p_holm if varies else None,
        sample_only=None if open_ is None else bool(open_),
    )


_WHY = {
    Verdict.REPRODUCED: why_shown,
    Verdict.CONTRADICTED: why_excluded,
    Verdict.WITHIN_NOISE: why_open,
}


def _decide(evidence: Evidence) -> Verdict:
    if evidence.against < _BELOW:
        return Verdict.CONTRADICTED
    return Verdict.REPRODUCED if evidence.support < _BELOW else Verdict.WITHIN_NOISE


def _detectable(statement: Statement, effect: Interval, alpha: float) -> float:
    """The smallest effect (or tolerance) to be found at level `alpha`, in the claim's unit."""
    if statement.bound == "no_loss":
        smallest = smallest_noninferiority_margin(effect.sd, effect.n, alpha=alpha)
    elif statement.margin is not None:
        smallest = smallest_equivalence_margin(effect.sd, effect.n, alpha=alpha)
    else:
        smallest = minimum_detectable(effect.sd, effect.n, confidence=1 - alpha)
        smallest += statement.needed
    return statement.unit.outer(statement.sign * smallest)
