"""The generative ranker: embed → organise → blocks → head on the candidates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrank_cli.attention import build_biases
from genrank_cli.data.batch import Batch
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.embeddings import ActionEmbedding, AdditiveEmbedding, EventEmbedding
from genrank_cli.models.head import OutputLayer, hidden_head
from genrank_cli.models.organization import ORGANIZATIONS, Layout
from genrank_cli.models.schema import Schema


class GenerativeRanker(nn.Module):
    """HSTU, GenRank and everything between them, as the configuration says."""

    def __init__(self, config: GenerativeConfig, schema: Schema) -> None:
        super().__init__()
        self.config = config
        self.organization = ORGANIZATIONS[config.organization]
        width = config.width
        places = schema.longest_history * self.organization.tokens_per_event + 1
        self.event = EventEmbedding(schema, config.features, width)
        self.action = ActionEmbedding(schema.actions, width)
        self.masked = nn.Parameter(torch.zeros(width))
        self.additive = AdditiveEmbedding(config.embeddings, places, width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(HstuBlock(config, places) for _ in range(config.blocks))
        self.biases = build_biases(
            config.attention.bias,
            layers=config.blocks,
            heads=config.heads,
            positions=places,
            form=config.attention.bias_form,
        )
        self.head = hidden_head(width, config.dropout)
        self.output = OutputLayer(width, len(schema.tasks))

    def forward(self, batch: Batch) -> Tensor:
        """Logits (binary tasks) or values (regression) of the candidates, [m, K]."""
        layout = self.organization.layout(batch, self.config.attention)
        x = self.dropout(self.tokens(batch, layout))
        biases = [bias(layout.position, layout.time) for bias in self.biases] or [None]
        for i, block in enumerate(self.blocks):
            x = block(x, layout, biases[i % len(biases)])
        output: Tensor = self.output(self.head(x[layout.candidates]))
        return output

    def tokens(self, batch: Batch, layout: Layout) -> Tensor:
        """The model's input [T, d]."""
        events = batch.history.followed_by(batch.candidates)
        shown = self.event(events)  # one look-up for history and candidates: half the calls
        known = len(batch.actions)
        values = self.organization.values(
            shown[:known], self.action(batch.actions), shown[known:], self.masked
        )
        x = values[layout.source]
        request, gap = events.request[layout.event], events.gap[layout.event]
        for part in self.additive(layout.position, request, gap):
            x = x + part
        return x
