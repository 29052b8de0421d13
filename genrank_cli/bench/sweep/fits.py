"""What a sweep says as a whole: exponents of growth, and where attention overtakes projections.

Both are worked out in every round and then summed up over rounds, so that a machine that changes
pace between rounds moves neither. An exponent is the slope of ln time over ln value, a straight
line through all values. Where times are no power of the value, its interval is that of the slope
all the same, and the slope between the two largest values says where it goes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from genrank_cli.bench.record import BenchRecord, Row
from genrank_cli.bench.statistics import median_interval
from genrank_cli.bench.sweep.plan import ATTENTION, PROJECTIONS
from genrank_cli.metrics.arrays import FloatArray
from genrank_cli.metrics.intervals import Interval, paired_t

FEWEST_RANKS = 6  # rounds that a rank interval of 95 % needs


@dataclass(frozen=True)
class Growth:
    """Exponents of one model and stage, over all values and between the two largest."""

    model: str
    stage: str
    time: Interval
    time_end: Interval
    flops: float
    flops_end: float


@dataclass(frozen=True)
class Crossover:
    """The value from which attention takes more than projections; infinite where it never will.

    ``inside``: whether the values of the sweep reach it; otherwise the line through the last two
    (or the first two) is followed outside, which is a guess.
    """

    model: str
    time: Interval
    inside: bool


def growths(record: BenchRecord) -> list[Growth]:
    """Of every model and stage that ran at two values or more."""
    found = []
    for rows in _series(record).values():
        if len(rows) < 2:
            continue
        times, work = _times(rows), np.array([[sum(row.flops.values()) for row in rows]])
        values = _values(rows)
        labels = rows[0].labels
        found.append(
            Growth(
                labels["model"],
                labels["stage"],
                summed_up(slopes(values, times)),
                summed_up(slopes(values[-2:], times[:, -2:])),
                float(slopes(values, work)[0]),
                float(slopes(values[-2:], work[:, -2:])[0]),
            )
        )
    return found


def crossovers(record: BenchRecord) -> list[Crossover]:
    """By time, of every model whose two stages ran."""
    series = _series(record)
    found = []
    for model in dict.fromkeys(name for name, _ in series):
        parts = [series.get((model, stage), []) for stage in (ATTENTION, PROJECTIONS)]
        values = _values(parts[0])
        if len(values) < 2 or not np.array_equal(values, _values(parts[1])):
            continue
        ratios = _times(parts[0]) / _times(parts[1])
        place = _middle([crossing(values, ratio) for ratio in ratios])
        found.append(Crossover(model, place, bool(values[0] <= place.mean <= values[-1])))
    return found


def slopes(values: FloatArray, series: FloatArray) -> FloatArray:
    """Exponent of each row of ``series`` [rounds, values] against ``values``: [rounds]."""
    x = np.log(values) - np.log(values).mean()
    return np.asarray(np.log(series) @ x / (x @ x))


def crossing(values: FloatArray, ratio: FloatArray) -> float:
    """Where ``ratio`` [values] reaches 1, straight lines between the logarithms.

    Outside of the values the nearest line goes on; nan where that falls.
    """
    x, y = np.log(values), np.log(ratio)
    above = np.flatnonzero((y[:-1] < 0) & (y[1:] >= 0))
    at = int(above[-1]) if len(above) else (0 if y[0] >= 0 else len(x) - 2)
    slope = (y[at + 1] - y[at]) / (x[at + 1] - x[at])
    return float(np.exp(x[at] - y[at] / slope)) if slope > 0 else math.nan


def summed_up(per_round: Sequence[float] | FloatArray) -> Interval:
    """The median over rounds with its interval; below six rounds the t interval."""
    values = np.asarray(per_round, dtype=np.float64)
    return median_interval(values) if len(values) >= FEWEST_RANKS else paired_t(values)


def _middle(places: Sequence[float]) -> Interval:
    """The median over rounds; a round whose lines never meet counts as infinitely far."""
    with np.errstate(invalid="ignore"):
        return median_interval([math.inf if math.isnan(place) else place for place in places])


def flops_crossing(ratio: Callable[[int], float], most: int = 2**24) -> int | None:
    """The smallest even value whose growing ``ratio`` is 1 or more; None beyond ``most``."""
    low, high = 2, 4
    while ratio(high) < 1:
        low, high = high, 2 * high
        if high > most:
            return None
    while high - low > 2:
        middle = (low + high) // 4 * 2
        low, high = (low, middle) if ratio(middle) >= 1 else (middle, high)
    return high


def _series(record: BenchRecord) -> dict[tuple[str, str], list[Row]]:
    """Rows of each model and stage, by value."""
    found: dict[tuple[str, str], list[Row]] = {}
    for case in record.cases:
        for row in sorted(case.rows, key=lambda row: row.figures["value"]):
            found.setdefault((row.labels["model"], row.labels["stage"]), []).append(row)
    return found


def _values(rows: Sequence[Row]) -> FloatArray:
    return np.array([row.figures["value"] for row in rows], dtype=np.float64)


def _times(rows: Sequence[Row]) -> FloatArray:
    """Seconds [rounds, values]."""
    return np.array([row.total_s() for row in rows]).T
