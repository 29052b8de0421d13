"""The fast backends as PyTorch operators: `genrank::attend` and `genrank::attend_backward`.

One pair for all backends, with shape rules for tracing (``torch.compile``), autograd, and a FLOP
formula, so that a backend is two plain functions. An operator takes tensors, numbers and strings
only: a `Call` is flattened on the way in and built again inside. Legend: R rows, T keys, H heads, D
width of q and k, E of v.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, library
from torch.utils.flop_counter import register_flop_formula

from genrank_cli.attention.backends import BACKENDS
from genrank_cli.attention.bias import Bias
from genrank_cli.attention.biases import RULES
from genrank_cli.attention.call import Call
from genrank_cli.attention.checks import check_times, check_values
from genrank_cli.attention.mask import Mask
from genrank_cli.attention.precision import compute_dtype


def attend_op(q: Tensor, k: Tensor, v: Tensor, call: Call, backend: str) -> Tensor:
    """`genrank::attend` on a `Call`: the output [R, H, E]."""
    bias = call.bias
    out: Tensor
    out, _ = _attend(
        q, k, v, call.offsets, call.row_offsets, list(call.mask.tensors()),
        [] if bias is None else list(bias.tensors),
        [] if bias is None else list(bias.place_tensors()),
        "" if bias is None else bias.rule.name,
        call.activation, call.scale, call.norm, call.dropout, call.seed, backend,
    )  # fmt: skip
    return out


def _call(
    offsets: Tensor,
    row_offsets: Tensor,
    mask: list[Tensor],
    tensors: list[Tensor],
    places: list[Tensor],
    bias: str,
    *settings: Any,
) -> Call:
    """The `Call` again, of the very same tensors."""
    whole = None
    if bias:
        rule = RULES[bias].of(tuple(tensors))
        rows = places[2:] or (None, None)
        whole = Bias(
            rule, tuple(tensors), places[0], places[1], row_position=rows[0], row_time=rows[1]
        )
    return Call(offsets, row_offsets, Mask(*mask), whole, *settings)


@library.custom_op("genrank::attend", mutates_args=())
def _attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    offsets: Tensor,
    row_offsets: Tensor,
    mask: list[Tensor],
    tensors: list[Tensor],
    places: list[Tensor],
    bias: str,
    activation: str,
    scale: float,
    norm: int,
    dropout: float,
    seed: int,
    backend: str,
) -> tuple[Tensor, Tensor]:
    call = _call(
        offsets, row_offsets, mask, tensors, places, bias, activation, scale, norm, dropout, seed
    )
    if q.device.type == "cpu":
        check_values(offsets, row_offsets, call.mask, len(q), len(k))
        check_times(places)
    out, log_sum = BACKENDS[backend].forward(q, k, v, call)
    return out, q.new_empty(0) if log_sum is None else log_sum


@_attend.register_fake
def _attend_shapes(q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    activation = rest[6]
    out = q.new_empty(q.shape[0], q.shape[1], v.shape[2])
    if activation != "softmax":
        return out, q.new_empty(0)
    return out, q.new_empty(q.shape[:2], dtype=compute_dtype(q))


@library.custom_op("genrank::attend_backward", mutates_args=())
def _attend_backward(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_sum: Tensor,
    offsets: Tensor,
    row_offsets: Tensor,
    mask: list[Tensor],
    tensors: list[Tensor],
    places: list[Tensor],
    bias: str,
    activation: str,
    scale: float,
    norm: int,
    dropout: float,
    seed: int,
    backend: str,
    wanted: bool,
) -> list[Tensor]:
    call = _call(
        offsets, row_offsets, mask, tensors, places, bias, activation, scale, norm, dropout, seed
    )
    sums = log_sum if activation == "softmax" else None
    *own, learned = BACKENDS[backend].backward(grad, q, k, v, out, sums, call, wanted)
    return [*own, *learned]


@_attend_backward.register_fake
def _attend_backward_shapes(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: Any
) -> list[Tensor]:
    tensors, wanted = rest[5], rest[-1]
    # Backends write dense gradients, whatever strides q, k and v have.
    own = [x.new_empty(x.shape) for x in (q, k, v)]
    return own + ([x.new_empty(x.shape) for x in tensors] if wanted else [])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    q, k, v, offsets, row_offsets, mask, tensors, places, *settings = inputs
    ctx.counts = len(tensors), len(places)
    ctx.settings = settings
    ctx.save_for_backward(q, k, v, *output, offsets, row_offsets, *mask, *tensors, *places)


def _gradients(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    saved = list(ctx.saved_tensors)
    tensors, places = ctx.counts
    fixed, mask = saved[:7], saved[7:12]
    learned, rest = saved[12 : 12 + tensors], saved[12 + tensors :]
    wanted = any(ctx.needs_input_grad[6])
    own = _attend_backward(grad, *fixed, mask, learned, rest, *ctx.settings, wanted)
    more: list[Tensor | None] = list(own[3:]) if wanted else [None] * tensors
    nothing = [None] * len(ctx.settings)
    return *own[:3], None, None, [None] * 5, more, [None] * places, *nothing


_attend.register_autograd(_gradients, setup_context=_keep)


@register_flop_formula(torch.ops.genrank.attend, get_raw=True)
def _forward_flops(q: Tensor, k: Tensor, v: Tensor, *rest: Any, **_: Any) -> int:
    """Two products of each visible cell: q·k and weight·v."""
    return 2 * _cells(rest[2]) * q.shape[1] * (q.shape[2] + v.shape[2])


@register_flop_formula(torch.ops.genrank.attend_backward, get_raw=True)
def _backward_flops(grad: Tensor, q: Tensor, k: Tensor, v: Tensor, *rest: Any, **_: Any) -> int:
    """Five products of each visible cell: the scores again; dv, the weights' gradient; dq, dk."""
    return 2 * _cells(rest[4]) * q.shape[1] * (3 * q.shape[2] + 2 * v.shape[2])


def _cells(mask: list[Tensor]) -> int:
    """Visible cells; the mask must hold numbers, so be on a real device."""
    return Mask(*mask).area()
