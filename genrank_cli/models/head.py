"""From a candidate's hidden state to one logit (or value) per task.

Legend: m candidates, d width, h units of a hidden layer, K tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genrank_cli.models.flops import Load, Term


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


class TaskOutput(OutputLayer):
    """The same where every task has units of its own, [m, K, h] → [m, K]."""

    def forward(self, x: Tensor) -> Tensor:
        """Task k's value is its own units times row k of the weight."""
        return (x * self.weight).sum(dim=-1) + self.bias

    def flops(self, load: Load) -> list[Term]:
        """A product of numbers and a sum, not of matrices."""
        return []


class Bottom(nn.Sequential):
    """The hidden layers that all tasks share, [m, size] → [m, h of the last]."""

    @property
    def units(self) -> tuple[int, ...]:
        """h of each hidden layer."""
        return tuple(layer.out_features for layer in self if isinstance(layer, nn.Linear))

    def output(self, tasks: int) -> OutputLayer:
        """The layer that comes after."""
        layers = [*self.children()]
        normed = layers[0]
        assert isinstance(normed, nn.LayerNorm)
        return OutputLayer(self.units[-1] if self.units else normed.normalized_shape[0], tasks)

    def forward(self, x: Tensor, gates: Sequence[Tensor] = ()) -> Tensor:
        """``gates``: one [m, h] for each hidden layer, multiplied with its units; or none."""
        left = iter(gates)
        for layer in self:
            x = layer(x)
            if gates and isinstance(layer, nn.SiLU):
                x = x * next(left)
        return x


def hidden_head(width: int, dropout: nn.Module) -> Bottom:
    """The shared bottom of all tasks: norm, one hidden layer, [m, d] → [m, d]."""
    return Bottom(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), dropout)
