"""A finished run's model scored again, on any part of its data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch

from genrank_cli.data.build import ensure_store
from genrank_cli.errors import data_error, unknown_name
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import RatesConfig
from genrank_cli.training.config import ExperimentConfig, overlaid
from genrank_cli.training.predict import Rows, Scores, metrics, prediction_table, score
from genrank_cli.training.prepare import PARTS, Prepared, prepare
from genrank_cli.training.run import Record, load_run, rates_scores
from genrank_cli.training.runtime import resolve_device, start


def evaluate_run(
    folder: Path,
    *,
    part: str = "test",
    settings: Sequence[Mapping[str, Any]] = (),
    device: str = "auto",
    threads: int | None = None,
) -> tuple[Record, pl.DataFrame]:
    """Metrics and predictions of the run in ``folder`` on ``part`` of its data.

    ``settings`` may change how the data is split and sampled; the model stays as it was trained.
    Raises `GenrankError` where the run is unfinished or its dataset was built differently since.
    """
    if part not in PARTS:
        raise unknown_name("part of the data", part, PARTS)
    target = resolve_device(device)
    trained, described, weights = load_run(folder)
    config = overlaid(trained, *settings)
    store = ensure_store(config.data.dataset)
    if store.manifest.data_hash != described["data_hash"]:
        raise data_error(
            f"{folder} was trained on other data than {store.path} holds now",
            "train again, or build the dataset as it was",
        )
    start(described["seed"], threads)
    prepared = prepare(store, config, trained)
    rows, scores = _scores(config, prepared, weights, part, target)
    record = {
        "run": str(folder),
        "part": part,
        "split": prepared.split,
        "metrics": metrics(prepared, rows, scores),
    }
    return record, prediction_table(prepared, rows, scores)


def _scores(
    config: ExperimentConfig,
    prepared: Prepared,
    weights: dict[str, torch.Tensor],
    part: str,
    device: torch.device,
) -> tuple[Rows, Scores]:
    if isinstance(config.model, RatesConfig):
        return rates_scores(prepared, config.model, part)
    model = build_ranker(config.model, prepared.schema)
    model.load_state_dict(weights)
    return score(model.to(device), getattr(prepared, part), prepared.schema.kinds, device)
