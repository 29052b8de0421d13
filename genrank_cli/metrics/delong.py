"""DeLong's test: the AUC difference of one pair of models scored on the same events."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.metrics.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    aligned,
    binary_labels,
    one_class,
    real_values,
)
from genrank_cli.metrics.intervals import Interval


@dataclass(frozen=True, slots=True)
class PairedAuc:
    """AUC(b) − AUC(a) with its normal interval and the two-sided p-value of no difference.

    `difference.n` counts the sampled units: events, or users where users were given.
    """

    auc_a: float
    auc_b: float
    difference: Interval
    p: float


def delong(
    labels: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    user: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
) -> PairedAuc:
    """Compare two models by DeLong's variance of their AUC difference, in O(n log n) by mid-ranks.

    Without `user` every event counts as an independent draw. Exposures of one person are not: that
    variance is too small wherever users differ, and the interval then covers less than it says.
    With `user` the structural components are summed over each user first (Obuchowski), which is
    valid for many independent users; over few of them, and for the mean of several seeds,
    `bootstrap_users` is the one to trust. Neither sees the variance between training seeds.

    A difference that cannot vary (the same ranking twice) has p = 1 where it is 0, else p = 0.
    `labels` [n] in {0, 1}; scores and `user` [n]. Raises `OneClassError` for one class; the bounds
    are nan where a class has fewer than two units.

    Sources: DeLong, DeLong and Clarke-Pearson 1988; Sun and Xu 2014 for the mid-ranks; Obuchowski,
    Nonparametric analysis of clustered ROC curve data, 1997.
    """
    positive = binary_labels(labels)
    if positive.all() or not positive.any():
        raise one_class("AUC", positive.sum(), (~positive).sum())
    unit = np.arange(positive.size) if user is None else aligned("user", user, positive.size)
    codes = np.unique(unit, return_inverse=True)[1]
    auc_a, of_a = _components(positive, real_values("scores_a", scores_a, positive.size))
    auc_b, of_b = _components(positive, real_values("scores_b", scores_b, positive.size))
    gap = auc_b - auc_a
    error = math.sqrt(_variance(of_b - of_a - gap, positive, codes))
    half = float(stats.norm.ppf((1 + confidence) / 2)) * error
    units = int(codes.max()) + 1
    difference = Interval(gap, gap - half, gap + half, units, error * math.sqrt(units))
    return PairedAuc(auc_a, auc_b, difference, _two_sided(gap, error))


def _components(positive: BoolArray, scores: FloatArray) -> tuple[float, FloatArray]:
    """The AUC, and of each event [n] the share of the other class that it is ordered right with.

    The rank of a score among all less its rank in its own class counts those of the other class
    below it, ties one half. The mean over either class is the AUC.
    """
    rank = stats.rankdata(scores)
    own = np.empty(scores.size)
    own[positive] = stats.rankdata(scores[positive])
    own[~positive] = stats.rankdata(scores[~positive])
    negatives = int((~positive).sum())
    below = rank - own
    share = np.where(positive, below / negatives, 1 - below / (scores.size - negatives))
    return float(share[positive].mean()), share


def _variance(deviation: FloatArray, positive: BoolArray, codes: IntArray) -> float:
    """Variance of the mean `deviation` of positives plus that of negatives, [n], drawn by unit.

    A unit with events of both classes links the two means; without such the last term is 0.
    """
    of_positives = np.bincount(codes, deviation * positive) / positive.sum()  # [units]
    of_negatives = np.bincount(codes, deviation * ~positive) / (~positive).sum()
    units = [np.unique(codes[positive]).size, np.unique(codes[~positive]).size, of_positives.size]
    if min(units) < 2:
        return math.nan
    sums = [of_positives**2, of_negatives**2, 2 * of_positives * of_negatives]
    total = math.fsum(
        n / (n - 1) * float(terms.sum()) for n, terms in zip(units, sums, strict=True)
    )
    return max(0.0, total)


def _two_sided(gap: float, error: float) -> float:
    if error == 0:
        return 1.0 if gap == 0 else 0.0
    return float(2 * stats.norm.sf(abs(gap) / error))
