"""Run folders: one trained cell (configuration + data + seed), kept and reused.

::

    <runs>/<dataset>-<model>-<key>-s<seed>/
        config.json          the resolved configuration, seed and data hash
        environment.json     versions, device, threads, commit
        metrics.jsonl        one line per finished epoch
        predictions.parquet  test candidates with labels and scores
        weights.safetensors  the best epoch's weights
        result.json          metrics; written last, so its presence means "done"
        checkpoint.pt        only while the run is unfinished
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from genrank_cli.data.splits import Part
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.files import replace_file, write_json, write_text
from genrank_cli.models.config import RatesConfig
from genrank_cli.models.rates import predict_rates
from genrank_cli.training.collisions import collision_record
from genrank_cli.training.config import ExperimentConfig, validate
from genrank_cli.training.environment import environment
from genrank_cli.training.loop import Trainer
from genrank_cli.training.predict import Rows, Scores, metrics, prediction_table, score
from genrank_cli.training.prepare import Prepared, prepare
from genrank_cli.training.runtime import start

#: Raised whenever the same configuration would give other numbers than before.
RESULT_VERSION = 1

Record = dict[str, Any]
Observer = Callable[[Trainer], None]


@dataclass(frozen=True)
class Cell:
    """One run: a configuration on a dataset's content with a seed."""

    config: ExperimentConfig
    seed: int
    data_hash: str

    @property
    def key(self) -> str:
        """Hash of all that decides the result."""
        config = self.config.model_dump(mode="json", exclude={"training": {"workers"}})
        parts = [RESULT_VERSION, config, self.seed, self.data_hash]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    def folder(self, runs: Path) -> Path:
        """Where this cell's run is kept."""
        name = f"{self.config.data.dataset}-{self.config.model.kind}-{self.key}-s{self.seed}"
        return runs / Path(name).name


def finished(cell: Cell, runs: Path) -> Record | None:
    """The record of ``cell`` if it has been run to its end before."""
    file = cell.folder(runs) / "result.json"
    if not file.exists():
        return None
    try:
        record: Record = json.loads(file.read_text())
    except ValueError:
        raise data_error(f"{file} is damaged", f"delete {file.parent} and run again") from None
    return record | {"folder": str(file.parent)}


def run_cell(
    cell: Cell,
    store: Store,
    runs: Path,
    device: torch.device,
    *,
    threads: int | None = None,
    force: bool = False,
    observe: Observer = lambda trainer: None,
) -> Record:
    """Train and evaluate ``cell``, or reuse it, or resume it; its record."""
    folder = cell.folder(runs)
    if force and folder.exists():
        shutil.rmtree(folder)
    done = finished(cell, runs)
    if done is not None:
        return done
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(".*.tmp"):  # of a process that was killed while it wrote
        leftover.unlink()
    described = {"seed": cell.seed, "data_hash": cell.data_hash, "store": str(store.path)}
    write_json(folder / "config.json", cell.config.model_dump(mode="json") | {"run": described})
    write_json(folder / "environment.json", environment())
    start(cell.seed, threads)
    prepared = prepare(store, cell.config)
    if isinstance(cell.config.model, RatesConfig):
        trained: Record = {"parameters": 0, "train_s": 0.0, "epochs": []}
        weights: dict[str, torch.Tensor] = {}
        rows, scores = rates_scores(prepared, cell.config.model, prepared.part == Part.TEST)
    else:
        collisions = collision_record(prepared)
        with _memory_hint(cell.config):
            trainer = _train(cell, prepared, device, folder, observe)
            rows, scores = score(trainer.model, prepared.test, prepared.schema.kinds, device)
        trained = _training_record(trainer) | {"collisions": collisions}
        weights = {name: value.contiguous() for name, value in trainer.weights.items()}
    replace_file(folder / "weights.safetensors", lambda path: save_file(weights, path))
    table = prediction_table(prepared, rows, scores)
    replace_file(folder / "predictions.parquet", table.write_parquet)
    record: Record = {
        "key": cell.key,
        "seed": cell.seed,
        "dataset": store.manifest.name,
        "data_hash": cell.data_hash,
        "partial": cell.config.data.limit is not None,
        "split": prepared.split,
        "tasks": list(prepared.schema.tasks),
        "device": str(device),
        "threads": torch.get_num_threads(),
        "test": metrics(prepared, rows, scores),
        "training": trained,
        "folder": str(folder),
    }
    write_json(folder / "result.json", record)
    (folder / "checkpoint.pt").unlink(missing_ok=True)
    return record


def _train(
    cell: Cell, prepared: Prepared, device: torch.device, folder: Path, observe: Observer
) -> Trainer:
    trainer = Trainer(prepared, cell.config, cell.seed, device)
    checkpoint = folder / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load_state(_read_checkpoint(checkpoint, device))

    def save(state: Record) -> None:
        replace_file(checkpoint, lambda path: torch.save(state, path))
        lines = [json.dumps(epoch) + "\n" for epoch in state["progress"]["epochs"]]
        write_text(folder / "metrics.jsonl", "".join(lines))

    trainer.fit(observe, save)
    return trainer


def _read_checkpoint(file: Path, device: torch.device) -> Record:
    try:
        state: Record = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise data_error(
            f"{file} cannot be read: {error}", f"delete {file} to start this run over"
        ) from error
    return state


def _training_record(trainer: Trainer) -> Record:
    progress = trainer.progress
    return {
        "parameters": sum(p.numel() for p in trainer.model.parameters()),
        "train_s": progress.train_s,
        "events_per_s": progress.events_per_s,
        "best_epoch": progress.best_epoch,
        "best_valid_auc": progress.best_auc,
        "epochs": progress.epochs,
    }


def rates_scores(
    prepared: Prepared, config: RatesConfig, chosen: NDArray[np.bool_]
) -> tuple[Rows, Scores]:
    """The ``chosen`` rows [m] of bool [E], and the `rates` predictions of every task [m, K].

    Rates are those of the events that the run was trained on, whatever split is in use now.
    """
    store = prepared.store
    rows = np.flatnonzero(chosen).astype(np.int64)
    columns = [
        predict_rates(
            config,
            (store.column("user"), store.column("item")),
            store.column(f"task.{task}").astype(np.float64),
            prepared.fitted,
            rows,
            kind,
        )
        for task, kind in zip(prepared.schema.tasks, prepared.schema.kinds, strict=True)
    ]
    return rows, np.stack(columns, axis=1).astype(np.float32)


@contextmanager
def _memory_hint(config: ExperimentConfig) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError as error:
        peak = torch.cuda.max_memory_allocated() / 2**30
        raise GenrankError(
            f"out of device memory at training.batch_events={config.training.batch_events} "
            f"(peak {peak:.1f} GiB): {str(error).splitlines()[0]}",
            f"try --set training.batch_events={config.training.batch_events // 2}",
        ) from None


def load_run(folder: Path) -> tuple[ExperimentConfig, Record, dict[str, torch.Tensor]]:
    """Configuration, its ``run`` entry and weights of a finished run."""
    try:
        tree = json.loads((folder / "config.json").read_text())
        described = tree.pop("run")
        weights = load_file(folder / "weights.safetensors")
    except FileNotFoundError as error:
        missing = Path(error.filename).name if error.filename else "weights.safetensors"
        raise data_error(
            f"{folder} is not a finished run: {missing} is missing",
            "runs are listed by: ls results/runs",
        ) from None
    except Exception as error:
        raise data_error(f"{folder} cannot be read: {error}", "train it again") from error
    return validate(tree, training=False), described, weights


def read_predictions(record: Record) -> pl.DataFrame:
    """The test predictions of a finished run, in ascending order of ``row``."""
    return pl.read_parquet(Path(record["folder"]) / "predictions.parquet")
