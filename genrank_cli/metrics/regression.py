"""Errors of regression tasks, in the unit of the label."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from genrank_cli.errors import data_error
from genrank_cli.metrics.arrays import FloatArray, real_values


def rmse(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Square root of the mean squared error; both [n]. Raises exit 5 for n = 0."""
    return float(np.sqrt(np.mean(_residuals(labels, predictions) ** 2)))


def mae(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean absolute error; both [n]. Raises exit 5 for n = 0."""
    return float(np.mean(np.abs(_residuals(labels, predictions))))


def _residuals(labels: ArrayLike, predictions: ArrayLike) -> FloatArray:
    observed = real_values("labels", labels, np.size(labels))
    if not observed.size:
        raise data_error("a regression error of no events is undefined")
    return real_values("predictions", predictions, observed.size) - observed
