"""Fused parts of a block on CUDA: everything between the products of matrices in one pass.

The norm reads and writes the dtypes of its neighbours (under plain autocast it writes float32, to
be converted), gate and dropout are in the same pass, and a dropout mask is never stored, but hashed
again from its seed. The products are PyTorch's. Legend: T tokens, d width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from genrank_cli.attention.precision import lowered_dtype
from genrank_cli.models.fused.launch import Drop, norm_backward, norm_forward, silu_backward
from genrank_cli.models.layer import Parts


def project(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear) -> Parts:
    """See `genrank_cli.models.layer.LayerForm`."""
    u, v, q, k = _Project.apply(  # type: ignore[no-untyped-call]
        x, norm.weight, norm.bias, linear.weight, linear.bias, norm.eps, lowered_dtype(x)
    )
    return u, v, q, k


def update(
    x: Tensor, attended: Tensor, u: Tensor, norm: nn.LayerNorm, linear: nn.Linear, dropout: float
) -> Tensor:
    """See `genrank_cli.models.layer.LayerForm`."""
    # From the CPU's generator: asking the device's would wait for it.
    drop = Drop(dropout, int(torch.randint(2**31, ()))) if dropout else Drop()
    updated: Tensor = _Update.apply(  # type: ignore[no-untyped-call]
        x, attended, u, norm.weight, norm.bias, linear.weight, linear.bias, norm.eps, drop,
        lowered_dtype(x),
    )  # fmt: skip
    return updated


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, gain: Tensor, shift: Tensor, weight: Tensor, bias: Tensor,
        eps: float, dtype: torch.dtype,
    ) -> Parts:  # fmt: skip
        normal, *statistics = norm_forward(x, None, gain, shift, eps, Drop(), dtype)
        low = weight.to(dtype)
        before = torch.addmm(bias.to(dtype), normal, low.t())  # [T, 4d]
        ctx.save_for_backward(x, *statistics, gain, shift, weight, low, before)
        u, v, q, k = F.silu(before).chunk(4, dim=-1)
        return u, v, q, k

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, rstd, gain, shift, weight, low, before = ctx.saved_tensors
        grad = silu_backward(grads, before)  # [T, 4d]
        below, _, grad_gain, grad_shift, normal = norm_backward(
            grad @ low, x, None, gain, shift, (mean, rstd), Drop()
        )
        grad_weight = (grad.t() @ normal).to(weight.dtype)
        return below, grad_gain, grad_shift, grad_weight, _rows(grad, weight), None, None


class _Update(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, attended: Tensor, u: Tensor, gain: Tensor, shift: Tensor,
        weight: Tensor, bias: Tensor, eps: float, drop: Drop, dtype: torch.dtype,
    ) -> Tensor:  # fmt: skip
        gated, *statistics = norm_forward(attended, u, gain, shift, eps, drop, dtype)
        low = weight.to(dtype)
        out = torch.addmm(bias.to(dtype), gated, low.t())  # [T, d]
        ctx.drop = drop
        ctx.save_for_backward(attended, u, *statistics, gain, shift, weight, low)
        return out.add_(x) if out.dtype == x.dtype else x + out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        attended, u, mean, rstd, gain, shift, weight, low = ctx.saved_tensors
        lower = grad.to(low.dtype)
        below, grad_u, grad_gain, grad_shift, gated = norm_backward(
            lower @ low, attended, u, gain, shift, (mean, rstd), ctx.drop
        )
        grad_weight = (lower.t() @ gated).to(weight.dtype)
        learned = grad_gain, grad_shift, grad_weight, _rows(grad, weight)
        return grad, below, grad_u, *learned, None, None, None


def _rows(grad: Tensor, like: Tensor) -> Tensor:
    """The gradient of a bias [d]: the sum over the tokens."""
    return grad.sum(0).to(like.dtype)
