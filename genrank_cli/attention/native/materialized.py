"""A bias as a tensor for each sequence: built before the kernels run, its gradient summed after.

As wide as the keys that any row's first interval holds. Legend: L tokens of a sequence, K such
keys, S sequences; ``side`` is K padded to the kernels' blocks of keys.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import Call

BLOCK = 64  # kKeys of ``kernel.cpp``


@dataclass(frozen=True, eq=False)
class Cells:
    """Where the cells of a batch stand, and their codes; the same for all layers.

    first, side  int64 [S]: each sequence's first cell, and its cells from a row to the next
    lengths      tokens of each sequence
    codes        of each sequence [1, L, K]
    """

    first: Tensor
    side: Tensor
    lengths: list[int]
    codes: list[tuple[Tensor, ...]]

    def values(self, bias: Bias) -> Tensor:
        """float32: the bias of all sequences, [L, side] each, one after the other."""
        parts = []
        for codes, side in zip(self.codes, self.side.tolist(), strict=True):
            values = bias.rule.values(codes, bias.tensors)[0, 0].detach().float()  # [L, K]
            parts.append(F.pad(values, (0, side - values.shape[1])).flatten())
        return torch.cat(parts)

    def zeros(self, sequence: int) -> Tensor:
        """Zeros [L, side] of a sequence."""
        return torch.zeros(self.lengths[sequence], int(self.side[sequence]))

    def gradients(self, bias: Bias, grads: dict[int, Tensor]) -> list[Tensor]:
        """Gradients of the bias's tensors, float64, from those of the cells by sequence."""
        totals = [torch.zeros_like(x, dtype=torch.float64) for x in bias.tensors]
        for sequence, grad in grads.items():
            codes = self.codes[sequence]
            parts = bias.rule.gradients(codes, grad[None, :, : codes[0].shape[2]], bias.tensors)
            for total, part in zip(totals, parts, strict=True):
                total.add_(part)
        return totals


_CELLS: BatchMemo[Cells] = BatchMemo()


def cells_of(call: Call, bias: Bias) -> Cells:
    """The cells of a batch; made by its first layer, dropped with its mask."""
    made_from = (call.offsets, call.mask.start, bias.position, bias.time)
    return _CELLS.get(call.mask.stop, made_from, (bias.rule,), lambda: _make(call, bias))


def _make(call: Call, bias: Bias) -> Cells:
    bounds, lengths = call.offsets.tolist(), call.offsets.diff().tolist()
    ends = torch.where(call.mask.stop > call.mask.start, call.mask.stop, 0)
    codes, sides = [], []
    for first, length in zip(bounds, lengths, strict=False):
        rows = bias.places(torch.arange(first, first + length)[None])
        keys = int(ends[first : first + length].max()) if length else 0
        shown = bias.places(torch.arange(first, first + keys)[None])
        codes.append(bias.rule.codes(rows, shown, torch.float32))
        sides.append(-(-keys // BLOCK) * BLOCK)
    side = torch.tensor(sides, dtype=torch.int64)
    sizes = side * call.offsets.diff()
    return Cells(sizes.cumsum(0) - sizes, side, lengths, codes)
