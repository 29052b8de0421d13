"""Percentiles with intervals that claim nothing but that requests are independent and alike.

The number of times below the true percentile is binomial, so two of the sorted times hold it with
the confidence asked for, whatever the distribution is. Far out in the tail there is no upper one
until there are enough times: for the 99th percentile and 95 % that takes 368.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.metrics.intervals import Interval

NAN = float("nan")


def quantile_interval(values: ArrayLike, share: float, confidence: float = 0.95) -> Interval:
    """The ``share`` quantile of values [n] (0 < share < 1) between two of the sorted values.

    A bound is nan where no value can be it. The estimate is numpy's, linear between neighbours.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = len(ordered)
    if n == 0:
        return Interval(NAN, NAN, NAN, 0, NAN)
    tail = (1 - confidence) / 2
    # P(x[lower] > quantile) = P(Binomial ≤ lower) ≤ tail, with lower counted from 0.
    lower = int(stats.binom.ppf(tail, n, share))
    lower -= stats.binom.cdf(lower, n, share) > tail
    # P(x[upper] < quantile) = P(Binomial > upper) ≤ tail.
    upper = int(stats.binom.ppf(1 - tail, n, share))
    sd = float(ordered.std(ddof=1)) if n > 1 else NAN
    return Interval(
        float(np.quantile(ordered, share)),
        float(ordered[lower]) if lower >= 0 else NAN,
        float(ordered[upper]) if upper < n else NAN,
        n,
        sd,
    )


def fewest(share: float, confidence: float = 0.95) -> int:
    """How many values the interval of a quantile needs for both of its bounds."""
    farther = max(share, 1 - share)
    return math.ceil(math.log((1 - confidence) / 2) / math.log(farther))


def quantile_ratio(above: ArrayLike, below: ArrayLike, share: float) -> Interval:
    """Ratio of two samples' quantiles, with at least 95 %: each of its two intervals has 97.5 %."""
    top, bottom = (quantile_interval(x, share, 0.975) for x in (above, below))
    ratio = replace(top, mean=top.mean / bottom.mean, n=min(top.n, bottom.n), sd=NAN)
    return replace(ratio, low=top.low / bottom.high, high=top.high / bottom.low)
