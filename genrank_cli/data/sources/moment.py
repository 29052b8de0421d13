"""Columns of times: numbers in a declared unit, ISO 8601 or formatted text, dates of Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from genrank_cli.data.sources.cells import Number, short

EARLIEST = 631_152_000.0  # 1990
LATEST = 4_102_444_800.0  # 2100
SCALES = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
UNITS = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}
# Text without a zone is taken as UTC. The day alone is its first moment.
_ZONED = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
_NAIVE = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M")

Kind = Literal["number", "text", "date"]


@dataclass(frozen=True)
class Moment:
    """A time that must be there and lie between 1990 and 2100 (``relative``: after 0).

    ``unit`` matters for numbers only, ``format`` for text only.
    """

    name: str
    kind: Kind
    unit: str = "s"
    format: str | None = None
    relative: bool = False

    @property
    def dtype(self) -> pl.DataType:
        types = {"number": pl.Float64(), "text": pl.String(), "date": pl.Datetime("us")}
        return types[self.kind]

    def seconds(self) -> pl.Expr:
        """Seconds since 1970 as float64; null where the cell is no time."""
        value = pl.col(self.name)
        if self.kind == "number":
            return value / SCALES[self.unit]
        if self.kind == "date":
            return value.dt.epoch("us") / 1e6
        return self._parsed(value).dt.epoch("us") / 1e6

    def allowed(self) -> pl.Expr:
        return self.seconds().is_between(self._earliest, LATEST).fill_null(False)

    def problem(self, text: str) -> str:
        if self.kind == "number":
            return self._number_problem(text.strip(" "))
        seconds = self._seconds_of(text)
        if seconds is None:
            how = f"of the form {self.format}" if self.format else "such as 2024-05-01T12:00:00"
            return f"{self.name} {short(text)} is not a date and time {how}"
        if not self._earliest <= seconds <= LATEST:
            return f"{self.name} {short(text)} is not between 1990 and 2100"
        return ""

    @property
    def _earliest(self) -> float:
        return 0.0 if self.relative else EARLIEST

    def _parsed(self, text: pl.Expr) -> pl.Expr:
        if self.format:
            return _naive(text, self.format)
        text = text.str.strip_chars(" ").str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T")
        text = text.str.replace(r"[Zz]$| UTC$", "+00:00")
        zoned = [
            text.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
            for form in _ZONED
        ]
        naive = [_naive(text, form) for form in _NAIVE]
        day = text.str.to_date("%Y-%m-%d", strict=False).cast(pl.Datetime("us"))
        return pl.coalesce(*naive, day, *(time.dt.replace_time_zone(None) for time in zoned))

    def _seconds_of(self, text: str) -> float | None:
        cell = pl.DataFrame({self.name: [text]}, schema={self.name: pl.String})
        if self.kind == "date":
            cell = cell.select(pl.col(self.name).str.to_datetime(strict=False, time_unit="us"))
        seconds: float | None = cell.select(self.seconds()).item()
        return seconds

    def _number_problem(self, text: str) -> str:
        scale = SCALES[self.unit]
        number = Number(self.name, self._earliest * scale, LATEST * scale)
        reason = number.problem(text)
        if " is outside " not in reason:
            return reason
        value = float(text)
        fitting = next((u for u, s in SCALES.items() if EARLIEST <= value / s <= LATEST), None)
        bounds = "1970 to 2100" if self.relative else "1990 to 2100"
        remedy = ""
        if fitting is not None and not self.relative:
            remedy = f'; this looks like {UNITS[fitting]}: write unit = "{fitting}" on the card'
        elif 0 <= value / scale < EARLIEST:
            remedy = "; if times count from another start than 1970, write relative = true"
        return f"{self.name} {text} is outside {bounds} in {UNITS[self.unit]} since 1970{remedy}"


def _naive(text: pl.Expr, form: str) -> pl.Expr:
    zoned = "%z" in form or "%:z" in form or "%#z" in form or "%+" in form
    zone = "UTC" if zoned else None
    time = text.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
    return time.dt.replace_time_zone(None) if zoned else time
