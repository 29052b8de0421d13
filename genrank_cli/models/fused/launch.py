"""Launches of the Triton kernels of the parts of a block.

Legend: T tokens, d width, P programs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from genrank_cli.attention.dropout import threshold
from genrank_cli.attention.precision import compute_dtype
from genrank_cli.models.fused import kernels

CELLS = 2048  # numbers of a block: a few rows, in at most 128 registers a thread (no spills)
PROGRAMS = 4  # of the norm's gradient, for each multiprocessor


@dataclass(frozen=True)
class Drop:
    """Dropout with ``share`` in [0, 1); the same elements for the same ``seed``."""

    share: float = 0.0
    seed: int = 0

    def arguments(self) -> tuple[int, int, float]:
        """Seed and threshold as signed 32-bit numbers, and the factor of what is kept."""
        return _signed(self.seed), _signed(threshold(self.share)), 1.0 / (1.0 - self.share)


def norm_forward(
    x: Tensor, gate: Tensor | None, gain: Tensor, shift: Tensor, eps: float, drop: Drop,
    dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """dropout(LN(x) ⊙ gate) [T, d] in ``dtype``; mean and 1 / deviation [T]."""
    x, gate = _dense(x), None if gate is None else _dense(gate)
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    mean = torch.empty(len(x), dtype=compute_dtype(x), device=x.device)
    rstd = torch.empty_like(mean)
    sizes = _sizes(x)
    if len(x):
        kernels.norm_forward[(-(-len(x) // sizes["ROWS"]),)](
            x, x if gate is None else gate, gain, shift, out, mean, rstd, len(x), x.stride(0),
            0 if gate is None else gate.stride(0), eps, *drop.arguments(), **sizes,
            GATED=gate is not None, DROPOUT=drop.share > 0,
        )  # fmt: skip
    return out, mean, rstd


def norm_backward(
    grad: Tensor, x: Tensor, gate: Tensor | None, gain: Tensor, shift: Tensor,
    statistics: tuple[Tensor, Tensor], drop: Drop,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:  # fmt: skip
    """The gradients of x, gate, gain and shift, and the output of `norm_forward` once more.

    ``grad`` [T, d] is of that output, and of its dtype.
    """
    grad, x, gate = grad.contiguous(), _dense(x), None if gate is None else _dense(gate)
    below = torch.empty(x.shape, dtype=x.dtype, device=x.device)
    opened = None if gate is None else torch.empty(x.shape, dtype=gate.dtype, device=x.device)
    again, sizes = torch.empty_like(grad), _sizes(x)
    programs = max(1, min(-(-len(x) // sizes["ROWS"]), _programs(x.device)))
    sums = torch.empty(2, programs, x.shape[1], dtype=compute_dtype(x), device=x.device)
    kernels.norm_backward[(programs,)](
        grad, x, x if gate is None else gate, gain, shift, *statistics, below,
        below if opened is None else opened, again, sums[0], sums[1], len(x), x.stride(0),
        0 if gate is None else gate.stride(0), *drop.arguments(), **sizes,
        GATED=gate is not None, DROPOUT=drop.share > 0,
    )  # fmt: skip
    return below, opened, sums[0].sum(0).to(gain.dtype), sums[1].sum(0).to(shift.dtype), again


def silu_backward(grads: tuple[Tensor, ...], before: Tensor) -> Tensor:
    """The gradient before SiLU [T, 4d] from those of its quarters, [T, d] each."""
    grads = tuple(_dense(grad) for grad in grads)
    out, sizes = torch.empty_like(before), _sizes(grads[0])
    if len(out):
        kernels.silu_backward[(-(-len(out) // sizes["ROWS"]),)](
            *grads, before, out, len(out), *(grad.stride(0) for grad in grads), **sizes
        )
    return out


def _sizes(x: Tensor) -> dict[str, Any]:
    wide = 1 << (x.shape[1] - 1).bit_length()
    double = x.dtype == torch.float64
    return {
        "D": x.shape[1],
        "WIDE": wide,
        "ROWS": max(1, min(16, CELLS // wide)),
        "SUM": tl.float64 if double else tl.float32,
        "num_warps": 4 if wide <= 2048 else 8,
    }


def _dense(x: Tensor) -> Tensor:
    """Adjacent numbers in a row; a quarter of a projection stays a view."""
    return x if x.stride(-1) == 1 else x.contiguous()


def _programs(device: torch.device) -> int:
    if device.type != "cuda":  # the interpreter
        return PROGRAMS
    return PROGRAMS * torch.cuda.get_device_properties(device).multi_processor_count


def _signed(x: int) -> int:
    """The low 32 bits as a signed number: one type for the compiler, whatever the seed."""
    x &= 0xFFFFFFFF
    return x - (1 << 32) if x >> 31 else x
