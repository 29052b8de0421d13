"""What a measured interval says for and against one statement, as p-values on one scale.

Everything is turned so that the claimed direction is up, ratios are taken as logarithms, and both
p-values are small where the interval *excludes* something:

| statement | `support` rejects | `against` rejects |
|---|---|---|
| an effect of size e | the effect is ≤ 0 | the effect is ≥ e/2 |
| an effect of at least e | the effect is ≤ e | the effect is ≥ e |
| a direction | the effect is ≤ 0 | the effect is ≥ 0 |
| equality, tolerance t | the deviation is t or more (TOST) | the deviation is t or less |
| no loss beyond t | the loss is t or more | the loss is t or less |

p < 0.05 of an effect or a direction is the same as its 95 % t-interval lying wholly on one side:
the one-sided p is doubled. `support` of an equality or of no loss is not doubled, which is what
makes it the 90 % interval inside ± t, or above −t. The two hypotheses of a statement can never both
be true.

Equality of two gains says something only of gains: `support` must also reject "neither side gains",
with the smaller of the two sides' one-sided p-values doubled for being the best of two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats

from genrank_cli.metrics.equivalence import one_sided_p
from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.statement import Direction, Statement


@dataclass(frozen=True, slots=True)
class Turned:
    """An interval in the claimed direction; `error` is the standard error behind its bounds."""

    low: float
    high: float
    error: float
    n: int

    @property
    def centre(self) -> float:
        return (self.low + self.high) / 2

    def above(self, bound: float) -> float:
        """One-sided p of "the mean is `bound` or less"."""
        return one_sided_p(self.centre - bound, self.error, self.n)

    def below(self, bound: float) -> float:
        """One-sided p of "the mean is `bound` or more"."""
        return one_sided_p(bound - self.centre, self.error, self.n)


def turned(statement: Statement, interval: Interval) -> Turned:
    """`interval` (95 %, finite) as a difference in the claimed direction, or from the reported
    value where equality is claimed."""
    low, high = statement.unit.inner(interval.low), statement.unit.inner(interval.high)
    if statement.sign < 0:
        low, high = -high, -low
    if statement.margin is not None and statement.size is not None:
        low, high = low - statement.size, high - statement.size
    error = 0.0
    if high > low:
        error = (high - low) / (2 * float(stats.t.ppf(0.975, max(interval.n - 1, 1))))
    return Turned(low, high, error, interval.n)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The p-values of the module's table; see there."""

    support: float
    against: float


def weigh(
    statement: Statement,
    effect: Interval,
    premise: Interval | None = None,
    gains: Sequence[Interval] = (),
) -> Evidence:
    """Evidence for and against `statement` in a 95 % interval of its effect.

    With a `premise` the statement holds only where that has the claimed direction too: both must
    then be shown, and the opposite of either contradicts. An equality of two `gains` is shown only
    where one of them is.
    """
    measured, margin = turned(statement, effect), statement.margin
    if margin is not None and statement.bound == "no_loss":
        return Evidence(measured.above(-margin), _doubled(measured.below(-margin)))
    if margin is not None:
        inside = max(measured.below(margin), measured.above(-margin))
        if gains:
            inside = max(inside, no_gain(statement, gains))
        return Evidence(inside, _doubled(measured.above(margin), measured.below(-margin)))
    shown, excluded = (
        [measured.above(statement.needed)],
        [measured.below(statement.compatible)],
    )
    if premise is not None:
        gain = turned(Statement(statement.kind, direction=_direction(statement)), premise)
        shown.append(gain.above(0.0))
        excluded.append(gain.below(0.0))
    return Evidence(_doubled(max(shown)), _doubled(*excluded))


def no_gain(statement: Statement, gains: Sequence[Interval]) -> float:
    """p of "none of `gains` is above 0", each tested from one side, for the best of them."""
    upwards = Statement(statement.kind, direction="up")
    best = min(turned(upwards, gain).above(0.0) for gain in gains)
    return min(1.0, len(gains) * best)


def _doubled(*p_values: float) -> float:
    return min(1.0, 2 * min(p_values))


def _direction(statement: Statement) -> Direction:
    return "up" if statement.sign > 0 else "down"
