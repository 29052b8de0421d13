"""From a store and a configuration to batchers for training, validation and test."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrank_cli.data.batcher import Batcher
from genrank_cli.data.gather import EventReader
from genrank_cli.data.samples import build_samples
from genrank_cli.data.splits import Part, assign_split
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError, data_error, unknown_name
from genrank_cli.models.history_loss import trains_on_history
from genrank_cli.models.schema import Schema
from genrank_cli.training.config import DataConfig, ExperimentConfig

PARTS = ("train", "valid", "test")
PIECE = 1 << 22  # labels looked at together


@dataclass(frozen=True)
class Prepared:
    """A dataset ready to be learnt from.

    ``part`` is uint8 [E], a `Part` of the split for each event. ``fitted`` is bool [E]: the events
    that the model is trained on, which are the train part unless it was trained with another split.
    """

    store: Store
    config: ExperimentConfig
    reader: EventReader
    schema: Schema
    part: NDArray[np.uint8]
    fitted: NDArray[np.bool_]
    split: str
    train: Batcher
    valid: Batcher
    test: Batcher

    def batcher(self, chosen: NDArray[np.bool_]) -> Batcher:
        """Batches in which the ``chosen`` events, bool [E], are the candidates."""
        return _batcher(self.store, chosen, self.schema.tasks, self.config, self.reader)

    def means(self) -> list[float]:
        """Mean training label of each task; of ln(1 + label) for regression tasks."""
        return [
            _mean(self.store.column(f"task.{task}"), self.part == Part.TRAIN, kind)
            for task, kind in zip(self.schema.tasks, self.schema.kinds, strict=True)
        ]


def _mean(column: NDArray[np.float32], chosen: NDArray[np.bool_], kind: str) -> float:
    """Mean of the ``chosen`` labels, piece by piece; of ln(1 + label) for regression."""
    total = 0.0
    for labels in _pieces(column, chosen):
        values = labels.astype(np.float64)
        total += float((values if kind == "binary" else np.log1p(values)).sum())
    return total / int(np.count_nonzero(chosen))


def _pieces(
    column: NDArray[np.float32], chosen: NDArray[np.bool_]
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, len(column), PIECE):
        yield column[start : start + PIECE][chosen[start : start + PIECE]]


def chosen_tasks(store: Store, names: tuple[str, ...]) -> tuple[str, ...]:
    """The tasks to predict, main first: ``names``, or all binary tasks of the card."""
    kinds = {task.name: task.kind for task in store.manifest.tasks}
    for name in names:
        if name not in kinds:
            raise unknown_name(f"task of {store.manifest.name}", name, kinds)
    tasks = names or tuple(name for name, kind in kinds.items() if kind == "binary")
    if not tasks or kinds[tasks[0]] != "binary":
        raise GenrankError(
            "the main task must be binary: it is what AUC is measured on",
            f"binary tasks: {', '.join(n for n, k in kinds.items() if k == 'binary') or 'none'}",
        )
    return tasks


def prepare(
    store: Store, config: ExperimentConfig, trained: ExperimentConfig | None = None
) -> Prepared:
    """Split, sample and batch ``store`` as ``config`` says.

    Numbers fall into the buckets of the model's training: quantiles are taken over the training
    events of ``trained``, the configuration that a finished model was trained with, by default
    ``config`` itself; its longest history is the model's fixed N. Raises `GenrankError` (data)
    where a part is empty or its main task has one class only.
    """
    data = config.data
    tasks = chosen_tasks(store, data.tasks)
    part, split = _parts(store, data)
    fitted = (part if trained is None else _parts(store, trained.data)[0]) == Part.TRAIN
    longest = (trained or config).data.samples.longest_history
    schema = Schema.of(store, tasks, longest, fitted)
    reader = EventReader(store, schema.boundaries)
    main = store.column(f"task.{tasks[0]}")
    batchers = []
    for number, name in enumerate(PARTS):
        chosen = part == number
        _check_part(name, main, chosen, tasks[0], split, store)
        batchers.append(_batcher(store, chosen, tasks, config, reader))
    return Prepared(store, config, reader, schema, part, fitted, split, *batchers)


def _parts(store: Store, data: DataConfig) -> tuple[NDArray[np.uint8], str]:
    """The part of every event, uint8 [E], and the name of the split."""
    split = store.manifest.split
    if data.split is not None:
        split = split.named(data.split)
    part = assign_split(store, split)
    if data.limit is not None:
        part[store.column("user") >= data.limit] = Part.UNUSED
    return part, split.name


def _batcher(
    store: Store,
    chosen: NDArray[np.bool_],
    tasks: tuple[str, ...],
    config: ExperimentConfig,
    reader: EventReader,
) -> Batcher:
    samples = build_samples(store, chosen, config.data.samples)
    training = config.training
    return Batcher(
        store,
        samples,
        tasks,
        training.batch_events,
        reader=reader,
        workers=training.workers,
        learnt=chosen if trains_on_history(config.model) else None,
    )


def _check_part(
    name: str,
    labels: NDArray[np.float32],
    chosen: NDArray[np.bool_],
    task: str,
    split: str,
    store: Store,
) -> None:
    where = f"the {name} part of {store.manifest.name} (split {split})"
    hint = "use another --split, more data, or other fractions on the dataset's card"
    if not chosen.any():
        raise data_error(f"{where} is empty", hint)
    low = min(float(piece.min(initial=np.inf)) for piece in _pieces(labels, chosen))
    high = max(float(piece.max(initial=-np.inf)) for piece in _pieces(labels, chosen))
    if low == high:
        raise data_error(f"{where} has one class of task {task!r} only: AUC is undefined", hint)
