"""The forward and the backward pass as kernel launches. Importing this imports triton.

Legend: R rows, T keys, H heads, D width of q and k, E of v.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention.call import Call
from genrank_cli.attention.gpu.backward_keys import keys_kernel
from genrank_cli.attention.gpu.backward_rows import rows_kernel
from genrank_cli.attention.gpu.config import FORWARD, KEYS, ROWS
from genrank_cli.attention.gpu.forward import forward_kernel
from genrank_cli.attention.gpu.launch import Work
from genrank_cli.attention.gpu.learned import bias_gradients


def forward(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor | None]:
    """See `genrank_cli.attention.gpu.attend.forward_triton`."""
    work = Work.of(q, k, v, call)
    out = q.new_empty(*q.shape[:2], v.shape[2])
    log_sum = q.new_empty(q.shape[:2], dtype=torch.float32)
    work.run(FORWARD, forward_kernel, (work.q, work.k, work.v, out, log_sum))
    return out, log_sum if call.activation == "softmax" else None


def backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_sum: Tensor | None,
    call: Call,
    wanted: bool,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """See `genrank_cli.attention.gpu.attend.backward_triton`."""
    work = Work.of(q, k, v, call)
    grad, out = grad.contiguous(), out.contiguous()
    dq, dk, dv = (torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in (q, k, v))
    mean = torch.empty(q.shape[:2], dtype=torch.float32, device=q.device)
    sums = mean if log_sum is None else log_sum.contiguous()
    inputs = (work.q, work.k, work.v)
    # The first kernel writes the means that the others read.
    work.run(ROWS, rows_kernel, (*inputs, out, sums, grad, dq, mean))
    work.run(KEYS, keys_kernel, (*inputs, sums, grad, mean, dk, dv), of_keys=True)
    learned = bias_gradients(work, grad, sums, mean) if wanted else []
    return dq, dk, dv, learned
