"""Metrics of predictions as probabilities: log loss, normalised entropy, calibration."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from genrank_cli.errors import GenrankError, data_error
from genrank_cli.metrics.arrays import (
    FloatArray,
    binary_labels,
    one_class,
    probabilities,
)

# A float32 sigmoid cannot tell 1 − 6e-8 from 1: clipping here keeps one saturated row finite.
PROBABILITY_FLOOR = 1e-7


class Reliability(NamedTuple):
    """Predictions binned by size; every array is [bins used]."""

    events: FloatArray
    mean_prediction: FloatArray
    base_rate: FloatArray  # share of positive labels

    @property
    def expected_calibration_error(self) -> float:
        """Σ_b n_b / n · |mean prediction − base rate|, in units of probability."""
        gap = np.abs(self.mean_prediction - self.base_rate)
        return float(self.events @ gap / self.events.sum())


def log_loss(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean of −y·ln p − (1−y)·ln(1−p), in nats, with p clipped to [1e-7, 1 − 1e-7].

    `labels` [n] in {0, 1}; `predictions` [n] in [0, 1]. Raises exit 5 for n = 0.
    """
    positive = binary_labels(labels)
    predicted = probabilities(predictions, positive.size)
    if not positive.size:
        raise data_error("log loss of no events is undefined")
    clipped = np.clip(predicted, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    return float(-np.log(np.where(positive, clipped, 1 - clipped)).mean())


def normalized_entropy(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Log loss divided by the entropy of the base rate: 1 = always predicting the base rate.

    Raises `OneClassError` when that entropy is zero.
    """
    positive = binary_labels(labels)
    count = int(positive.sum())
    if count in (0, positive.size):
        raise one_class("normalised entropy", count, positive.size - count)
    rate = positive.mean()
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))
    return float(log_loss(positive, predictions) / entropy)


def calibration(labels: ArrayLike, predictions: ArrayLike) -> float:
    """Mean prediction / base rate: above 1 the model promises too much.

    Raises `OneClassError` without a positive label.
    """
    positive = binary_labels(labels)
    predicted = probabilities(predictions, positive.size)
    if not positive.any():
        raise one_class("calibration", 0, positive.size)
    return float(predicted.mean() / positive.mean())


def reliability(labels: ArrayLike, predictions: ArrayLike, bins: int = 10) -> Reliability:
    """Mean prediction and base rate in bins of about equal count (quantiles of the predictions).

    Equal predictions share a bin, so there may be fewer bins than asked for. Equal counts instead
    of equal widths: click probabilities crowd near zero.
    """
    if bins < 1:
        raise GenrankError(f"reliability needs at least one bin, got {bins}")
    positive = binary_labels(labels)
    predicted = probabilities(predictions, positive.size)
    if not positive.size:
        raise data_error("reliability of no events is undefined")
    edges = np.quantile(predicted, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(np.unique(edges), predicted)
    count = np.bincount(place)
    used = count > 0
    prediction_sum = np.bincount(place, weights=predicted)[used]
    positives = np.bincount(place, weights=positive)[used]
    filled = count[used].astype(np.float64)
    return Reliability(filled, prediction_sum / filled, positives / filled)
