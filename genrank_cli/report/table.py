"""The one shape of a result: raw values, and per column the rule that turns a value into text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

MISSING = "–"


class Kind(StrEnum):
    """How a column's values are written."""

    TEXT = "text"
    NUMBER = "number"  # 0.8012, with `signed` +0.0012
    COUNT = "count"  # 1,234,567
    RATIO = "ratio"  # 1.25×
    PERCENT = "percent"  # 0.85 → 85.0 %
    FIGURE = "figure"  # any of these, each as it is: 1,600 and 0.02


@dataclass(frozen=True)
class Interval:
    """A value and the bounds of its interval, all in one unit."""

    value: float
    low: float
    high: float

    @property
    def symmetric(self) -> bool:
        """Whether the bounds are equally far from the value, so that ``±`` says it all."""
        below, above = self.value - self.low, self.high - self.value
        return math.isclose(below, above, rel_tol=1e-6, abs_tol=1e-12)


Value = str | int | float | bool | Interval | None


@dataclass(frozen=True)
class Column:
    """One column: ``key`` names it (with its unit) in CSV and JSON, ``title`` in the heading."""

    key: str
    title: str
    kind: Kind = Kind.TEXT
    digits: int = 4
    signed: bool = False
    unit: str = ""

    @property
    def heading(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def align(self) -> str:
        return "left" if self.kind in (Kind.TEXT, Kind.FIGURE) else "right"

    def format(self, value: Value) -> str:
        """The text of a value; ``–`` where there is none, ``n/a`` where it is not a number."""
        if value is None:
            return MISSING
        if isinstance(value, Interval):
            return self._format_interval(value)
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, str) or self.kind is Kind.TEXT:
            return str(value)
        return self._format_number(value) + self._suffix

    @property
    def _suffix(self) -> str:
        return {Kind.RATIO: "×", Kind.PERCENT: " %"}.get(self.kind, "")

    def _format_number(self, value: float, signed: bool | None = None) -> str:
        if not math.isfinite(value):
            return "n/a" if math.isnan(value) else ("+∞" if value > 0 else "−∞")
        if self.kind is Kind.FIGURE:
            whole = isinstance(value, int) or abs(value) >= 10**self.digits
            return (f"{value:,.0f}" if whole else f"{value:.{self.digits}g}").replace("-", "−")
        if self.kind is Kind.COUNT:
            return f"{round(value):,}".replace("-", "−")
        scaled = 100.0 * value if self.kind is Kind.PERCENT else value
        magnitude = f"{abs(scaled):.{self.digits}f}"
        if float(magnitude) == 0.0:
            return magnitude  # "−0.0000" would claim a direction
        plus = "+" if (self.signed if signed is None else signed) else ""
        return ("−" if scaled < 0 else plus) + magnitude

    def _format_interval(self, interval: Interval) -> str:
        value = self._format_number(interval.value)
        if not math.isfinite(interval.high - interval.low) or interval.low == interval.high:
            return value + self._suffix
        if interval.symmetric:
            half = self._format_number(interval.value - interval.low, signed=False)
            return f"{value} ± {half}{self._suffix}"
        low, high = self._format_number(interval.low), self._format_number(interval.high)
        return f"{value}{self._suffix} [{low}, {high}]"


@dataclass(frozen=True)
class Table:
    """Rows of raw values under columns, environment lines above them and notes below.

    ``breaks`` holds the indices of rows that start a new block (a rule is drawn above them where
    the format can). Raises `ValueError` where a row's length is not the columns'.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Value]]
    header: Sequence[str] = ()
    notes: Sequence[str] = ()
    breaks: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {number} has {len(row)} values for {len(self.columns)} columns"
                )

    @property
    def headings(self) -> list[str]:
        return [column.heading for column in self.columns]

    @property
    def alignments(self) -> list[str]:
        return [column.align for column in self.columns]

    def formatted(self) -> list[list[str]]:
        """Every cell as text, row by row."""
        return [
            [column.format(value) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        ]


def record_table(record: Mapping[str, Any], title: str = "", kind: Kind = Kind.TEXT) -> Table:
    """A record of nested fields as a table with one row per leaf (``counts.events``).

    As `Kind.TEXT`, values can be typed in again; as `Kind.FIGURE`, they are rounded to be read.
    """
    columns = (Column("field", "field"), Column("value", "value", kind))
    return Table(title, columns, list(_leaves(record)))


def _leaves(record: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Value]]:
    rows: list[tuple[str, Value]] = []
    for key, value in record.items():
        if isinstance(value, Mapping):
            rows += _leaves(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float | bool | Interval | None):
            rows.append((prefix + key, value))
        elif isinstance(value, list | tuple) and not any(isinstance(v, Mapping) for v in value):
            rows.append((prefix + key, ", ".join(str(item) for item in value)))
        else:
            rows.append((prefix + key, str(value)))
    return rows
