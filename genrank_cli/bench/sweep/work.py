"""FLOPs of a step and of its parts, and the least bytes of the parts, in closed form.

Bytes: the least that a stage must move in float32 (`genrank_cli.bench.traffic`). Arithmetic
intensity is FLOPs over these, so no implementation's point lies right of the one that is drawn.

Legend: T tokens, A visible cells, d width.
"""

from __future__ import annotations

from typing import cast

from genrank_cli.bench import traffic
from genrank_cli.bench.sweep.plan import ATTENTION, PROJECTIONS, STEP, Request
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.describe import load_of
from genrank_cli.models.example import Lengths, example_batch, made_up_schema
from genrank_cli.models.flops import Load, Term, ranker_terms, weights
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.trace import shape_model


class Work:
    """The closed forms of one model at one value."""

    def __init__(self, request: Request, model: str, value: int) -> None:
        self.config: GenerativeConfig = request.config(model, value)
        shape = request.shape(value)
        schema = made_up_schema(shape.events)
        self._model = cast(GenerativeRanker, shape_model(self.config, schema))
        batch = example_batch(Lengths(shape.events, shape.candidates), schema)
        self.load = _times(load_of(self._model, batch), shape.batch)

    def flops(self, stage: str) -> dict[str, int]:
        """Model FLOPs, forward and backward."""
        found = self._terms(stage)
        return {
            "forward": sum(term.forward for term in found),
            "backward": sum(term.backward for term in found),
        }

    def bytes_moved(self, stage: str) -> int:
        """The least bytes of a part of a block; 0 for a whole step, whose parts differ too much."""
        numbers = self.load.tokens * self.config.width
        if stage == ATTENTION:
            return traffic.array_bytes(traffic.ATTENTION, numbers)
        if stage == PROJECTIONS:
            matrices = traffic.matrix_bytes(weights(self._block))
            return traffic.array_bytes(traffic.PROJECTIONS, numbers) + matrices
        return 0

    @property
    def _block(self) -> HstuBlock:
        return cast(HstuBlock, self._model.blocks[0])

    def _terms(self, stage: str) -> list[Term]:
        if stage == STEP:
            return ranker_terms(self._model, self.load)
        of_attention = [term.part == "attention" for term in self._block.flops(self.load)]
        wanted = stage == ATTENTION
        return [
            term
            for term, is_attention in zip(self._block.flops(self.load), of_attention, strict=True)
            if is_attention == wanted
        ]


def _times(load: Load, batch: int) -> Load:
    """Of so many equal samples."""
    return Load(**{name: batch * count for name, count in vars(load).items()})
