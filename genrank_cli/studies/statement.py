"""What one claim says of an effect, in a form that can be tested."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from genrank_cli.errors import GenrankError

if TYPE_CHECKING:  # scipy is not needed to read a study file
    from genrank_cli.metrics.intervals import Interval

EffectKind = Literal["difference", "ratio"]
Direction = Literal["up", "down"]
Bound = Literal["size", "at_least", "no_loss"]

COMPATIBLE_SHARE = 0.5  # of the claimed effect


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

    Either a published size `reported`; or that as the least effect ("by more than", `bound` =
    "at_least"); or that with a `tolerance` (of a ratio, 0.05 is a factor of 1.05) within which the
    two count as equal; or that with a tolerance beyond which it must not fall ("nearly no loss",
    `bound` = "no_loss"); or a `direction` without a number. Raises `GenrankError` for anything
    else, such as "no effect" without a tolerance.
    """

    kind: EffectKind
    reported: float | None = None
    direction: Direction | None = None
    tolerance: float | None = None
    bound: Bound = "size"

    def __post_init__(self) -> None:
        if (self.reported is None) == (self.direction is None):
            raise GenrankError("a claim has either a number or a direction")
        if self.reported is not None and not math.isfinite(self.reported):
            raise GenrankError(f"what is reported must be a finite number, not {self.reported:g}")
        if self.kind == "ratio" and self.reported is not None and self.reported <= 0:
            raise GenrankError(f"a ratio must be positive, found {self.reported:g}")
        if self.tolerance is not None and not (self.tolerance > 0 and self.reported is not None):
            raise GenrankError("a tolerance is a positive number around a reported one")
        if self.tolerance is None and self.size == 0:
            raise GenrankError("a claim of no effect needs a tolerance within which it holds")
        if self.bound == "at_least" and (self.reported is None or self.tolerance is not None):
            raise GenrankError("bound = at_least belongs to a reported number without a tolerance")
        if self.bound == "no_loss" and self.tolerance is None:
            raise GenrankError("bound = no_loss belongs to a reported number with a tolerance")

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

    @property
    def needed(self) -> float:
        """What an effect in the claimed direction must exceed to be shown; not for equality."""
        return abs(self.size or 0.0) if self.bound == "at_least" else 0.0

    @property
    def compatible(self) -> float:
        """An effect below this, in the claimed direction, excludes it; not for equality."""
        if self.bound == "at_least":
            return self.needed
        return COMPATIBLE_SHARE * abs(self.size or 0.0)
