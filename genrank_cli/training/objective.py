"""What a training step minimises: the candidates' loss, and what the configuration adds to it.

Legend: m candidates, K tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.data.stochastic import kept_events, kept_length, thinned
from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.history_loss import chosen_events, with_history
from genrank_cli.training.config import ExperimentConfig
from genrank_cli.training.loss import candidate_loss

#: Streams of random numbers of a step, one for each thing that is drawn.
LENGTH, HISTORY = 1, 2


@dataclass(frozen=True)
class Objective:
    """The loss of a batch, which depends on nothing but weights, batch, seed, epoch and step.

    ``longest``: history events above which a sample is sampled (stochastic length), None for never.
    ``share``: of the history's events that are trained on as well.
    """

    kinds: tuple[str, ...]
    seed: int
    weights: tuple[float, ...] | None = None
    share: float = 0.0
    longest: int | None = None
    newest: bool = False

    @classmethod
    def of(
        cls, config: ExperimentConfig, tasks: tuple[str, ...], kinds: tuple[str, ...], seed: int
    ) -> Objective:
        """The objective of ``config`` for ``tasks`` of ``kinds``."""
        weights = task_weights(config.training.task_weights, tasks)
        model = config.model
        if not isinstance(model, GenerativeConfig):
            return cls(kinds, seed, weights)
        alpha = model.stochastic_length
        longest = None if alpha is None else kept_length(config.data.samples.history, alpha)
        newest = model.stochastic_choice == "newest"
        return cls(kinds, seed, weights, model.history_loss, longest, newest)

    def loss(self, model: nn.Module, batch: Batch, epoch: int, step: int) -> Tensor:
        """The loss of ``batch`` in a step of training, a scalar."""
        if self.longest is not None:
            random = np.random.default_rng([self.seed, epoch, step, LENGTH])
            keep = kept_events(batch, self.longest, random, newest=self.newest)
            batch = thinned(batch, keep)
        output, labels = self._outputs(model, batch, epoch, step)
        return candidate_loss(output, labels, self.kinds, self.weights)

    def _outputs(self, model: Any, batch: Batch, epoch: int, step: int) -> tuple[Tensor, Tensor]:
        if not self.share:
            return model(batch), batch.labels
        random = np.random.default_rng([self.seed, epoch, step, HISTORY])
        return with_history(model, batch, chosen_events(batch, self.share, random))


def task_weights(given: Mapping[str, float], tasks: tuple[str, ...]) -> tuple[float, ...] | None:
    """The weight of each of ``tasks``, 1 where none is given; None where nothing is given.

    Raises `GenrankError` for a weight of another task, and where all are 0.
    """
    for name in given:
        if name not in tasks:
            raise unknown_name("task in training.task_weights", name, tasks)
    weights = tuple(given.get(task, 1.0) for task in tasks)
    if not any(weights):
        raise GenrankError("training.task_weights is 0 for every task", "leave one task its weight")
    return weights if given else None
