"""PLE: experts that all tasks share beside experts of each task, in one or more layers.

Tang et al. 2020, Progressive Layered Extraction (RecSys). In each layer, with g_k the state of task
k and g_s the shared one (both the bottom's input before the first layer),

    experts     E = silu(g W + b): ``experts`` of each task from g_k, ``shared`` from g_s
    task        g_k ← softmax(g_k W_k) · [experts of k, shared experts]
    shared      g_s ← softmax(g_s W_s) · [experts of all tasks, shared experts]

The last layer has no shared state (that is CGC, and one layer is CGC alone). Each task then has a
tower of one hidden layer. Published experts use ReLU; here they use the activation of the
bottom that they replace.

Legend: t targets, h width, e experts of a task, s shared experts, K tasks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.data.declare import Frozen
from genrank_cli.models.flops import Load, Term, linear, terms, weights
from genrank_cli.models.head import TaskOutput
from genrank_cli.models.modules.slots import Site, Slot


class PleConfig(Frozen):
    """``experts`` of each task, ``shared`` by all, ``layers`` of both.

    ``width`` of experts and towers; none = that of the last hidden layer which they replace.
    """

    experts: int = Field(2, ge=1)
    shared: int = Field(2, ge=1)
    layers: int = Field(1, ge=1)
    width: int | None = Field(None, ge=1)


class Experts(nn.Linear):
    """Experts that read the same state, [t, size] → [t, count, h]: one product for all."""

    def __init__(self, size: int, width: int, count: int) -> None:
        super().__init__(size, width * count)
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """[t, size] → [t, count, h]."""
        return torch.unflatten(F.silu(super().forward(x)), -1, (self.count, -1))


def mixed(gate: Tensor, experts: Sequence[Tensor]) -> Tensor:
    """The experts' mean under softmax(gate): [t, c] and several [t, ·, h], c in all → [t, h]."""
    weight = torch.softmax(gate, dim=-1).unsqueeze(1)
    return torch.bmm(weight, torch.cat(tuple(experts), dim=1)).squeeze(1)


class Extraction(nn.Module):
    """One layer; the ``last`` one gives no shared state."""

    def __init__(self, size: int, width: int, tasks: int, config: PleConfig, last: bool) -> None:
        super().__init__()
        own, common = config.experts, config.shared
        self.of_task = nn.ModuleList(Experts(size, width, own) for _ in range(tasks))
        self.of_all = Experts(size, width, common)
        self.gate = nn.ModuleList(nn.Linear(size, own + common, bias=False) for _ in range(tasks))
        every = tasks * own + common
        self.gate_of_all = None if last else nn.Linear(size, every, bias=False)

    def forward(self, states: Sequence[Tensor], shared: Tensor) -> tuple[list[Tensor], Tensor]:
        """States of the tasks and of all, [t, size] each → [t, h] each."""
        own = [experts(x) for experts, x in zip(self.of_task, states, strict=True)]
        common = self.of_all(shared)  # [t, s, h]
        new = [
            mixed(gate(x), (experts, common))
            for gate, x, experts in zip(self.gate, states, own, strict=True)
        ]
        if self.gate_of_all is None:
            return new, shared
        return new, mixed(self.gate_of_all(shared), (*own, common))

    def flops(self, load: Load) -> list[Term]:
        """The linears, and the means that the gates take."""
        gates = [*self.gate] if self.gate_of_all is None else [*self.gate, self.gate_of_all]
        width = self.of_all.out_features // self.of_all.count
        mixed_units = sum(weights(gate) // self.of_all.in_features for gate in gates) * width
        own = [replace(term, part="") for term in terms(self, load)]  # where the whole belongs
        return [*own, linear(mixed_units, load.candidates, "m")]


class Ple(nn.Module):
    """Takes the place of the shared bottom: [t, size] → [t, K, h]."""

    slot: ClassVar = Slot.BOTTOM

    def __init__(self, settings: PleConfig, site: Site) -> None:
        super().__init__()
        self.tasks = len(site.schema.tasks)
        self.width = width = settings.width or site.hidden
        self.norm = nn.LayerNorm(site.size)
        last = settings.layers - 1
        self.layers = nn.ModuleList(
            Extraction(width if i else site.size, width, self.tasks, settings, i == last)
            for i in range(settings.layers)
        )
        self.towers = nn.ModuleList(nn.Linear(width, width) for _ in range(self.tasks))
        self.dropout = site.dropout()

    @property
    def units(self) -> tuple[int, ...]:
        """The towers' hidden units, those of all tasks together."""
        return (self.tasks * self.width,)

    def output(self, tasks: int) -> TaskOutput:
        """The layer that comes after."""
        return TaskOutput(self.width, tasks)

    def forward(self, x: Tensor, gates: Sequence[Tensor] = ()) -> Tensor:
        """``gates``: one [t, K·h] for the towers' units, or none."""
        shared = self.norm(x)
        states = [shared] * self.tasks
        for layer in self.layers:
            states, shared = layer(states, shared)
        towers = [tower(state) for tower, state in zip(self.towers, states, strict=True)]
        units = F.silu(torch.stack(towers, dim=1))  # [t, K, h]
        for gate in gates:
            units = units * gate.view_as(units)
        dropped: Tensor = self.dropout(units)
        return dropped


SETTINGS, MODULE = PleConfig, Ple
