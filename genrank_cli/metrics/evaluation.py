"""All metrics of one task's predictions, as a flat dictionary ready for a results record."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from genrank_cli.metrics.arrays import binary_labels
from genrank_cli.metrics.auc import auc
from genrank_cli.metrics.grouped import gauc
from genrank_cli.metrics.lift import reachable_lift
from genrank_cli.metrics.probability import calibration, log_loss, normalized_entropy
from genrank_cli.metrics.regression import mae, rmse


def evaluate_predictions(
    labels: ArrayLike,
    scores: ArrayLike,
    *,
    user: ArrayLike,
    request: ArrayLike,
    truth: ArrayLike | None = None,
) -> dict[str, float]:
    """Metrics of a binary task; every array is [events].

    `scores` are predicted probabilities; `user` and `request` the groups of the two GAUCs, nan
    where no group holds both classes, each with the share of events that its groups hold; `truth`
    the probability behind each label, known in the synthetic feed only, adds `oracle_auc` and
    `lift_share`. Raises `OneClassError` when the labels are all the same.
    """
    positive = binary_labels(labels)
    by_user = gauc(positive, scores, user)
    by_request = gauc(positive, scores, request)
    metrics = {
        "auc": auc(positive, scores),
        "gauc_user": by_user.value,
        "gauc_user_event_share": by_user.event_share,
        "gauc_request": by_request.value,
        "gauc_request_event_share": by_request.event_share,
        "ne": normalized_entropy(positive, scores),
        "log_loss": log_loss(positive, scores),
        "calibration": calibration(positive, scores),
        "base_rate": float(positive.mean()),
        "events": float(positive.size),
        "positives": float(positive.sum()),
    }
    if truth is not None:
        metrics["oracle_auc"] = auc(positive, truth)
        metrics["lift_share"] = reachable_lift(metrics["auc"], metrics["oracle_auc"])
    return metrics


def evaluate_regression(labels: ArrayLike, predictions: ArrayLike) -> dict[str, float]:
    """Metrics of a regression task, in the unit of the label; both arrays are [events]."""
    return {
        "rmse": rmse(labels, predictions),
        "mae": mae(labels, predictions),
        "mean_label": float(np.asarray(labels, np.float64).mean()),
        "mean_prediction": float(np.asarray(predictions, np.float64).mean()),
        "events": float(np.size(labels)),
    }
