"""The parts of a block on random numbers, by any form and in any dtype.

Legend: T tokens, d width.
"""

from __future__ import annotations

import contextlib

import torch
from torch import Tensor, nn

from genrank_cli.models.layer import LayerForm


def parts_of_a_block(
    form: LayerForm,
    dtype: torch.dtype,
    *,
    tokens: int,
    width: int,
    dropout: float = 0.0,
    autocast: bool = False,
    rounded_to: torch.dtype = torch.float64,
) -> list[Tensor]:
    """The output [T, d] and the gradients of the input and of all weights.

    ``autocast``: products in bfloat16, weights and input in ``dtype``. All numbers are rounded to
    ``rounded_to`` first, so that runs in two dtypes see the same.
    """
    random = torch.Generator().manual_seed(tokens)

    def normal(*shape: int) -> Tensor:
        x = torch.randn(*shape, generator=random, dtype=torch.float64)
        return x.to(rounded_to).to(dtype)

    norms = [nn.LayerNorm(width, eps=1e-6, dtype=dtype) for _ in range(2)]
    linears = [nn.Linear(width, size * width, dtype=dtype) for size in (4, 1)]
    for module in (*norms, *linears):
        for weight in module.parameters():
            scale = width**-0.5 if weight.ndim == 2 else 1.0
            weight.data = (normal(*weight.shape).double() * scale).to(rounded_to).to(dtype)
    x, grad = normal(tokens, width).requires_grad_(), normal(tokens, width)
    low = torch.autocast("cpu", torch.bfloat16) if autocast else contextlib.nullcontext()
    torch.manual_seed(7)
    with low:
        u, v, q, k = form.project(x, norms[0], linears[0])
        out = form.update(x, v * q + k, u, norms[1], linears[1], dropout)
    weights = [weight for module in (*norms, *linears) for weight in module.parameters()]
    return [out.detach(), *torch.autograd.grad(out, [x, *weights], grad.to(out.dtype))]


def assert_as_exact_as(found: list[Tensor], plain: list[Tensor], exact: list[Tensor]) -> None:
    """Max error against ``exact``: ≤ 2× (output) and ≤ 5× (gradients) that of ``plain``."""
    for place, (got, other, right) in enumerate(zip(found, plain, exact, strict=True)):
        assert got.shape == right.shape
        assert got.dtype == other.dtype
        if right.numel() == 0:
            continue
        # Plain may be exact by luck: a rounding is allowed. In float64 it is what is called exact.
        roundings = 64 if got.dtype == torch.float64 else 1
        floor = roundings * torch.finfo(got.dtype).eps * float(right.abs().max())
        allowed = (2 if place == 0 else 5) * float((other - right).abs().max()) + floor
        assert float((got - right).abs().max()) <= allowed, f"tensor {place}"
