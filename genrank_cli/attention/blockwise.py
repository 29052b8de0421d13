"""The CPU's default backend: tiles of rows in plain PyTorch, recomputed in the backward pass.

Only cells near to one that a row of the tile sees are computed, and nothing of size L×L is kept
(memory O(L · tile)): causal history, isolated candidates and windows cost their area. Gradients of
learned bias tables come from tiles already summed over heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention import tiles
from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.call import Call
from genrank_cli.attention.cells import CellsRule
from genrank_cli.attention.plan import Plan
from genrank_cli.attention.planner import make_plan
from genrank_cli.attention.precision import compute_dtype


def forward_blockwise(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor | None]:
    """See `genrank_cli.attention.backends.Backend`. Low precision is computed in float32."""
    with torch.autocast(q.device.type, enabled=False):
        out, log_sum = tiles.forward(tiles.Work(q, k, v, call, plan_of(call, q)))
    return out.to(q.dtype), log_sum


def backward_blockwise(
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
    tensors = () if call.bias is None else call.bias.tensors
    # Thousands of cells fall into one row of a table; a materialized bias has one place for each.
    cells = call.bias is not None and isinstance(call.bias.rule, CellsRule)
    dtype = compute_dtype(q) if cells else torch.float64
    grads = [torch.zeros_like(x, dtype=dtype) for x in tensors] if wanted else []
    work = tiles.Work(q, k, v, call, plan_of(call, q), grads)
    with torch.autocast(q.device.type, enabled=False):
        dq, dk, dv = tiles.backward(work, grad, out.to(work.dtype), log_sum)
    learned = [total.to(x.dtype) for total, x in zip(grads, tensors, strict=False)]
    return dq.to(q.dtype), dk.to(q.dtype), dv.to(q.dtype), learned


_PLANS: BatchMemo[Plan] = BatchMemo()


def plan_of(call: Call, q: Tensor) -> Plan:
    """The plan of a batch; made by its first layer, dropped with its mask."""
    heads, dtype = q.shape[1], compute_dtype(q)
    mask = call.mask
    context, start, stop, *peers = mask.tensors()
    return _PLANS.get(
        stop,
        (call.offsets, call.row_offsets, context, start, *peers),
        (heads, dtype),
        lambda: make_plan(call.offsets, call.row_offsets, mask, heads, dtype),
    )
