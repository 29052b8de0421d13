"""What a request costs beside time: products, and bytes that are kept.

Legend: n history events, m candidates, L history tokens, d width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from torch import nn

from genrank_cli.bench.serve.plan import COLD, ENCODE, SCORE, WARM, WHOLE
from genrank_cli.data.batch import Batch
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.describe import load_of
from genrank_cli.models.example import Lengths, example_batch, made_up_schema
from genrank_cli.models.flops import Load, Term, ranker_terms, weights
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.trace import shape_model

#: Candidates of a request in training, for the resources of training.
TRAINED_TOGETHER = 10
EVENTS = 1_000_000


@dataclass(frozen=True)
class Work:
    """Of one model: its shapes without weights, for ``history`` events a user."""

    config: ModelConfig
    history: int

    def flops(self, path: str, candidates: int) -> dict[str, int]:
        """Model FLOPs of a request, forward, by timed part."""
        if path == WHOLE:
            return {SCORE: self._whole(candidates)}
        return {
            COLD: {ENCODE: self._encode(), SCORE: self._score(candidates)},
            WARM: {SCORE: self._score(candidates)},
        }[path]

    def training_flops(self, *, packed: bool) -> float:
        """Forward and backward, of a million events that are learnt from.

        ``packed``: as many candidates as history events, in requests of `TRAINED_TOGETHER`, on one
        encoded history. Else the history is encoded for each request, the paper's samples.
        """
        n, each = self._read_events(), TRAINED_TOGETHER
        learnt = self.history if packed else each
        # A DLRM reads the newest events only, of each request: its packed sample holds them all.
        events = self.history if packed else n
        lengths = Lengths(events, learnt, max(1, learnt // each))
        total = sum(term.forward + term.backward for term in self._terms(self._batch(lengths)))
        return total / learnt * EVENTS

    def parameter_bytes(self) -> tuple[int, int]:
        """Of the tables of users, items and their fields, and of everything else."""
        model = self._model()
        of_tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
        sizes = [(id(p) in of_tables, p.numel() * p.element_size()) for p in model.parameters()]
        tables = sum(size for table, size in sizes if table)
        return tables, sum(size for _, size in sizes) - tables

    def _read_events(self) -> int:
        """History events that the model reads for a request."""
        return min(self.history, getattr(self.config, "recent", self.history))

    def _model(self) -> nn.Module:
        return shape_model(self.config, made_up_schema(self.history))

    def _batch(self, lengths: Lengths) -> Batch:
        return example_batch(lengths, made_up_schema(self.history))

    def _terms(self, batch: Batch) -> list[Term]:
        model = self._model()
        return ranker_terms(model, load_of(model, batch))

    def _whole(self, candidates: int) -> int:
        batch = self._batch(Lengths(self._read_events(), candidates))
        return sum(term.forward for term in self._terms(batch))

    def _encode(self) -> int:
        """The history alone; of the last block its keys and values only."""
        model = cast(GenerativeRanker, self._model())
        load = load_of(model, self._batch(Lengths(self.history, 0)))
        last = cast(HstuBlock, model.blocks[-1])
        total = sum(term.forward for term in ranker_terms(model, load))
        unused = sum(term.forward for term in last.flops(load))
        # HSTU's own block projects keys and values alone; the others project everything.
        share = 2 if type(last) is HstuBlock else 1
        return total - unused + 2 * load.tokens * weights(last.uvqk) // share

    def _score(self, candidates: int) -> int:
        """Candidates alone: each sees the history's L tokens and itself."""
        model = cast(GenerativeRanker, self._model())
        seen = self.history * model.organization.tokens_per_event + model.context_count + 1
        cells = candidates * seen
        load = Load(1, 0, candidates, tokens=candidates, cells=cells, all_cells=cells)
        return sum(term.forward for term in ranker_terms(model, load))
