"""What a paired comparison over n seeds can see: power of the t-tests on paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from itertools import count

import numpy as np
from scipy import optimize, stats

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(100)  # on [−1, 1]


def paired_t_power(effect: float, sd: float, n: int, confidence: float = 0.95) -> float:
    """Probability that the paired t-test over `n` ≥ 2 differences with mean `effect` and deviation
    `sd` > 0 rejects zero: the tails of the noncentral t with nc = effect·√n / sd.
    """
    shift = abs(effect) * math.sqrt(n) / sd
    critical = stats.t.ppf((1 + confidence) / 2, n - 1)
    above = stats.nct.sf(critical, n - 1, shift)
    below = stats.nct.sf(critical, n - 1, -shift)  # by symmetry; cdf(−critical) can be nan
    return float(above + below)


def minimum_detectable(sd: float, n: int, *, power: float = 0.8, confidence: float = 0.95) -> float:
    """Smallest mean difference that `n` pairs of deviation `sd` find with probability `power`.

    In the unit of `sd`; nan for n < 2 or an unknown deviation, 0 when `sd` is 0.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    if sd == 0:
        return 0.0

    return sd * _unit_effect(n, power, confidence)


def equivalence_power(margin: float, sd: float, n: int, alpha: float = 0.05) -> float:
    """Probability that `equivalence` shows a mean of exactly 0 to lie inside ± `margin`.

    With s the estimated deviation over the true one and t the one-sided critical value it is
    E[max(0, 2·Φ(margin·√n / sd − t·s) − 1)]: both tests reject only while t·s leaves room.
    """
    shift, critical = margin * math.sqrt(n) / sd, float(stats.t.isf(alpha, n - 1))
    spread = 12 / math.sqrt(2 * (n - 1))  # of s around 1: nothing is left beyond
    first, last = max(0.0, 1 - spread), min(shift / critical, 1 + spread)
    if last <= first:
        return 0.0
    s = first + (last - first) * (_NODES + 1) / 2
    # s·√(n − 1) has the chi distribution.
    density = math.sqrt(n - 1) * stats.chi.pdf(s * math.sqrt(n - 1), n - 1)
    both = 2 * stats.norm.cdf(shift - critical * s) - 1
    return float((last - first) / 2 * (_WEIGHTS @ (both * density)))


def smallest_equivalence_margin(
    sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest margin inside which `n` pairs of deviation `sd` show "no difference" with `power`.

    For a true mean of 0, in the unit of `sd`; nan and 0 as for `minimum_detectable`.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    if sd == 0:
        return 0.0
    return sd * _unit_equivalence(n, power, alpha)


def smallest_noninferiority_margin(
    sd: float, n: int, *, power: float = 0.8, alpha: float = 0.05
) -> float:
    """Smallest margin against which `n` pairs of deviation `sd` show "not worse" with `power`.

    For a true mean of 0, in the unit of `sd`; nan and 0 as for `minimum_detectable`.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    if sd == 0:
        return 0.0
    return sd * _unit_noninferiority(n, power, alpha)


# The sizes scale with the deviation, so one search serves all studies of as many seeds.


@lru_cache
def _unit_effect(n: int, power: float, confidence: float) -> float:
    return _smallest(lambda effect: paired_t_power(effect, 1.0, n, confidence), power)


@lru_cache
def _unit_equivalence(n: int, power: float, alpha: float) -> float:
    return _smallest(lambda margin: equivalence_power(margin, 1.0, n, alpha), power)


@lru_cache
def _unit_noninferiority(n: int, power: float, alpha: float) -> float:
    critical = stats.t.isf(alpha, n - 1)
    return _smallest(lambda margin: float(stats.nct.sf(critical, n - 1, margin * n**0.5)), power)


def _smallest(power_at: Callable[[float], float], power: float) -> float:
    """The smallest size at which the increasing `power_at` reaches `power`."""
    reach = next(2.0**step for step in count() if power_at(2.0**step) > power)
    return float(optimize.brentq(lambda size: power_at(size) - power, 0.0, reach, xtol=1e-12))
