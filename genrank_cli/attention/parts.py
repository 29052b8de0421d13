"""Between flat tensors [T, H, D] and the padded tensors of a chunk, [B, n, D].

Legend: T tokens, H heads, D head width, G segments of a chunk, B = G·H, n rows or keys of a chunk.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention.plan import Side


def take(x: Tensor, side: Side, dtype: torch.dtype, zero_padding: bool = False) -> Tensor:
    """x [T, H, D] at the places of a chunk, [B, n, D]; a view where nothing must move."""
    if side.run is not None:
        return x[side.run].transpose(0, 1).to(dtype)
    rows, step = _head_rows(x)
    picked = rows.index_select(0, side.index(step)).to(dtype)
    if zero_padding:
        picked.index_fill_(0, side.padding, 0)
    return picked.view(-1, side.tokens.shape[1], x.shape[2])


class Part:
    """What a chunk adds to ``total`` [T, H, D]; in place, where nothing must move.

    ``clear``: begin with zeros; else the first `add` to a place must say that it is.
    """

    def __init__(self, total: Tensor, side: Side, clear: bool) -> None:
        self.total, self.side = total, side
        if side.run is not None:
            self.data = total[side.run].transpose(0, 1)
            return
        groups, places = side.tokens.shape
        shape = groups * total.shape[1], places, total.shape[2]
        self.data = total.new_zeros(shape) if clear else total.new_empty(shape)

    def add(self, batch: int, places: slice, values: Tensor, first: bool = False) -> None:
        """Add ``values`` [batch, places, D] to the first ``batch`` matrices.

        ``first``: nothing was added to these places before.
        """
        target = self.data[:batch, places]
        if first and self.side.run is None:
            target.copy_(values)
        else:
            target.add_(values)

    def close(self) -> None:
        """Hand over to ``total``; a repeated place counts once."""
        if self.side.run is None:
            values = self.data.view(-1, self.data.shape[2])
            values.index_fill_(0, self.side.padding, 0)
            rows, step = _head_rows(self.total)
            rows.index_add_(0, self.side.index(step), values)


def _head_rows(x: Tensor) -> tuple[Tensor, int]:
    """x [T, H, D] as a matrix with a row for each head of each token.

    And how many rows it is from a token to the next: without a copy where x is a slice of a wider
    projection, as q, k and v are.
    """
    tokens, heads, width = x.shape
    if x.stride()[1:] != (width, 1) or x.stride(0) % width:
        x = x.contiguous()
    step = x.stride(0) // width
    return x.as_strided(((tokens - 1) * step + heads, width), (width, 1)), step
