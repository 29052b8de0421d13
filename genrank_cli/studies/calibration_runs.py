"""The trained models behind `calibration`: real training, made as small as it can be.

A feed of its own with many users: a model learns from about 300 of them in a tenth of a second, and
thousands are left to be tested on. The planted change is a real one with a dose: the variant learns
from fewer users. Everything else, test users included, is the same for all runs.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from genrank_cli.data.batcher import Batcher
from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card, override
from genrank_cli.data.splits import Part
from genrank_cli.errors import ExitCode, GenrankError, data_error
from genrank_cli.files import write_text
from genrank_cli.metrics.arrays import FloatArray, IntArray
from genrank_cli.metrics.auc import auc
from genrank_cli.training.config import ExperimentConfig, layered
from genrank_cli.training.loop import Trainer
from genrank_cli.training.predict import Scores, score
from genrank_cli.training.prepare import Prepared, prepare
from genrank_cli.training.run import RESULT_VERSION
from genrank_cli.training.runtime import start

FEED: dict[str, Any] = {
    "options": {
        "users": 22_000,
        "items": 100,
        "authors": 16,
        "requests": 4.0,
        "candidates": [3, 6],
    },
    "split": {"name": "user", "train": 0.0135, "valid": 0.002, "test": 0.9845},
}
SETTINGS: dict[str, Any] = {
    "data": {"tasks": ["click"], "samples": {"history": 12}},
    "model": {"width": 16, "blocks": 1, "heads": 2, "dropout": 0.0},
    "training": {
        "epochs": 1,
        "batch_events": 500,
        "learning_rate": 1e-2,
        "embedding_learning_rate": 3e-2,
    },
}
TEST_USERS = 200  # whose AUC is the result of a run
SAVE_EVERY = 25  # runs


class Trained(Protocol):
    """Where the AUC of a run comes from."""

    @property
    def key(self) -> str:
        """Hash of all that decides an AUC, apart from the seed and the number of users."""

    @property
    def train_users(self) -> int:
        """Users to learn from when nothing is planted."""

    def auc(self, seed: int, users: int) -> float:
        """Test AUC of the model trained with `seed` on the first `users` training users."""


class Workshop:
    """The feed, cut once, and a model trained anew for every seed and number of users."""

    def __init__(self, feed: dict[str, Any] | None = None, test_users: int = TEST_USERS) -> None:
        self.card: Card = override(load_card("synthetic"), feed or FEED)
        self.config: ExperimentConfig = layered("genrank", "tiny", SETTINGS)
        self.tested = test_users
        self.device = torch.device("cpu")
        self._doses: dict[int, Prepared] = {}

    @property
    def key(self) -> str:
        parts = [RESULT_VERSION, self.card.hash, self.config.model_dump(mode="json"), self.tested]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]

    @cached_property
    def prepared(self) -> Prepared:
        name = f"calibration-{self.card.hash[:8]}"
        return prepare(build_store(self.card, name=name).store, self.config)

    @cached_property
    def user(self) -> IntArray:
        """User of every event [E]."""
        return self.prepared.store.column("user").astype(np.int64)

    @cached_property
    def _learners(self) -> IntArray:
        """Training users in a fixed random order, so that doses are nested."""
        users = np.unique(self.user[self.prepared.part == Part.TRAIN])
        return np.random.default_rng(0).permutation(users)

    @property
    def train_users(self) -> int:
        return len(self._learners)

    @cached_property
    def _few(self) -> Batcher:
        """Test events of the users whose AUC is the result."""
        of_test = self.prepared.part == Part.TEST
        users = np.unique(self.user[of_test])[: self.tested]
        return self.prepared.batcher(of_test & np.isin(self.user, users))

    def _dose(self, users: int) -> Prepared:
        """The feed with nobody to learn from but the first `users` training users."""
        if users not in self._doses:
            of_train = self.prepared.part == Part.TRAIN
            kept = of_train & np.isin(self.user, self._learners[:users])
            self._doses[users] = replace(self.prepared, train=self.prepared.batcher(kept))
        return self._doses[users]

    def trained(self, seed: int, users: int) -> Trainer:
        """A model trained with `seed` on the events of the first `users` training users."""
        start(seed, 1)
        trainer = Trainer(self._dose(users), self.config, seed, self.device)
        trainer.fit()
        return trainer

    def auc(self, seed: int, users: int) -> float:
        rows, scores = self._score(self.trained(seed, users), self._few)
        return auc(self.prepared.store.column("task.click")[rows], scores[:, 0])

    def test_scores(self, seed: int, users: int) -> FloatArray:
        """Scores of all test events, in the order of `test_rows`."""
        scores = self._score(self.trained(seed, users), self.prepared.test)[1]
        return scores[:, 0].astype(np.float64)

    @cached_property
    def test_rows(self) -> tuple[FloatArray, IntArray]:
        """Labels and users of all test events."""
        rows = np.flatnonzero(self.prepared.part == Part.TEST)
        return self.prepared.store.column("task.click")[rows].astype(np.float64), self.user[rows]

    def _score(self, trainer: Trainer, batcher: Batcher) -> tuple[IntArray, Scores]:
        return score(trainer.model, batcher, self.prepared.schema.kinds, self.device)


class Pool:
    """AUCs of runs, trained when they are first asked for and kept in ``folder``.

    ``on_run`` hears the number of finished runs; ``deadline`` is a moment of `time.monotonic`
    after which no run is begun: what was finished is kept, and the same command goes on.
    """

    def __init__(
        self,
        trained: Trained,
        folder: Path,
        deadline: float | None = None,
        on_run: Callable[[int], None] = lambda finished: None,
    ) -> None:
        self.trained = trained
        self.folder = folder
        self.deadline = deadline
        self.on_run = on_run
        self._known: dict[int, dict[int, float]] = {}

    def aucs(self, users: int, seeds: Iterable[int]) -> FloatArray:
        """Test AUCs [seeds] of models that learnt from `users` users."""
        wanted = list(seeds)
        known = self._load(users)
        missing = [seed for seed in wanted if seed not in known]
        try:
            for place, seed in enumerate(missing, start=1):
                self._check_time()
                known[seed] = self.trained.auc(seed, users)
                self.on_run(self.finished)
                if place % SAVE_EVERY == 0:
                    self._save(users)
        finally:
            if missing:
                self._save(users)
        return np.array([known[seed] for seed in wanted])

    @property
    def finished(self) -> int:
        """Runs that have been asked for and trained, now or before."""
        return sum(len(aucs) for aucs in self._known.values())

    def _check_time(self) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise GenrankError(
                "the time given by --budget is over",
                "finished runs are kept: the same command goes on",
                ExitCode.PARTIAL,
            )

    def _file(self, users: int) -> Path:
        return self.folder / f"{self.trained.key}-{users}-users.json"

    def _load(self, users: int) -> dict[int, float]:
        if users not in self._known:
            self._known[users] = _read_pool(self._file(users))
        return self._known[users]

    def _save(self, users: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self._file(users), json.dumps(self._known[users]) + "\n")


def _read_pool(file: Path) -> dict[int, float]:
    """Seed → AUC of the runs kept in ``file``; raises `GenrankError` (5) where it is damaged."""
    if not file.exists():
        return {}
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
        return {int(seed): float(value) for seed, value in read.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        message = f"{file} is not a readable file of finished runs: {error}"
        raise data_error(
            message, f"remove it, and its runs are trained again: rm {file}"
        ) from error
