"""DIN: target attention over the newest events before a target (PAPER section 5).

Zhou et al. 2018, Deep Interest Network (arXiv 1706.06978). The DLRM has this at its core, over
``model.recent`` events; as a module it joins the state of a generative model.

Legend: n history events, m candidates or other targets, R recent events, d width, h hidden width.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.data.batch import Batch
from genrank_cli.data.declare import Frozen
from genrank_cli.models.flops import Load, Term, linear
from genrank_cli.models.modules.slots import Seen, Site, Slot


class DinConfig(Frozen):
    """``hidden`` units of the activation unit, ``recent`` events that it looks at."""

    recent: int = Field(50, ge=1)
    hidden: int = Field(32, ge=1)


class TargetAttention(nn.Module):
    """DIN's activation unit: a weight for each recent event, from the event and the candidate.

    The unit's first layer reads (event, candidate, event ∘ candidate). It is linear, so its first
    two parts are computed once per event and once per candidate, not once per pair. Weights are not
    normalised, as published: their sum says how strong the interest is.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.of_event = nn.Linear(width, hidden)
        self.of_candidate = nn.Linear(width, hidden, bias=False)
        self.of_product = nn.Linear(width, hidden, bias=False)
        self.weight = nn.Linear(hidden, 1)

    def forward(self, event: Tensor, candidate: Tensor, recent: Tensor, valid: Tensor) -> Tensor:
        """Sum of the recent events, weighted.

        event [n, d], candidate [m, d], recent int64 [m, R] rows of ``event``, valid bool [m, R]
        → [m, d].
        """
        seen = F.embedding(recent, event)  # [m, R, d]
        hidden = F.embedding(recent, self.of_event(event))  # [m, R, h]
        hidden = hidden + self.of_candidate(candidate).unsqueeze(1)
        hidden = hidden + self.of_product(seen * candidate.unsqueeze(1))
        weight = self.weight(F.silu(hidden)).squeeze(-1) * valid  # [m, R]
        return torch.bmm(weight.unsqueeze(1), seen).squeeze(1)

    def products(self, load: Load, recent: int) -> list[Term]:
        """Events once, candidates once, and for each pair of both h·d + h weights and the sum."""
        width, hidden = self.of_event.in_features, self.of_event.out_features
        return [
            linear(width * hidden, load.history, "n"),
            linear(width * hidden, load.candidates, "m"),
            linear(width * hidden + hidden + width, load.candidates * recent, f"m·{recent}"),
        ]


def newest(first: Tensor, prefix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Rows int64 [m, R] of the newest ``count`` of ``prefix`` events from row ``first`` on.

    Newest first; ``first`` and ``prefix`` are int64 [m]. The second value, bool [m, R], is false
    where there is no such event.
    """
    back = torch.arange(1, count + 1, device=first.device)
    place = prefix.unsqueeze(1) - back
    valid = place >= 0
    return torch.where(valid, first.unsqueeze(1) + place, 0), valid


def recent_events(batch: Batch, count: int) -> tuple[Tensor, Tensor]:
    """`newest` of the events before each candidate's request."""
    first = batch.history_offsets[:-1].repeat_interleave(batch.candidate_lengths)
    return newest(first, batch.prefix, count)


class Din(nn.Module):
    """The interest that target attention finds in the recent events, times a matrix."""

    slot: ClassVar = Slot.INTEREST

    def __init__(self, settings: DinConfig, site: Site) -> None:
        super().__init__()
        self.recent = settings.recent
        self.attention = TargetAttention(site.width, settings.hidden)
        self.project = nn.Linear(site.width, site.width, bias=False)

    def forward(self, seen: Seen) -> Tensor:
        """[t, d]; zero for a target that nothing precedes."""
        if not len(seen.batch.actions):
            return torch.zeros_like(seen.target)
        first = seen.batch.history_offsets[:-1][seen.sample]
        recent, valid = newest(first, seen.prefix, self.recent)
        interest: Tensor = self.project(self.attention(seen.acted, seen.target, recent, valid))
        return interest

    def flops(self, load: Load) -> list[Term]:
        """Target attention, and the matrix after it."""
        project = linear(self.project.weight.numel(), load.candidates, "m")
        return [*self.attention.products(load, self.recent), project]


SETTINGS, MODULE = DinConfig, Din
