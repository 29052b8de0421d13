"""The training loop: deterministic for a seed, resumable at any step to the same weights."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.errors import GenrankError
from genrank_cli.models.build import build_ranker
from genrank_cli.training.config import ExperimentConfig
from genrank_cli.training.loss import start_levels
from genrank_cli.training.objective import Objective
from genrank_cli.training.optimizer import make_optimizers, make_schedules
from genrank_cli.training.predict import main_auc, score
from genrank_cli.training.prepare import Prepared

Weights = dict[str, Tensor]
Epoch = dict[str, float]

#: Seconds between checkpoints inside an epoch; there is always one at its end. Where writing one
#: takes longer than `LONG_SAVING`, a twentieth of that, they are as much further apart.
CHECKPOINT_SECONDS = 30.0
LONG_SAVING = 1.5


@dataclass
class Progress:
    """How far training is. ``step`` counts inside the epoch, ``epochs`` lists what was finished."""

    epoch: int = 0
    step: int = 0
    loss_sum: float = 0.0
    events: int = 0
    train_s: float = 0.0
    best_auc: float = 0.0
    best_epoch: int = -1
    stopped: bool = False
    epochs: list[Epoch] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean training loss of this epoch so far, or of the last one between epochs."""
        if self.step:
            return self.loss_sum / self.step
        return self.epochs[-1]["train_loss"] if self.epochs else 0.0

    @property
    def events_per_s(self) -> float:
        """Candidates trained on, per second of training."""
        return self.events / self.train_s if self.train_s else 0.0


class Trainer:
    """Trains one ranker; ``weights`` are the best epoch's by validation AUC."""

    def __init__(
        self, prepared: Prepared, config: ExperimentConfig, seed: int, device: torch.device
    ) -> None:
        self.prepared = prepared
        self.config = config.training
        self.seed = seed
        self.device = device
        torch.manual_seed(seed)
        self.model = build_ranker(config.model, prepared.schema)
        output: Any = self.model.output
        output.start_at(start_levels(prepared.means(), prepared.schema.kinds))
        self.model.to(device)
        schema = prepared.schema
        self.objective = Objective.of(config, schema.tasks, schema.kinds, seed)
        self.steps = len(prepared.train.shuffled(seed, 0))
        self.optimizers = make_optimizers(self.model, self.config)
        self.schedules = make_schedules(
            self.optimizers, self.config, self.steps * self.config.epochs
        )
        self.progress = Progress()
        self.weights: Weights = {}
        self._saved_at = time.monotonic()
        self._saving_s = 0.0

    def fit(
        self,
        observe: Callable[[Trainer], None] = lambda trainer: None,
        save: Callable[[dict[str, Any]], None] = lambda state: None,
    ) -> None:
        """Train to the last epoch or until ``patience`` runs out.

        ``observe`` is called after each step and each epoch, ``save`` with each checkpoint.
        """
        progress = self.progress
        self._saved_at = time.monotonic()
        while progress.epoch < self.config.epochs and not progress.stopped:
            batches = self.prepared.train.epoch(self.seed, progress.epoch, progress.step)
            while True:
                begun = time.perf_counter()
                batch = next(batches, None)
                if batch is None:
                    break
                progress.loss_sum += self.train_step(batch.to(self.device))
                progress.events += len(batch.rows)
                progress.train_s += time.perf_counter() - begun
                progress.step += 1
                observe(self)
                if self._is_due():
                    self._save(save)
            self._end_epoch()
            observe(self)
            self._save(save)
        if self.weights:
            self.model.load_state_dict(self.weights)

    def _is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        seldom = max(1.0, self._saving_s / LONG_SAVING)
        return time.monotonic() - self._saved_at > CHECKPOINT_SECONDS * seldom

    def _save(self, save: Callable[[dict[str, Any]], None]) -> None:
        begun = time.monotonic()
        save(self.state())
        self._saved_at = time.monotonic()
        self._saving_s = self._saved_at - begun

    def train_step(self, batch: Batch) -> float:
        """One step of optimisation on ``batch`` (on the device); its loss."""
        self.model.train()
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        progress = self.progress
        loss = self.objective.loss(self.model, batch, progress.epoch, progress.step)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._dense_parameters(), self.config.clip)
        for optimizer, schedule in zip(self.optimizers, self.schedules, strict=True):
            optimizer.step()
            schedule.step()
        value = float(loss.detach())
        if value != value or value == float("inf"):
            raise GenrankError(
                f"the loss is {value} in epoch {progress.epoch}, step {progress.step}",
                "lower it with --set training.learning_rate=…",
            )
        return value

    def _dense_parameters(self) -> list[nn.Parameter]:
        return [p for p in self.model.parameters() if p.grad is not None and not p.grad.is_sparse]

    def _end_epoch(self) -> None:
        progress = self.progress
        begun = time.perf_counter()
        rows, scores = score(
            self.model, self.prepared.valid, self.prepared.schema.kinds, self.device
        )
        valid_auc = main_auc(self.prepared, rows, scores)
        if progress.best_epoch < 0 or valid_auc > progress.best_auc:
            progress.best_auc, progress.best_epoch = valid_auc, progress.epoch
            self.weights = _copy(self.model)
        progress.epochs.append(
            {
                "epoch": progress.epoch,
                "train_loss": progress.loss,
                "valid_auc": valid_auc,
                "train_s": progress.train_s,
                "valid_s": time.perf_counter() - begun,
                "events": progress.events,
            }
        )
        progress.stopped = progress.epoch - progress.best_epoch >= self.config.patience
        progress.epoch += 1
        progress.step = 0
        progress.loss_sum = 0.0

    def state(self) -> dict[str, Any]:
        """All that decides what comes next; ``best`` is None where it is ``model`` itself."""
        best_is_last = self.progress.best_epoch == self.progress.epoch - 1
        no_step_since = best_is_last and not self.progress.step and bool(self.weights)
        return {
            "progress": asdict(self.progress),
            "model": self.model.state_dict(),
            "best": None if no_step_since else self.weights,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedules": [schedule.state_dict() for schedule in self.schedules],
            "random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue where `state` was taken."""
        self.progress = Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        self.weights = _copy(self.model) if state["best"] is None else state["best"]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
        torch.set_rng_state(state["random"])
        if state["cuda_random"]:
            torch.cuda.set_rng_state_all(state["cuda_random"])


def _copy(model: nn.Module) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
