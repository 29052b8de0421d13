"""The backend `native`: jagged attention in C++ on the CPU, forward and backward.

Bfloat16 is multiplied by the processor's own instructions where it has them (AMX or AVX512-BF16),
with float32 sums; else in float32. Legend: R rows, T keys, H heads, D width of q and k, E of v.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention.call import Call
from genrank_cli.attention.native.compiled import kernels
from genrank_cli.attention.native.held import KINDS, Held
from genrank_cli.errors import GenrankError


def supported(call: Call, q: Tensor) -> bool:
    """Whether the kernels compute this call: q, k and v like ``q``."""
    bias = call.bias
    fits = q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16)
    return fits and (bias is None or type(bias.rule) in KINDS)


def fresh(like: Tensor, *shape: int) -> Tensor:
    """An empty tensor, in large pages of memory where the system has them."""
    x = like.new_empty(shape)
    kernels().genrank_large_pages(x.data_ptr(), x.nbytes)
    return x


def forward_native(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor | None]:
    """See `genrank_cli.attention.backends.Backend`.

    Raises ValueError for a mask that reaches beyond a row's sequence or counts a key twice, and
    `GenrankError` (2) where there is no compiler, and for what the kernels do not know: another
    dtype and a bias of one's own.
    """
    if not supported(call, q):
        raise GenrankError(
            "attention backend native computes float32 and bfloat16 on a CPU only, with the biases "
            "rab, tables, alibi and alibi-time",
            "use the backend blockwise",
        )
    out = fresh(q, len(q), *v.shape[1:])
    log_sum = None
    if call.activation == "softmax":
        log_sum = q.new_empty(q.shape[:2], dtype=torch.float32)
    held = Held(call, q, k, v)
    held.point(out=out, log_sum=log_sum)
    held.run(kernels().genrank_forward)
    return out, log_sum


def backward_native(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_sum: Tensor | None,
    call: Call,
    wanted: bool,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """See `genrank_cli.attention.backends.Backend`."""
    dq, dk, dv = (fresh(x, *x.shape) for x in (q, k, v))
    held = Held(call, q, k, v, grad.to(q.dtype))
    held.point(out=out, log_sum=log_sum, dq=dq, dk=dk, dv=dv)
    sums = held.sums() if wanted else None
    held.run(kernels().genrank_backward)
    return dq, dk, dv, [] if sums is None else sums.totals()
