"""A bias inside the tiles of a plan, in both forms.

Legend: H heads, G segments of a chunk, R rows and K keys of a chunk; a tile has fewer of each.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from genrank_cli.attention.bias import Bias, Places
from genrank_cli.attention.plan import Chunk, Codes, Plan, Tile


class ChunkBias(Protocol):
    """The bias of one chunk, as the kernels use it."""

    def write(self, tile: Tile, scores: Tensor) -> None:
        """Put the tile's bias into ``scores`` [G, H, rows, keys]."""

    def collect(self, tile: Tile, grad: Tensor) -> None:
        """Take the gradient of the tile's scores, [G, H, rows, keys]."""

    def close(self) -> None:
        """Nothing more will be collected."""


class FusedBias:
    """Computed inside the tile; ``grads`` grow by what is collected."""

    def __init__(self, bias: Bias, chunk: Chunk, plan: Plan, grads: list[Tensor]) -> None:
        self.bias, self.chunk, self.plan, self.grads = bias, chunk, plan, grads

    def write(self, tile: Tile, scores: Tensor) -> None:
        self.bias.rule.values(self._codes(tile), self.bias.tensors, scores)

    def collect(self, tile: Tile, grad: Tensor) -> None:
        self._add(tile, grad.sum(dim=1))

    def close(self) -> None:
        pass

    def _codes(self, tile: Tile) -> Codes:
        return tile_codes(self.bias, self.plan, self.chunk, tile)

    def _add(self, tile: Tile, grad: Tensor) -> None:
        """``grad`` [G, rows, keys]."""
        parts = self.bias.rule.gradients(self._codes(tile), grad, self.bias.tensors)
        for total, part in zip(self.grads, parts, strict=True):
            total.add_(part)


class MaterializedBias(FusedBias):
    """Built for all cells first and kept for the backward pass; its gradient is of that size too.

    ``built`` carries the tensors [G, 1 or H, R, K] from the forward pass to the backward pass.
    """

    def __init__(
        self,
        bias: Bias,
        chunk: Chunk,
        plan: Plan,
        grads: list[Tensor],
        built: dict[Chunk, Tensor],
    ) -> None:
        super().__init__(bias, chunk, plan, grads)
        if chunk not in built:
            built[chunk] = bias.rule.values(self._codes(chunk.whole), bias.tensors)
        self.values = built[chunk]
        self.grad = torch.zeros_like(self.values[:, 0]) if grads else None

    def write(self, tile: Tile, scores: Tensor) -> None:
        scores.copy_(self.values[: tile.segments, :, tile.rows, tile.keys])

    def collect(self, tile: Tile, grad: Tensor) -> None:
        if self.grad is not None:
            torch.sum(grad, dim=1, out=self.grad[: tile.segments, tile.rows, tile.keys])

    def close(self) -> None:
        if self.grad is not None:
            self._add(self.chunk.whole, self.grad)


def tile_codes(bias: Bias, plan: Plan, chunk: Chunk, tile: Tile) -> Codes:
    """The codes of a tile, kept in the plan for the other layers."""
    places = Places(bias.position, bias.time)
    known = plan.recall(tile, bias.rule, places)
    if known is not None:
        return known
    rows = bias.places(chunk.rows.tokens[: tile.segments, tile.rows])
    keys = bias.places(chunk.keys.tokens[: tile.segments, tile.keys])
    codes = bias.rule.codes(rows, keys, plan.dtype)
    plan.remember(tile, bias.rule, places, codes)
    return codes
