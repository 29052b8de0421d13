"""Dropout with a mask that is cheap to draw on a CPU.

PyTorch draws one random number an element in one thread, which costs a small model's training step
more than its projections. Here a 64-bit word of the same generator serves four elements.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

STEPS = 1 << 16  # of a probability: what 16 random bits tell apart


def keep_mask(shape: torch.Size, dropout: float) -> tuple[Tensor, float]:
    """bool of ``shape`` on the CPU, and what kept values are multiplied with so the mean stays.

    ``dropout`` in [0, 1) is rounded down to a multiple of 2^−16; the factor is that of the rounded.
    """
    threshold = int(dropout * STEPS)
    count = shape.numel()
    # From the lowest value on: without it the highest bit of every word would be 0.
    words = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    kept = words.view(torch.int16)[:count] >= threshold - STEPS // 2
    return kept.view(shape), STEPS / (STEPS - threshold)


def drop(x: Tensor, dropout: float) -> Tensor:
    """Dropout of a tensor on the CPU, by `keep_mask`."""
    if not dropout:
        return x
    dropped: Tensor = _Drop.apply(x, dropout)  # type: ignore[no-untyped-call]
    return dropped


class _Drop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropout: float) -> Tensor:
        kept, ctx.factor = keep_mask(x.shape, dropout)
        ctx.save_for_backward(kept)
        return (x * kept).mul_(ctx.factor)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return (grad * kept).mul_(ctx.factor), None


class Dropout(nn.Dropout):
    """``nn.Dropout``, drawn by `keep_mask` on a CPU where ``layer`` is not ``plain``."""

    def __init__(self, p: float, layer: str) -> None:
        super().__init__(p)
        self.cheap = layer != "plain"

    def forward(self, x: Tensor) -> Tensor:
        """[…] → […]."""
        if self.cheap and x.device.type == "cpu":
            return drop(x, self.p if self.training else 0.0)
        return F.dropout(x, self.p, self.training)
