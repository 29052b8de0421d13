"""What a column of a raw file must hold: the test for a fast pass, and the reason for a message."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Protocol

import polars as pl

LARGEST = 3.4028234e38  # numbers are stored as float32
#: integer types with the largest value of each, narrow ones first: they are read the fastest
INTEGERS = {pl.Int8: 2**7 - 1, pl.Int16: 2**15 - 1, pl.Int32: 2**31 - 1, pl.Int64: 2**63 - 1}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+", re.ASCII)


class Column(Protocol):
    """A column that a source needs; both methods say the same of every cell."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> pl.DataType:
        """The type as which text is read."""

    def allowed(self) -> pl.Expr:
        """Whether the value read may stand here; never null."""

    def problem(self, text: str) -> str:
        """Why the cell ``text`` may not stand here; empty if it may."""


@dataclass(frozen=True)
class Number:
    """A column that must hold a number in [low, high], in multiples of ``step`` if that is set.

    ``missing``: the cell may also be empty or NaN. ``note``: what a message adds to the reason.
    """

    name: str
    low: float = -LARGEST
    high: float = LARGEST
    step: float | None = None
    whole: bool = False
    unit: str = ""
    missing: bool = False
    note: str = ""

    @property
    def dtype(self) -> pl.DataType:
        if not self.whole:
            return pl.Float64()
        narrow = (dtype for dtype, largest in INTEGERS.items() if self._within(largest))
        return next(narrow, pl.Int64)()

    def allowed(self) -> pl.Expr:
        value = pl.col(self.name)
        # NaN compares greater than every number in polars, so the upper bound refuses it.
        good = value.is_between(self.low, self.high)
        if self.step:
            good &= (value / self.step) == (value / self.step).floor()
        if self.missing and not self.whole:
            good |= value.is_nan()
        return good.fill_null(self.missing)

    def _within(self, largest: int) -> bool:
        return -largest - 1 <= self.low and self.high <= largest

    def problem(self, text: str) -> str:
        """As declared; spaces around the number do not matter."""
        text = text.strip(" ")
        if self.missing and text.lower() in ("", "nan"):
            return ""
        reason = self._reason(text)
        return reason + self.note if reason else ""

    def _reason(self, text: str) -> str:
        if not (_WHOLE if self.whole else _NUMBER).fullmatch(text):
            kind = "whole number" if self.whole else "number"
            return f"{self.name} {short(text)} is not a {kind}"
        value = float(text)
        if not self.low <= value <= self.high:
            bounds = f"{self.low:.15g} to {self.high:.15g}{self.unit}"
            return f"{self.name} {text} is outside {bounds}{self._milliseconds(value)}"
        if self.step and not (value / self.step).is_integer():
            return f"{self.name} {text} is not a multiple of {self.step:g}"
        return ""

    def _milliseconds(self, value: float) -> str:
        looks_so = self.unit and self.low <= value / 1000 <= self.high
        return "; this looks like milliseconds, seconds are expected" if looks_so else ""


@dataclass(frozen=True)
class Text:
    """A column of text or categories; an empty cell is a missing value, if that is allowed.

    ``several``: the cell may be a list (Parquet).
    """

    name: str
    missing: bool = True
    several: bool = False

    @property
    def dtype(self) -> pl.DataType:
        return pl.String()

    def allowed(self) -> pl.Expr:
        if self.missing:
            return pl.lit(True)
        return (pl.col(self.name).cast(pl.String) != "").fill_null(False)

    def problem(self, text: str) -> str:
        return "" if self.missing or text else f"{self.name} is empty"


def short(text: str, width: int = 60) -> str:
    """``text`` as a Python literal, cut where it is long."""
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def is_finite_number(text: str) -> bool:
    """Whether ``text`` is a number as the raw files write it."""
    return bool(_NUMBER.fullmatch(text)) and math.isfinite(float(text))
