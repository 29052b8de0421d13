"""A finished run's model scored again, on any part of its data."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from genrank_cli.data.build import ensure_store
from genrank_cli.data.splits import Part
from genrank_cli.errors import GenrankError, data_error, unknown_name
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import GenerativeConfig, RatesConfig
from genrank_cli.training.config import ExperimentConfig, overlaid
from genrank_cli.training.predict import Rows, Scores, metrics, prediction_table, score
from genrank_cli.training.prepare import PARTS, Prepared, prepare
from genrank_cli.training.run import Record, load_run, rates_scores
from genrank_cli.training.runtime import resolve_device, start

log = logging.getLogger(__name__)

#: The parts that a model can be scored on.
EVALUATED = (*PARTS, "random")


def evaluate_run(
    folder: Path,
    *,
    part: str = "test",
    settings: Sequence[Mapping[str, Any]] = (),
    device: str = "auto",
    threads: int | None = None,
) -> tuple[Record, pl.DataFrame]:
    """Metrics and predictions of the run in ``folder`` on ``part`` of its data.

    Part ``random`` is that of the randomly exposed events in the test period: what it measures does
    not depend on what an earlier recommender chose to show. ``settings`` may change how the data is
    split and sampled; the model stays as it was trained, and events of another split that it was
    trained on are left out, but for part ``train``, which asks for them. A warning and the record
    say how many. Raises `GenrankError` where the run is unfinished, its dataset was built
    differently since, nothing is left of the part, or ``settings`` would need another model.
    """
    if part not in EVALUATED:
        raise unknown_name("part of the data", part, EVALUATED)
    target = resolve_device(device)
    trained, described, weights = load_run(folder)
    config = overlaid(trained, *settings, training=False)
    _check_same_model(config, trained)
    store = ensure_store(config.data.dataset)
    if store.manifest.data_hash != described["data_hash"]:
        raise data_error(
            f"{folder} was trained on other data than {store.path} holds now",
            "train again, or build the dataset as it was",
        )
    start(described["seed"], threads)
    prepared = prepare(store, config, trained)
    chosen, known = _chosen(prepared, part)
    rows, scores = _scores(config, prepared, weights, chosen, target)
    record = {
        "run": str(folder),
        "part": part,
        "split": prepared.split,
        "events": len(rows),
        **known,
        "metrics": metrics(prepared, rows, scores),
    }
    return record, prediction_table(prepared, rows, scores)


def _check_same_model(config: ExperimentConfig, trained: ExperimentConfig) -> None:
    """Refuse settings that only another model could follow."""
    for name, now, then in (
        ("model", config.model, trained.model),
        ("data.tasks", config.data.tasks, trained.data.tasks),
    ):
        if now != then:
            raise GenrankError(
                f"{name} is that of the run and cannot be changed in an evaluation",
                "train with these settings: genrank train --set …",
            )
    longest, known = (c.data.samples.longest_history for c in (config, trained))
    if isinstance(trained.model, GenerativeConfig) and longest > known:
        raise GenrankError(
            f"samples with up to {longest} events before a candidate: this model was made for "
            f"{known}",
            "lower data.samples.history, or data.samples.window of packed samples",
        )


def _chosen(prepared: Prepared, part: str) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """The events of the part to score, bool [E]; some, and of both classes of the main task.

    With them, how many events are scored although the model was trained on them, and how many of
    the part are left out for that.
    """
    chosen: NDArray[np.bool_] = prepared.part == Part[part.upper()]
    name, task = prepared.store.manifest.name, prepared.schema.tasks[0]
    if not chosen.any():
        reason = (
            "is empty" if prepared.store.manifest.apart else "does not exist: no event is apart"
        )
        hint = "genrank data audit tells which events are apart, and where test begins"
        raise data_error(f"the {part} part of {name} (split {prepared.split}) {reason}", hint)
    chosen, known = _unknown(prepared, part, chosen)
    labels = prepared.store.column(f"task.{task}")[chosen]
    if labels.min() == labels.max():
        message = f"the {part} part of {name} has one class of task {task!r} only"
        raise data_error(f"{message}: AUC is undefined", "evaluate another part or task")
    return chosen, known


def _unknown(
    prepared: Prepared, part: str, chosen: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """``chosen`` without the events that the model was trained on, and their number."""
    known, total = int((chosen & prepared.fitted).sum()), int(chosen.sum())
    where = f"the {part} part of {prepared.store.manifest.name} (split {prepared.split})"
    found = f"{known:,} of {total:,} events of {where} were trained on by this run"
    if part == "train" or not known:
        if known:
            log.warning("%s; they are scored, because part train asks for them", found)
        return chosen, {"trained_on": known, "left_out": 0}
    if known == total:
        raise data_error(f"{found}: nothing is left to score", "train with that --split first")
    log.warning("%s and are left out", found)
    return chosen & ~prepared.fitted, {"trained_on": 0, "left_out": known}


def _scores(
    config: ExperimentConfig,
    prepared: Prepared,
    weights: dict[str, torch.Tensor],
    chosen: NDArray[np.bool_],
    device: torch.device,
) -> tuple[Rows, Scores]:
    if isinstance(config.model, RatesConfig):
        return rates_scores(prepared, config.model, chosen)
    model = build_ranker(config.model, prepared.schema)
    model.load_state_dict(weights)
    return score(model.to(device), prepared.batcher(chosen), prepared.schema.kinds, device)
