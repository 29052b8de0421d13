"""The DLRM: embeddings, target attention over recent events, MLP (PAPER section 5).

Legend: n history events, m candidates, R recent events, d width, h hidden width of the attention.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.data.batch import Batch
from genrank_cli.models.config import DlrmConfig
from genrank_cli.models.embeddings import ActionEmbedding, EventEmbedding
from genrank_cli.models.head import OutputLayer
from genrank_cli.models.schema import Schema


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


def recent_events(batch: Batch, count: int) -> tuple[Tensor, Tensor]:
    """Rows int64 [m, R] of the newest ``count`` events before each candidate's request.

    Newest first. The second value, bool [m, R], is false where there is no such event.
    """
    first = batch.history_offsets[:-1].repeat_interleave(batch.candidate_lengths)
    back = torch.arange(1, count + 1, device=first.device)
    place = batch.prefix.unsqueeze(1) - back
    valid = place >= 0
    return torch.where(valid, first.unsqueeze(1) + place, 0), valid


class Dlrm(nn.Module):
    """MLP on (candidate, interest, candidate ∘ interest), interest by target attention."""

    def __init__(self, config: DlrmConfig, schema: Schema) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.event = EventEmbedding(schema, config.features, width)
        self.action = ActionEmbedding(schema.actions, width)
        self.attention = TargetAttention(width, config.attention_hidden)
        layers: list[nn.Module] = []
        size = 3 * width
        for hidden in config.hidden:
            layers += [nn.Linear(size, hidden), nn.SiLU(), nn.Dropout(config.dropout)]
            size = hidden
        self.mlp = nn.Sequential(nn.LayerNorm(3 * width), *layers)
        self.output = OutputLayer(size, len(schema.tasks))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (binary tasks) or values (regression) of the candidates, [m, K]."""
        candidate = self.event(batch.candidates)  # [m, d]
        if len(batch.actions):
            event = self.event(batch.history) + self.action(batch.actions)  # [n, d]
            interest = self.attention(event, candidate, *recent_events(batch, self.config.recent))
        else:
            interest = torch.zeros_like(candidate)
        features = torch.cat((candidate, interest, candidate * interest), dim=-1)
        output: Tensor = self.output(self.mlp(features))
        return output
