"""Fused parts of a block on a CPU, where fresh memory costs more than sums.

The gradients of u, v, q and k go straight to their part of one tensor, without being put together
first; dropout draws its mask by `keep_mask`. Recomputing the norms in the backward pass, or leaving
all to ``torch.compile``, measured slower. Legend: T tokens, d width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from genrank_cli.models.dropout import drop
from genrank_cli.models.layer import Parts


def project(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear) -> Parts:
    """See `genrank_cli.models.layer.LayerForm`."""
    before = linear(norm(x))  # [T, 4d]
    if torch.is_grad_enabled():
        u, v, q, k = _SiluSplit.apply(before)  # type: ignore[no-untyped-call]
    else:  # nothing is kept, so SiLU needs no second tensor
        u, v, q, k = F.silu(before, inplace=True).chunk(4, dim=-1)
    return u, v, q, k


def update(
    x: Tensor, attended: Tensor, u: Tensor, norm: nn.LayerNorm, linear: nn.Linear, dropout: float
) -> Tensor:
    """See `genrank_cli.models.layer.LayerForm`."""
    updated: Tensor = x + linear(drop(norm(attended) * u, dropout))
    return updated


class _SiluSplit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Parts:
        ctx.save_for_backward(x)
        u, v, q, k = F.silu(x).chunk(4, dim=-1)
        return u, v, q, k

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        below = torch.empty_like(x)  # [T, 4d]
        parts = zip(grads, x.chunk(4, dim=-1), below.chunk(4, dim=-1), strict=True)
        for grad, value, out in parts:
            torch.ops.aten.silu_backward.grad_input(grad, value, grad_input=out)
        return below
