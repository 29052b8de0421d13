"""Is a difference small enough not to matter? Two one-sided t-tests (TOST) against a margin."""

from __future__ import annotations

import math
from dataclasses import dataclass

from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.intervals import Interval, paired_t


@dataclass(frozen=True, slots=True)
class Equivalence:
    """What `equivalence` found; `p` is that of "the difference is `margin` or more", nan for n < 2.

    `interval` has the level 1 − 2·α: the whole of it lies inside ± `margin` just where p < α.
    """

    interval: Interval
    margin: float
    p: float
    equivalent: bool


def equivalence(differences: ArrayLike, margin: float, alpha: float = 0.05) -> Equivalence:
    """Test whether the mean of paired `differences` [n] lies inside ± `margin` > 0.

    A difference that is merely not significant proves nothing: with few seeds nothing is. Here
    "as large as the margin" is the hypothesis to reject, from above and from below, each at level
    `alpha`; both rejections are needed, so the level of the whole is `alpha` as well.

    Source: Schuirmann, A comparison of the two one-sided tests procedure, 1987.
    """
    check_margin(margin)
    interval = paired_t(differences, 1 - 2 * alpha)
    error = interval.sd / math.sqrt(interval.n) if interval.n else math.nan
    from_above = one_sided_p(margin - interval.mean, error, interval.n)
    from_below = one_sided_p(margin + interval.mean, error, interval.n)
    p = from_above if math.isnan(from_above) else max(from_above, from_below)
    return Equivalence(interval, margin, p, p < alpha)


def one_sided_p(distance: float, error: float, n: int) -> float:
    """p of the one-sided t-test, n − 1 degrees of freedom, that a mean is above 0.

    `distance` is its estimate, `error` the standard error; nan where n < 2. Values that do not vary
    (`error` 0) decide alone: 0 above zero, else 1.
    """
    if n < 2 or math.isnan(error):
        return math.nan
    if error == 0:
        return 0.0 if distance > 0 else 1.0
    return float(stats.t.sf(distance / error, n - 1))


def check_margin(margin: float) -> None:
    """Refuse a margin that is not a positive finite number (usage)."""
    if not 0 < margin < math.inf:
        raise GenrankError(f"a margin must be a positive number, found {margin:g}")
