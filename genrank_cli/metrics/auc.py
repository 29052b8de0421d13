"""Area under the ROC curve, with ties counted as one half."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from genrank_cli.metrics.arrays import (
    binary_labels,
    one_class,
    real_values,
    run_starts,
    sample_weights,
)


def auc(labels: ArrayLike, scores: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Probability that a random positive outscores a random negative, ties counting one half.

    AUC = Σ_c P_c · (N_before(c) + N_c / 2) / (P · N) over the runs c of equal scores, with P and N
    the weights of positives and negatives: the Mann-Whitney statistic with mid-ranks, so that the
    order of the rows never matters. O(n log n).

    `labels` [n] in {0, 1}; `scores` [n], any real number; `weights` [n] ≥ 0, ones by default.
    Raises `OneClassError` when the positives or the negatives have no weight.
    """
    positive = binary_labels(labels)
    values = real_values("scores", scores, positive.size)
    weight = sample_weights(weights, positive.size)
    total_positive, total_negative = weight[positive].sum(), weight[~positive].sum()
    if total_positive == 0 or total_negative == 0:
        raise one_class("AUC", total_positive, total_negative)
    order = np.argsort(values)
    starts = run_starts(values[order])
    sorted_positive, sorted_weight = positive[order], weight[order]
    positives = np.add.reduceat(sorted_weight * sorted_positive, starts)
    negatives = np.add.reduceat(sorted_weight * ~sorted_positive, starts)
    below = np.cumsum(negatives) - negatives
    return float(positives @ (below + negatives / 2) / (total_positive * total_negative))
