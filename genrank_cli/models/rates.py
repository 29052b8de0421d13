"""`rates`: smoothed user and item rates added as log-odds. Nothing is trained.

The floor that every ranker must beat to be worth a table.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from genrank_cli.models.config import RatesConfig

Codes = NDArray[np.integer]
Values = NDArray[np.float64]


def smoothed_rates(codes: Codes, labels: Values, size: int, prior_events: float) -> Values:
    """Rate of each code [size]: (positives + prior·overall) / (events + prior)."""
    positives = np.bincount(codes, labels, minlength=size)
    events = np.bincount(codes, minlength=size)
    rates: Values = (positives + prior_events * labels.mean()) / (events + prior_events)
    return rates


def predict_rates(
    config: RatesConfig,
    codes: tuple[Codes, Codes],
    labels: Values,
    fit: NDArray[np.bool_],
    wanted: NDArray[np.int64],
    kind: str,
) -> Values:
    """Predictions [w] for the rows ``wanted``, from the labels of the rows where ``fit`` is true.

    ``codes`` are the user and the item of every row. Binary: logit p = logit(user's rate) +
    logit(item's rate) − logit(overall rate); the overall rate, where only one class was fitted.
    Regression: the same sum of the means themselves.
    """
    known = labels[fit]
    if kind != "regression" and known.min() == known.max():  # its log-odds are infinite
        return np.full(len(wanted), known[0], dtype=np.float64)
    means = [
        smoothed_rates(code[fit], known, int(code.max()) + 1, config.prior_events)[code[wanted]]
        for code in codes
    ]
    if kind == "regression":
        predicted: Values = means[0] + means[1] - known.mean()
    else:
        predicted = expit(logit(means[0]) + logit(means[1]) - logit(known.mean()))
    return predicted
