"""A bias inside the tiles of a plan.

Legend: H heads, G segments of a chunk, R rows and K keys of a chunk; a tile has fewer of each.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention.call import Call
from genrank_cli.attention.cells import CellsRule, first_cells
from genrank_cli.attention.plan import Chunk, Codes, Plan, Tile


class TileBias:
    """The bias of one call, computed inside the tile; ``grads`` grow by what is collected."""

    def __init__(self, call: Call, plan: Plan, grads: list[Tensor]) -> None:
        assert call.bias is not None
        self.bias, self.plan, self.grads = call.bias, plan, grads

    def write(self, chunk: Chunk, tile: Tile, scores: Tensor) -> None:
        """Put the tile's bias into ``scores`` [G, H, rows, keys]."""
        self.bias.rule.values(self.codes(chunk, tile), self.bias.tensors, scores)

    def collect(self, chunk: Chunk, tile: Tile, grad: Tensor) -> None:
        """Take the gradient of the tile's scores, [G, H, rows, keys]."""
        codes = self.codes(chunk, tile)
        parts = self.bias.rule.gradients(codes, grad.sum(dim=1), self.bias.tensors)
        for total, part in zip(self.grads, parts, strict=True):
            total.add_(part)

    def codes(self, chunk: Chunk, tile: Tile) -> Codes:
        """The codes of a tile, kept in the plan for the other layers."""
        places = self.bias.place_tensors()
        known = self.plan.recall(tile, self.bias.rule, places)
        if known is None:
            known = self._make(
                chunk.rows.tokens[: tile.segments, tile.rows],
                chunk.keys.tokens[: tile.segments, tile.keys],
            )
            self.plan.remember(tile, self.bias.rule, places, known)
        return known

    def _make(self, rows: Tensor, keys: Tensor) -> Codes:
        """From rows [G, R] of q and tokens [G, K] of k."""
        return self.bias.rule.codes(
            self.bias.row_places(rows), self.bias.places(keys), self.plan.dtype
        )


class TileCells(TileBias):
    """The same for a bias given cell by cell; its codes are the cells' places."""

    def __init__(self, call: Call, plan: Plan, grads: list[Tensor]) -> None:
        super().__init__(call, plan, grads)
        lengths, counts = call.offsets.diff(), call.row_offsets.diff()
        first = first_cells(call.offsets, call.row_offsets)[:-1]
        row = torch.arange(len(call.mask.start), device=first.device)
        row -= call.row_offsets[:-1].repeat_interleave(counts)
        begin = (first - call.offsets[:-1]).repeat_interleave(counts)
        #: int64 [R]: add a token of k, and it is the place of the cell.
        self.row = begin + row * lengths.repeat_interleave(counts)

    def write(self, chunk: Chunk, tile: Tile, scores: Tensor) -> None:
        scores.copy_(self.bias.tensors[0].take(self.codes(chunk, tile)[0]).unsqueeze(1))

    def collect(self, chunk: Chunk, tile: Tile, grad: Tensor) -> None:
        # A padded place repeats a cell, with a gradient of 0.
        index = self.codes(chunk, tile)[0].flatten()
        self.grads[0].index_add_(0, index, grad.sum(dim=1).flatten())

    def _make(self, rows: Tensor, keys: Tensor) -> Codes:
        return (self.row[rows][:, :, None] + keys[:, None, :],)


def tile_bias(call: Call, plan: Plan, grads: list[Tensor]) -> TileBias | None:
    """What adds the bias of a call to its scores."""
    if call.bias is None:
        return None
    kind = TileCells if isinstance(call.bias.rule, CellsRule) else TileBias
    return kind(call, plan, grads)
