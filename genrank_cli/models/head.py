"""From a candidate's hidden state to one logit (or value) per task."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class OutputLayer(nn.Linear):
    """One logit (binary task) or value (regression) per task, [m, d] → [m, K]; starts at zero."""

    def __init__(self, width: int, tasks: int) -> None:
        super().__init__(width, tasks)
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def start_at(self, levels: Sequence[float]) -> None:
        """Make the first prediction the training mean, so that no step is spent on learning it."""
        with torch.no_grad():
            self.bias.copy_(torch.tensor(levels))


def hidden_head(width: int, dropout: float) -> nn.Sequential:
    """The shared bottom of all tasks: norm, one hidden layer, [m, d] → [m, d]."""
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout)
    )
