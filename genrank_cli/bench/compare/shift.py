"""How many times as long something takes in one run as in another, with an interval.

The two runs have no rounds in common, so nothing is paired: the estimate is Hodges and Lehmann's,
the median of all differences of logarithms, and its interval inverts the rank-sum test of Wilcoxon,
Mann and Whitney. Its assumption is that rounds are independent; a machine whose pace wanders over
many rounds breaks it, which is why times are also taken over those of a fixed piece of work.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.metrics.intervals import Interval

NAN = float("nan")

#: Values of each run that are looked at: all pairs of more would fill the memory.
MOST = 1_000


def shift(new: ArrayLike, old: ArrayLike, confidence: float = 0.95) -> Interval:
    """new / old of two samples [m], [n] > 0; the bounds are nan where ranks cannot tell."""
    a, b = (np.log(_thinned(np.asarray(x, dtype=np.float64))) for x in (old, new))
    differences = np.sort((b[:, None] - a[None, :]).ravel())
    if not len(differences):
        return Interval(NAN, NAN, NAN, 0, NAN)
    count = min(len(a), len(b))
    cut = _cut(len(a), len(b), confidence)
    middle = math.exp(float(np.median(differences)))
    if cut < 0:
        return Interval(middle, NAN, NAN, count, NAN)
    low, high = differences[cut], differences[len(differences) - 1 - cut]
    return Interval(middle, math.exp(low), math.exp(high), count, NAN)


def _cut(n: int, m: int, confidence: float) -> int:
    """Differences that the interval leaves out on each side; −1: there is none.

    The normal approximation of the rank sum's distribution, with half a step on the safe side.
    """
    deviation = math.sqrt(n * m * (n + m + 1) / 12)
    edge = n * m / 2 - float(stats.norm.ppf((1 + confidence) / 2)) * deviation - 0.5
    return math.floor(edge) if edge >= 0 else -1


def _thinned(values: np.ndarray) -> np.ndarray:
    """At most `MOST` of the values, evenly over the run."""
    if len(values) <= MOST:
        return values
    return values[np.linspace(0, len(values) - 1, MOST).astype(np.int64)]
