"""An experiment of a second: a small log in memory, small models, few steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from genrank_cli.training.config import ExperimentConfig, layered
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import Prepared, prepare
from genrank_cli.training.run import Cell, Record, run_cell
from tests.factory import MemoryStore, make_store

CPU = torch.device("cpu")
#: All that a default's tuning could change.
TRAINING: dict[str, Any] = {
    "epochs": 3,
    "patience": 9,
    "batch_events": 120,
    "learning_rate": 2e-3,
    "embedding_learning_rate": 4e-3,
    "weight_decay": 0.01,
    "embedding_decay": 0.0,
    "warmup": 0.05,
    "clip": 1.0,
}
LENGTHS = (30, 25, 20, 15) * 4


def small_store(seed: int = 0) -> MemoryStore:
    return make_store(LENGTHS, per_request=3, seed=seed)


def small_config(model: str = "genrank", **training: Any) -> ExperimentConfig:
    """Dropout is on: what a resumed run draws must be what it would have drawn."""
    sizes: dict[str, Any] = {"width": 8, "dropout": 0.2}
    sizes |= (
        {"hidden": [8], "attention_hidden": 4} if model == "dlrm" else {"blocks": 1, "heads": 2}
    )
    layer = {
        "data": {"dataset": "memory", "samples": {"history": 10, "window": 12}},
        "model": {} if model == "rates" else sizes,
        "training": TRAINING | training,
    }
    return layered(model, "tiny", layer)


def small_trainer(
    model: str = "genrank", seed: int = 0, store: MemoryStore | None = None, **training: Any
) -> Trainer:
    config = small_config(model, **training)
    return Trainer(prepared(config, store), config, seed, CPU)


def prepared(config: ExperimentConfig, store: MemoryStore | None = None) -> Prepared:
    return prepare(store or small_store(), config)


def small_cell(model: str = "genrank", seed: int = 0, **training: Any) -> Cell:
    return Cell(small_config(model, **training), seed, small_store().manifest.data_hash)


def run(cell: Cell, runs: Path, **options: Any) -> Record:
    return run_cell(cell, small_store(), runs, CPU, threads=1, **options)
