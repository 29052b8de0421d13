"""The DLRM: embeddings, target attention over recent events, MLP (PAPER section 5).

Legend: n history events, m candidates, d width, K tasks.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.models.config import DlrmConfig
from genrank_cli.models.dropout import Dropout
from genrank_cli.models.embeddings import ActionEmbedding, EventEmbedding
from genrank_cli.models.flops import Load, Term, terms
from genrank_cli.models.head import Bottom
from genrank_cli.models.modules.build import build_modules, interests_of
from genrank_cli.models.modules.din import TargetAttention, recent_events
from genrank_cli.models.modules.slots import Seen, Site
from genrank_cli.models.schema import Schema


class Dlrm(nn.Module):
    """MLP on (candidate, interest, candidate ∘ interest), interest by target attention.

    What modules know more of a candidate joins the MLP's input.
    """

    def __init__(self, config: DlrmConfig, schema: Schema) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.event = EventEmbedding(schema, config.features, width)
        self.action = ActionEmbedding(schema.actions, width)
        self.attention = TargetAttention(width, config.attention_hidden) if config.recent else None
        size = (3 + interests_of(config.modules)) * width
        last = [size, *config.hidden][-1]
        site = Site(schema, config.features, width, size, config.hidden, last, self._dropout)
        self.extra, self.mlp, self.output = build_modules(config.modules, site, self._mlp(size))

    def _dropout(self) -> nn.Module:
        return Dropout(self.config.dropout, "auto")  # as cheap as the generative models'

    def _mlp(self, size: int) -> Bottom:
        layers: list[nn.Module] = [nn.LayerNorm(size)]
        for hidden in self.config.hidden:
            layers += [nn.Linear(size, hidden), nn.SiLU(), self._dropout()]
            size = hidden
        return Bottom(*layers)

    def forward(self, batch: Batch) -> Tensor:
        """Logits (binary tasks) or values (regression) of the candidates, [m, K]."""
        seen = Seen.of(batch, self.event, self.action)
        candidate = seen.target  # [m, d]
        interest = self._interest(seen)
        features = [candidate, interest, candidate * interest, *self.extra.interests(seen)]
        hidden = self.mlp(torch.cat(features, dim=-1), self.extra.gates(seen))
        output: Tensor = self.output(hidden)
        return output

    def _interest(self, seen: Seen) -> Tensor:
        if self.attention is None or not len(seen.batch.actions):
            return torch.zeros_like(seen.target)
        recent, valid = recent_events(seen.batch, self.config.recent)
        interest: Tensor = self.attention(seen.acted, seen.target, recent, valid)
        return interest

    def flops(self, load: Load) -> list[Term]:
        """Target attention over the recent events, and what the others declare."""
        found = terms(self, load, besides=[self.attention] if self.attention else [])
        if self.attention is None:
            return found
        own = self.attention.products(load, self.config.recent)
        return [*found, *(replace(term, part="attention") for term in own)]
