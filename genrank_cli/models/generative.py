"""The generative ranker: embed → organise → blocks → head on the candidates."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrank_cli.attention import Bias, build_biases
from genrank_cli.data.batch import Batch, Events
from genrank_cli.models.blocks import BLOCKS
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.context import ContextTokens
from genrank_cli.models.dropout import Dropout
from genrank_cli.models.embeddings import ActionEmbedding, AdditiveEmbedding, EventEmbedding
from genrank_cli.models.head import hidden_head
from genrank_cli.models.modules.build import build_modules
from genrank_cli.models.modules.slots import Embedded, Seen, Site
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
        self.context = ContextTokens(self.event) if config.context_tokens else None
        self.action = ActionEmbedding(schema.actions, width)
        self.masked = nn.Parameter(torch.zeros(width))
        self.additive = AdditiveEmbedding(config.embeddings, places, width)
        self.dropout = Dropout(config.dropout, config.layer)
        norm = places + self.context_count  # what a row sees at most
        self.blocks = nn.ModuleList(
            BLOCKS[config.block](config, norm) for _ in range(config.blocks)
        )
        self.biases = build_biases(
            config.attention.bias,
            layers=config.blocks,
            heads=config.heads,
            positions=places,
            form=config.attention.bias_form,
        )
        site = Site(schema, config.features, width, width, (width,), width, self._dropout)
        self.extra, self.head, self.output = build_modules(
            config.modules, site, hidden_head(width, self._dropout())
        )

    @property
    def context_count(self) -> int:
        """Contextual tokens of a sample."""
        return 0 if self.context is None else self.context.count

    def layout(self, batch: Batch) -> Layout:
        """Where the tokens of ``batch`` stand."""
        return self.organization.layout(
            batch,
            self.config.attention,
            double=self.config.double_candidates,
            context=self.context_count,
        )

    def forward(self, batch: Batch, history: Tensor | None = None) -> Tensor:
        """Logits (binary tasks) or values (regression) of the candidates, [m, K].

        ``history`` int64 [h]: history events that are scored as well, after the candidates, at the
        first token of each; only where that token does not hold the event's own action.
        """
        layout = self.layout(batch)
        known: Embedded | None = Embedded.of(batch, self.event, self.action)
        x = self.dropout(self.tokens(batch, layout, known))
        if not self.extra.active:
            known = None  # nobody reads it again: not to be held through the blocks
        biases = self.layer_biases(layout.position, layout.time)
        for block, bias in zip(self.blocks, biases, strict=True):
            x = block(x, layout, bias)
        scored = layout.candidates
        if history is not None:
            first = layout.history[history * self.organization.tokens_per_event]
            scored = torch.cat((scored, first))
        return self.logits(x[scored], batch, history, known)

    def logits(
        self,
        states: Tensor,
        batch: Batch,
        history: Tensor | None = None,
        known: Embedded | None = None,
    ) -> Tensor:
        """From hidden states [m + h, d] to outputs [m + h, K], with what modules add.

        ``known``: what is embedded of the batch already.
        """
        gates: list[Tensor] = []
        if self.extra.active:
            seen = Seen.of(batch, self.event, self.action, history, known)
            for interest in self.extra.interests(seen):
                states = states + interest
            gates = self.extra.gates(seen)
        output: Tensor = self.output(self.head(states, gates))
        return output

    def _dropout(self) -> nn.Module:
        return Dropout(self.config.dropout, self.config.layer)

    def layer_biases(
        self, position: Tensor, time: Tensor, rows: Tensor | None = None
    ) -> list[Bias | None]:
        """The bias of each block; ``rows`` int64 [R]: the tokens that look at others, else all."""
        made = [bias(position, time, rows) for bias in self.biases] or [None]
        return [made[i % len(made)] for i in range(len(self.blocks))]

    def tokens(self, batch: Batch, layout: Layout, known: Embedded | None = None) -> Tensor:
        """The model's input [T, d]; ``known``: what is embedded of the batch already."""
        events = batch.history.followed_by(batch.candidates)
        known = known or Embedded.of(batch, self.event, self.action)
        past = len(batch.actions)
        values = self.organization.values(
            known.events[:past], known.action, known.events[past:], self.masked
        )
        if self.config.double_candidates:
            values = torch.cat((values, self.masked.unsqueeze(0)))
        x = values[layout.source]
        request, gap = events.request[layout.event], events.gap[layout.event]
        x = self._add(x, layout.position, request, gap)
        if self.context is None:
            return x
        return x.index_copy(0, layout.context, self.context(batch).to(x.dtype))

    def candidate_tokens(self, candidates: Events, position: Tensor) -> Tensor:
        """The candidates' own tokens [m, d], at the virtual places ``position`` int64 [m]."""
        shown = self.event(candidates)
        x = self.organization.values(shown[:0], shown[:0], shown, self.masked)
        return self._add(x, position, candidates.request, candidates.gap)

    def _add(self, x: Tensor, position: Tensor, request: Tensor, gap: Tensor) -> Tensor:
        for part in self.additive(position, request, gap):
            x = x + part
        return x
