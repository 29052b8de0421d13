"""PPNet: the user's and the item's ids scale the hidden units of the bottom.

Chang et al. 2023, PEPNet (arXiv 2302.01115), without its EPNet. For each hidden layer with units H,

    δ = 2 · sigmoid(relu(x W + b) W' + b'),   x = [E_user, E_item, stopgradient(φ(target))],
    H ← δ ⊙ H

No gradient reaches the shared embedding φ through a gate, as published; the id embeddings are the
gates' own and learn from nothing else; they are hashed where those of the model would be. A gate
starts at 1: W' and b' are zero ([?] in the paper).

Legend: t targets, d width, e width of an id, h units of a hidden layer.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.data.declare import Frozen
from genrank_cli.errors import GenrankError
from genrank_cli.models.embeddings import item_ids, user_ids
from genrank_cli.models.modules.slots import Seen, Site, Slot

#: γ of the paper: a gate lies between 0 and γ.
GAMMA = 2.0


class PpnetConfig(Frozen):
    """``ids``: width of the id embeddings, ``hidden``: of each gate's first layer."""

    ids: int = Field(16, ge=1)
    hidden: int = Field(32, ge=1)


class GateUnit(nn.Module):
    """Gate NU: two layers to the factors of one hidden layer, [t, size] → [t, h]."""

    def __init__(self, size: int, hidden: int, units: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(size, hidden)
        self.scale = nn.Linear(hidden, units)
        nn.init.zeros_(self.scale.weight)
        nn.init.zeros_(self.scale.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Factors from 0 to γ."""
        return GAMMA * torch.sigmoid(self.scale(F.relu(self.hidden(x))))


class Ppnet(nn.Module):
    """One gate for each hidden layer of the bottom; with PLE, of the tasks' towers."""

    slot: ClassVar = Slot.GATE

    def __init__(self, settings: PpnetConfig, site: Site) -> None:
        super().__init__()
        if not site.units:
            raise GenrankError(
                "model.modules.ppnet has no hidden layer to scale",
                "give the DLRM one, for instance --set model.hidden=[64]",
            )
        self.user = user_ids(site.schema, site.features, settings.ids)
        self.item = item_ids(site.schema, site.features, settings.ids)
        size = 2 * settings.ids + site.width
        self.gates = nn.ModuleList(GateUnit(size, settings.hidden, h) for h in site.units)

    def forward(self, seen: Seen) -> list[Tensor]:
        """[t, h] for each hidden layer."""
        ids = [self.user(seen.events.user), self.item(seen.events.item)]
        x = torch.cat((*ids, seen.target.detach()), dim=-1)
        return [gate(x) for gate in self.gates]


SETTINGS, MODULE = PpnetConfig, Ppnet
