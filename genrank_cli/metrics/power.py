"""What a paired comparison over n seeds can see: power of the two-sided paired t-test."""

from __future__ import annotations

import math
from itertools import count

from scipy import optimize, stats

from genrank_cli.errors import GenrankError


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

    def missing(effect: float) -> float:
        return paired_t_power(effect, 1.0, n, confidence) - power

    reach = next(2.0**step for step in count() if missing(2.0**step) > 0)
    return sd * float(optimize.brentq(missing, 0.0, reach, xtol=1e-12))


def seeds_needed(effect: float, sd: float, *, power: float = 0.8, confidence: float = 0.95) -> int:
    """Fewest pairs of deviation `sd` that find a mean difference `effect` ≠ 0 with `power`."""
    if effect == 0:
        raise GenrankError("no number of seeds detects an effect of zero")
    if sd == 0:
        return 2
    # A known deviation (the normal test) needs no more pairs than an estimated one: a lower bound.
    z = stats.norm.ppf((1 + confidence) / 2) + stats.norm.ppf(power)
    fewest: int = max(2, math.floor((z * sd / effect) ** 2))
    return next(n for n in count(fewest) if paired_t_power(effect, sd, n, confidence) >= power)
