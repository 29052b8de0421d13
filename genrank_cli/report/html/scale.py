"""Axes: from values to places in a drawing, and the round numbers between them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
UNITS = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True)
class Scale:
    """Values ``low``…``high`` at the places ``start``…``end`` (pixels), linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False
    marks: tuple[float, ...] = ()  # ticks there, instead of at round values

    def at(self, value: float) -> float:
        """The place of ``value``, which may lie outside."""
        low, high = self._inner(self.low), self._inner(self.high)
        share = (self._inner(value) - low) / (high - low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside, at most ``most`` or few more."""
        if self.marks:
            return list(self.marks)
        if self.log:
            return _log_ticks(self.low, self.high, most)
        return _linear_ticks(self.low, self.high, most)

    def _inner(self, value: float) -> float:
        return math.log10(value) if self.log else value


def scale(
    values: Iterable[float], start: float, end: float, *, log: bool = False, pad: float = 0.05
) -> Scale:
    """A scale that holds all finite ``values`` with ``pad`` of its length free at both ends.

    Logarithmic only where all of them are positive. Without values: 0…1.
    """
    finite = [v for v in values if math.isfinite(v)]
    log = log and bool(finite) and min(finite) > 0
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if log:
        low, high = math.log10(low), math.log10(high)
    # The pad also opens a range of a single value.
    room = pad * (high - low) or (0.1 if log else abs(high) * 0.02 or 0.5)
    low, high = low - room, high + room
    if log:
        low, high = 10**low, 10**high
    return Scale(low, high, start, end, log)


def tick_texts(axis: Scale, ticks: Sequence[float]) -> list[str]:
    """The ticks with as many decimals as their distance needs; thousands as k, millions as M."""
    if axis.log:
        return [_short(tick) for tick in ticks]
    largest = max((abs(tick) for tick in ticks), default=0.0)
    unit, suffix = next((pair for pair in UNITS if largest >= 5 * pair[0]), (1.0, ""))
    shown = [tick / unit for tick in ticks]
    digits = next(
        (d for d in range(6) if all(math.isclose(round(x, d), x, abs_tol=1e-9) for x in shown)), 6
    )
    return [f"{x:.{digits}f}{suffix if x else ''}".replace("-", "−") for x in shown]


def _short(value: float) -> str:
    unit, suffix = next((pair for pair in UNITS if value >= pair[0]), (1.0, ""))
    words = f"{value / unit:g}"
    return words + suffix if len(words) < 5 else f"{value:,g}"


def _linear_ticks(low: float, high: float, most: int) -> list[float]:
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in STEPS if s * power >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]


def _log_ticks(low: float, high: float, most: int) -> list[float]:
    """1, 2 and 5 of each power of ten where these are few; else powers; else linear ones."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for leading in ((1.0, 2.0, 5.0), (1.0,)):
        ticks = [n * 10.0**p for p in powers for n in leading if low <= n * 10.0**p <= high]
        if 3 <= len(ticks) <= most + 1:
            return ticks
    return ticks[:: -(-len(ticks) // most)] if len(ticks) > 2 else _linear_ticks(low, high, most)
