"""What a measured interval says for and against one statement, as p-values on one scale.

Everything is turned so that the claimed direction is up, ratios are taken as logarithms, and both
p-values are small where the interval *excludes* something:

| statement | `support` rejects | `against` rejects |
|---|---|---|
| an effect of size e | the effect is ≤ 0 | the effect is ≥ e/2 |
| a direction | the effect is ≤ 0 | the effect is ≥ 0 |
| equality, tolerance t | the deviation is t or more (TOST) | the deviation is t or less |

p < 0.05 of an effect or a direction is the same as its 95 % t-interval lying wholly on one side:
the one-sided p is doubled. `support` of an equality is not doubled, which is what makes it the 90 %
interval inside ± t. The two hypotheses of a statement can never both be true.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.equivalence import one_sided_p
from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.claims import EffectKind

COMPATIBLE_SHARE = 0.5  # of the claimed effect

Direction = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Unit:
    """Effects are compared as differences; ratios become differences of logarithms."""

    kind: EffectKind

    def inner(self, value: float) -> float:
        return math.log(value) if self.kind == "ratio" else value

    def outer(self, value: float) -> float:
        return math.exp(value) if self.kind == "ratio" else value

    def text(self, value: float) -> str:
        return f"{value:.3g}×" if self.kind == "ratio" else f"{value:+.2g}"

    def bounds(self, interval: Interval) -> str:
        return f"[{self.text(interval.low)}, {self.text(interval.high)}]"


@dataclass(frozen=True, slots=True)
class Statement:
    """What is claimed of variant − base, or of variant / base.

    Either a published size `reported`; or that with a `tolerance` (of a ratio, 0.05 is a factor of
    1.05) within which the two count as equal; or a `direction` without a number. Raises
    `GenrankError` for anything else, such as "no effect" without a tolerance.
    """

    kind: EffectKind
    reported: float | None = None
    direction: Direction | None = None
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if (self.reported is None) == (self.direction is None):
            raise GenrankError("a claim has either a number or a direction")
        if self.kind == "ratio" and self.reported is not None and self.reported <= 0:
            raise GenrankError(f"a ratio must be positive, found {self.reported:g}")
        if self.tolerance is not None and not (self.tolerance > 0 and self.reported is not None):
            raise GenrankError("a tolerance is a positive number around a reported one")
        if self.tolerance is None and self.size == 0:
            raise GenrankError("a claim of no effect needs a tolerance within which it holds")

    @property
    def unit(self) -> Unit:
        return Unit(self.kind)

    @property
    def size(self) -> float | None:
        """The claimed effect as a difference (of logarithms); None for a direction."""
        return None if self.reported is None else self.unit.inner(self.reported)

    @property
    def margin(self) -> float | None:
        """The tolerance as a difference (of logarithms)."""
        if self.tolerance is None:
            return None
        return math.log1p(self.tolerance) if self.kind == "ratio" else self.tolerance

    @property
    def sign(self) -> float:
        """1 where the claimed effect is positive, else −1; 1 for equality."""
        if self.tolerance is not None:
            return 1.0
        if self.size is None:
            return 1.0 if self.direction == "up" else -1.0
        return math.copysign(1.0, self.size)


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


def weigh(statement: Statement, effect: Interval, premise: Interval | None = None) -> Evidence:
    """Evidence for and against `statement` in a 95 % interval of its effect.

    With a `premise` the statement holds only where that has the claimed direction too: both must
    then be shown, and the opposite of either contradicts.
    """
    measured = turned(statement, effect)
    margin, size = statement.margin, statement.size
    if margin is not None:
        inside = max(measured.below(margin), measured.above(-margin))
        return Evidence(inside, _doubled(measured.above(margin), measured.below(-margin)))
    bound = 0.0 if size is None else COMPATIBLE_SHARE * abs(size)
    shown, excluded = [measured.above(0.0)], [measured.below(bound)]
    if premise is not None:
        gain = turned(Statement(statement.kind, direction=_direction(statement)), premise)
        shown.append(gain.above(0.0))
        excluded.append(gain.below(0.0))
    return Evidence(_doubled(max(shown)), _doubled(*excluded))


def _doubled(*p_values: float) -> float:
    return min(1.0, 2 * min(p_values))


def _direction(statement: Statement) -> Direction:
    return "up" if statement.sign > 0 else "down"
