"""Intervals of times and of ratios that are honest for few rounds and do not break on outliers.

A ratio is taken inside a round, so that the machine's pace cancels. Its interval inverts Wilcoxon's
signed-rank test: exact from six rounds on for any symmetric noise, where a percentile bootstrap of
eight rounds covers less than it says, and one disturbed round moves it little, where it would blow
up a t interval. Below six rounds no rank interval reaches 95 %: there it is the t interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.metrics.arrays import FloatArray
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t

#: A round that took this many times the row's median is flagged: something disturbed it.
OUTLIER = 1.5

#: The fewest rounds whose ranks give a 99 % interval: 2/2⁸ = 0.8 % are left out. For 95 % it takes
#: six.
FEWEST_ROUNDS = 8

#: The smallest change that is called one: 2 %.
SMALLEST = 0.02

NAN = float("nan")


def ratio_interval(
    times: Sequence[float], base: Sequence[float], confidence: float = 0.95
) -> Interval:
    """time / base time over rounds [n] that belong together: the estimate and its interval.

    The estimate is the pseudo-median (Hodges and Lehmann: the median of the means of all pairs of
    rounds) of the logarithms. The inverse ratio has the inverse interval. Raises ValueError for
    unequal lengths.
    """
    ratios = [time / other for time, other in zip(times, base, strict=True)]
    if _signed_rank_cut(len(ratios), confidence) < 0:
        return geometric_ratio(ratios, confidence)
    logs = centre_interval(np.log(ratios), confidence)
    centre, low, high = (math.exp(x) for x in (logs.mean, logs.low, logs.high))
    return Interval(centre, low, high, logs.n, logs.sd)


def centre_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Pseudo-median of values [n] with the interval that inverts Wilcoxon's signed-rank test.

    Below six values, whose ranks reach no 95 %, the mean and its t interval.
    """
    array = np.asarray(values, dtype=np.float64)
    left_out = _signed_rank_cut(len(array), confidence)
    if left_out < 0:
        return paired_t(array, confidence)
    walsh = _walsh(array)
    low, high = walsh[left_out], walsh[len(walsh) - 1 - left_out]
    sd = float(array.std(ddof=1))
    return Interval(float(np.median(walsh)), float(low), float(high), len(array), sd)


def median_interval(values: ArrayLike, confidence: float = 0.95) -> Interval:
    """Median of values [n] with its order-statistic interval (sign test), nan below six values."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return Interval(NAN, NAN, NAN, 0, NAN)
    sd = float(ordered.std(ddof=1)) if n > 1 else NAN
    left_out = int(stats.binom.ppf((1 - confidence) / 2, n, 0.5)) - 1
    if left_out < 0:
        return Interval(float(np.median(ordered)), NAN, NAN, n, sd)
    low, high = ordered[left_out], ordered[n - 1 - left_out]
    return Interval(float(np.median(ordered)), float(low), float(high), n, sd)


def half_width(interval: Interval) -> float:
    """Half of a ratio's interval as a share of the ratio; inf where there is no interval."""
    width = (interval.high - interval.low) / (2 * interval.mean)
    return width if math.isfinite(width) else math.inf


def differs(ratio: Interval) -> bool:
    """Whether a ratio is different from 1: by size (`SMALLEST`) and by its interval, both.

    Who compares twenty rows must not be told of one difference every time: the interval should be
    a stricter one than is shown, of 99 %. Without bounds nothing differs.
    """
    large = abs(math.log(ratio.mean)) >= math.log1p(SMALLEST)
    return large and (ratio.low > 1.0 or ratio.high < 1.0)


def outliers(times: Sequence[float]) -> int:
    """How many times are over `OUTLIER` × their median."""
    if not times:
        return 0
    limit = OUTLIER * float(np.median(times))
    return sum(time > limit for time in times)


def drift(times: Sequence[float]) -> float:
    """Median of the last third over that of the first, − 1: +0.1 is a machine 10 % slower.

    0 below six rounds, where a third is one round.
    """
    third = len(times) // 3
    if third < 2:
        return 0.0
    return float(np.median(times[-third:]) / np.median(times[:third])) - 1.0


def spread(times: Sequence[float]) -> float:
    """Distance of the quartiles over the median."""
    low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
    return float((high - low) / middle)


def _walsh(values: FloatArray) -> FloatArray:
    """Sorted means of all pairs of values [n], each with itself as well: [n(n+1)/2]."""
    first, second = np.triu_indices(len(values))
    return np.asarray(np.sort((values[first] + values[second]) / 2))


@cache
def _signed_rank_cut(n: int, confidence: float) -> int:
    """How many pair means the interval leaves out on each side, from the exact null distribution.

    The interval without the k smallest and the k largest misses the centre with 2·P(W ≤ k).
    """
    counts = np.ones(1)  # of sign patterns by their sum of positive ranks, in shares
    for rank in range(1, n + 1):
        wider = np.zeros(len(counts) + rank)
        wider[: len(counts)] += counts / 2
        wider[rank:] += counts / 2
        counts = wider
    return int(np.searchsorted(np.cumsum(counts), (1 - confidence) / 2, side="right")) - 1
