"""Has something become worse by more than a margin? Three answers, one of them "cannot tell"."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.equivalence import check_margin, one_sided_p
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.metrics.power import smallest_noninferiority_margin


class Outcome(StrEnum):
    """What a one-sided comparison with a margin can say."""

    NOT_INFERIOR = "not inferior"
    INFERIOR = "inferior"
    CANNOT_JUDGE = "cannot judge"


@dataclass(frozen=True, slots=True)
class NonInferiority:
    """The outcome and what it rests on, all in the unit of the values.

    | outcome | when |
    |---|---|
    | not inferior | low > limit: a loss as large as the margin is excluded |
    | inferior | high < limit: the loss is larger than the margin |
    | cannot judge | neither, or fewer than two values |

    `low` and `high` are one-sided bounds of level 1 − α each (together a 1 − 2·α interval); `limit`
    is the value at the margin: −margin, or 1 − loss of ratios. `p` is that of "inferior".
    `smallest_margin` is the smallest that as many values of this deviation show with 80 % power
    when nothing has changed.
    """

    outcome: Outcome
    mean: float
    low: float
    high: float
    n: int
    limit: float
    no_change: float
    margin: float
    smallest_margin: float
    p: float

    @property
    def worse(self) -> bool:
        """Whether a loss of any size is certain (at the one-sided level)."""
        return self.high < self.no_change


def non_inferiority(differences: ArrayLike, margin: float, alpha: float = 0.05) -> NonInferiority:
    """Judge paired differences new − old [n], larger being better, against `margin` > 0."""
    check_margin(margin)
    interval = paired_t(differences, 1 - 2 * alpha)
    p, smallest = _p_and_margin(interval.mean, interval, margin, alpha)
    outcome = _outcome(interval, -margin)
    return NonInferiority(
        outcome,
        interval.mean,
        interval.low,
        interval.high,
        interval.n,
        -margin,
        0.0,
        margin,
        smallest,
        p,
    )


def non_inferior_ratio(ratios: ArrayLike, loss: float, alpha: float = 0.05) -> NonInferiority:
    """Judge paired ratios new / old [n] > 0, larger being better (a speed), against a `loss`.

    `loss` is the tolerated share, 0.2 for 20 %. Judged by logarithms, shown as ratios;
    `smallest_margin` is a loss too.
    """
    if not 0 < loss < 1:
        raise GenrankError(f"a tolerated loss must lie between 0 and 1, found {loss:g}")
    interval = geometric_ratio(ratios, 1 - 2 * alpha)
    log_mean = math.log(interval.mean) if interval.n else math.nan
    p, smallest = _p_and_margin(log_mean, interval, -math.log1p(-loss), alpha)
    outcome = _outcome(interval, 1 - loss)
    return NonInferiority(
        outcome,
        interval.mean,
        interval.low,
        interval.high,
        interval.n,
        1 - loss,
        1.0,
        loss,
        -math.expm1(-smallest),
        p,
    )


def _p_and_margin(
    mean: float, interval: Interval, margin: float, alpha: float
) -> tuple[float, float]:
    """p of "worse by `margin` or more", and the smallest margin to be shown."""
    if interval.n < 2:
        return math.nan, math.nan
    p = one_sided_p(mean + margin, interval.sd / math.sqrt(interval.n), interval.n)
    return p, smallest_noninferiority_margin(interval.sd, interval.n, alpha=alpha)


def _outcome(interval: Interval, limit: float) -> Outcome:
    if np.isnan(interval.low):
        return Outcome.CANNOT_JUDGE
    if interval.low > limit:
        return Outcome.NOT_INFERIOR
    return Outcome.INFERIOR if interval.high < limit else Outcome.CANNOT_JUDGE
