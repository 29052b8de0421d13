"""Was a bar met? A measured interval against one bound.

| verdict | when |
|---|---|
| met | the whole interval is on the right side of the bound |
| missed | the whole interval is on the wrong side |
| cannot tell | the bound lies inside the interval, or there is none: more rounds are needed |
| not testable here | it was not measured: the reason says why |
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from genrank_cli.metrics.intervals import Interval

NAN = float("nan")
Side = Literal["at least", "at most"]


class Verdict(StrEnum):
    """What a run says of a bar."""

    MET = "met"
    MISSED = "missed"
    CANNOT_TELL = "cannot tell"
    NOT_TESTABLE = "not testable here"

    @property
    def symbol(self) -> str:
        """One character, since colour is never the only sign."""
        return _SYMBOLS[self]


_SYMBOLS = {
    Verdict.MET: "+",
    Verdict.MISSED: "x",
    Verdict.CANNOT_TELL: "~",
    Verdict.NOT_TESTABLE: "?",
}


@dataclass(frozen=True)
class Bar:
    """``id``: stable, for files; ``text``: what is compared; ``unit``: how the bound is written."""

    id: str
    text: str
    side: Side
    bound: float
    unit: Literal["×", "%", ""] = "×"


def judge_bar(bar: Bar, measured: Interval | None) -> Verdict:
    """The verdict on an interval; None: not measured."""
    if measured is None or math.isnan(measured.mean):
        return Verdict.NOT_TESTABLE
    low, high = measured.low, measured.high
    if bar.side == "at most":
        low, high = -high, -low
    bound = bar.bound if bar.side == "at least" else -bar.bound
    if low >= bound:
        return Verdict.MET
    return Verdict.MISSED if high < bound else Verdict.CANNOT_TELL


def exactly(value: float) -> Interval:
    """A measurement that has no noise worth an interval, such as bytes."""
    return Interval(value, value, value, 1, 0.0)
