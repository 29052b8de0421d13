"""Scores of a model on one part of the data, and the metrics of those scores."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import nn

from genrank_cli.data.batcher import Batcher
from genrank_cli.metrics.auc import auc
from genrank_cli.metrics.evaluation import evaluate_predictions, evaluate_regression
from genrank_cli.training.loss import predictions
from genrank_cli.training.prepare import Prepared

Scores = NDArray[np.float32]
Rows = NDArray[np.int64]


def score(
    model: nn.Module, batcher: Batcher, kinds: tuple[str, ...], device: torch.device
) -> tuple[Rows, Scores]:
    """Rows of the store in ascending order [m] and the predictions for them [m, K]."""
    training = model.training
    model.eval()
    rows, scores = [], []
    with torch.inference_mode():
        for chosen in batcher.in_order():
            batch = batcher.batch(chosen)
            output = predictions(model(batch.to(device)), kinds)
            rows.append(batch.rows)
            scores.append(output.float().cpu())
    model.train(training)
    flat = torch.cat(rows).numpy()
    order = np.argsort(flat)
    return flat[order], torch.cat(scores).numpy()[order]


def main_auc(prepared: Prepared, rows: Rows, scores: Scores) -> float:
    """AUC of the main task: what early stopping watches."""
    labels = prepared.store.column(f"task.{prepared.schema.tasks[0]}")[rows]
    return auc(labels, scores[:, 0])


def metrics(prepared: Prepared, rows: Rows, scores: Scores) -> dict[str, dict[str, float]]:
    """Task → metric → value."""
    store = prepared.store
    user, request = store.column("user")[rows], store.column("request")[rows]
    report = {}
    for k, (task, kind) in enumerate(
        zip(prepared.schema.tasks, prepared.schema.kinds, strict=True)
    ):
        labels = store.column(f"task.{task}")[rows]
        if kind == "binary":
            truth = store.column(f"truth.{task}")[rows] if store.manifest.truth else None
            report[task] = evaluate_predictions(
                labels, scores[:, k], user=user, request=request, truth=truth
            )
        else:
            report[task] = evaluate_regression(labels, scores[:, k])
    return report


def prediction_table(prepared: Prepared, rows: Rows, scores: Scores) -> pl.DataFrame:
    """One line per candidate: row, user, item and request codes, labels and scores."""
    store = prepared.store
    columns: dict[str, NDArray[np.generic]] = {"row": rows}
    for name in ("user", "item", "request"):
        columns[name] = store.column(name)[rows]
    for k, task in enumerate(prepared.schema.tasks):
        columns[f"label.{task}"] = store.column(f"task.{task}")[rows]
        columns[f"score.{task}"] = scores[:, k]
        if store.manifest.truth:
            columns[f"truth.{task}"] = store.column(f"truth.{task}")[rows]
    return pl.DataFrame(columns)
