"""The CPU's default backend: tiles of rows in plain PyTorch, recomputed in the backward pass.

Only cells near to one that a row of the tile sees are computed, and nothing of size L×L is kept
(memory O(L · tile)): causal history, isolated candidates and windows cost their area. Gradients of
learned bias tables come from tiles already summed over heads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrank_cli.attention import tiles
from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.call import Call
from genrank_cli.attention.plan import Plan
from genrank_cli.attention.planner import make_plan


def attend_blockwise(q: Tensor, k: Tensor, v: Tensor, call: Call) -> Tensor:
    """See `genrank_cli.attention.attend`. Bfloat16 is computed in float32."""
    tensors = () if call.bias is None else call.bias.tensors
    out: Tensor = _Blockwise.apply(q, k, v, call, *tensors)  # type: ignore[no-untyped-call]
    return out


class _Blockwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, call: Call, *tensors: Tensor) -> Tensor:
        work = tiles.Work(q, k, v, call, plan_of(call, q))
        with torch.autocast(q.device.type, enabled=False):
            out, log_sum = tiles.forward(work)
        ctx.call, ctx.built = call, work.built
        ctx.save_for_backward(q, k, v, *(() if log_sum is None else (out, log_sum)))
        return out.to(q.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, *saved = ctx.saved_tensors
        call: Call = ctx.call
        tensors = () if call.bias is None else call.bias.tensors
        wanted = ctx.needs_input_grad[4:]
        plan = plan_of(call, q)
        grads = [torch.zeros_like(x, dtype=torch.float64) for x in tensors] if any(wanted) else []
        work = tiles.Work(q, k, v, call, plan, ctx.built, grads)
        out, log_sum = saved or (None, None)
        with torch.autocast(q.device.type, enabled=False):
            dq, dk, dv = tiles.backward(work, grad, out, log_sum)
        tensor_grads = (
            total.to(x.dtype) if want else None
            for total, x, want in zip(grads or tensors, tensors, wanted, strict=True)
        )
        return dq.to(q.dtype), dk.to(q.dtype), dv.to(q.dtype), None, *tensor_grads


_PLANS: BatchMemo[Plan] = BatchMemo()


def plan_of(call: Call, q: Tensor) -> Plan:
    """The plan of a batch; made by its first layer, dropped with its mask."""
    heads = q.shape[1]
    dtype = torch.float64 if q.dtype == torch.float64 else torch.float32
    mask = call.mask
    made_from = (call.offsets, mask.start, mask.peer_start, mask.peer_stop)
    return _PLANS.get(
        mask.stop,
        made_from,
        (heads, dtype),
        lambda: make_plan(call.offsets, mask, heads, dtype),
    )
