"""The modules of one ranker, built from its configuration."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn

from genrank_cli.models.head import Bottom
from genrank_cli.models.modules.config import ModulesConfig, module_file
from genrank_cli.models.modules.slots import Seen, Site, Slot


class Modules(nn.Module):
    """What `build_modules` made, by slot; empty where every module is off."""

    def __init__(self) -> None:
        super().__init__()
        self.interest = nn.ModuleDict()
        self.gate = nn.ModuleDict()

    @property
    def active(self) -> bool:
        """Whether any module looks at more than a target's state."""
        return bool(self.interest or self.gate)

    def interests(self, seen: Seen) -> list[Tensor]:
        """[t, d] from each module that knows more about the targets."""
        return [module(seen) for module in self.interest.values()]

    def gates(self, seen: Seen) -> list[Tensor]:
        """Factors [t, h] for each hidden layer of the bottom; none without a gating module."""
        made = [module(seen) for module in self.gate.values()]
        return [reduce(torch.mul, layer) for layer in zip(*made, strict=True)]


def interests_of(config: ModulesConfig) -> int:
    """How many [t, d] `Modules.interests` will give."""
    return sum(module_file(name).MODULE.slot is Slot.INTEREST for name in config.chosen())


def build_modules(
    config: ModulesConfig, site: Site, plain: Bottom
) -> tuple[Modules, nn.Module, nn.Module]:
    """The modules, the bottom and the output layer of a ranker.

    ``plain`` is the ranker's own bottom; a module may take its place. ``site.units`` are filled in
    here, from the bottom that is used.
    """
    chosen = {name: (module_file(name).MODULE, own) for name, own in config.chosen().items()}
    bottom: Any = plain
    for kind, settings in chosen.values():
        if kind.slot is Slot.BOTTOM:
            bottom = kind(settings, site)
    output = bottom.output(len(site.schema.tasks))
    site = replace(site, units=bottom.units)
    modules = Modules()
    for name, (kind, settings) in chosen.items():
        if kind.slot is not Slot.BOTTOM:
            slot: nn.ModuleDict = getattr(modules, kind.slot)
            slot[name] = kind(settings, site)
    return modules, bottom, output
