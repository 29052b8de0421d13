"""A fused bias as a tensor of cells: `genrank::materialize` and its gradient.

Two PyTorch operators, so that a bias in this form can be traced (``torch.compile``) like any other.
How many cells there are follows from the offsets, so a graph in one piece needs
``torch._dynamo.config.capture_dynamic_output_shape_ops``. Legend: S sequences, T tokens of k, R
rows of q, C cells of all sequences (flat).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, library

from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.bias import Bias, BiasRule, Places
from genrank_cli.attention.biases import RULES
from genrank_cli.attention.cells import CellsRule
from genrank_cli.attention.checks import check_bounds, check_times

Codes = tuple[Tensor, ...]

PIECE = 1 << 17  # cells


def materialize(bias: Bias, offsets: Tensor, row_offsets: Tensor, dtype: torch.dtype) -> Bias:
    """The same bias as cells of ``dtype``; differentiable in its learned tensors."""
    cells: Tensor = _materialize(
        list(bias.tensors), list(bias.place_tensors()), offsets, row_offsets, bias.rule.name, dtype
    )
    return Bias(
        CellsRule(), (cells,), bias.position, bias.time,
        row_position=bias.row_position, row_time=bias.row_time,
    )  # fmt: skip


@library.custom_op("genrank::materialize", mutates_args=())
def _materialize(
    tensors: list[Tensor],
    places: list[Tensor],
    offsets: Tensor,
    row_offsets: Tensor,
    rule: str,
    dtype: torch.dtype,
) -> Tensor:
    own = RULES[rule].of(tuple(tensors))
    codes = _codes(own, places, offsets, row_offsets)
    out = codes[0].new_empty(codes[0].shape, dtype=dtype)
    for piece in _pieces(out):
        values = own.values(tuple(code[piece] for code in codes), tuple(tensors))
        if values.shape[1] != 1:
            raise ValueError("only a bias that all heads share can be materialized")
        out[piece] = values[:, 0]
    return out.flatten()


@_materialize.register_fake
def _materialize_shapes(
    tensors: list[Tensor],
    places: list[Tensor],
    offsets: Tensor,
    row_offsets: Tensor,
    rule: str,
    dtype: torch.dtype,
) -> Tensor:
    return offsets.new_empty(library.get_ctx().new_dynamic_size(), dtype=dtype)


@library.custom_op("genrank::materialize_backward", mutates_args=())
def _materialize_backward(
    grad: Tensor,
    tensors: list[Tensor],
    places: list[Tensor],
    offsets: Tensor,
    row_offsets: Tensor,
    rule: str,
) -> list[Tensor]:
    own = RULES[rule].of(tuple(tensors))
    codes = _codes(own, places, offsets, row_offsets)
    cells = grad.view(codes[0].shape)
    totals = [torch.zeros_like(x, dtype=torch.float64) for x in tensors]
    for piece in _pieces(cells):
        here = tuple(code[piece] for code in codes)
        parts = own.gradients(here, cells[piece], tuple(tensors))
        for total, part in zip(totals, parts, strict=True):
            total.add_(part)
    return [total.to(x.dtype) for total, x in zip(totals, tensors, strict=True)]


@_materialize_backward.register_fake
def _materialize_backward_shapes(grad: Tensor, tensors: list[Tensor], *rest: Any) -> list[Tensor]:
    return [x.new_empty(x.shape) for x in tensors]


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tensors, places, offsets, row_offsets, ctx.rule, _ = inputs
    ctx.count = len(tensors)
    ctx.save_for_backward(offsets, row_offsets, *tensors, *places)


def _gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    offsets, row_offsets, *rest = ctx.saved_tensors
    tensors, places = rest[: ctx.count], rest[ctx.count :]
    grads = _materialize_backward(
        grad.contiguous(), tensors, places, offsets, row_offsets, ctx.rule
    )
    return grads, [None] * len(places), None, None, None, None


_materialize.register_autograd(_gradients, setup_context=_keep)


def _pieces(cells: Tensor) -> list[slice]:
    """Cells [C, 1, 1] that are done together: on a CPU as many as fit its cache."""
    step = PIECE if cells.device.type == "cpu" else max(len(cells), 1)
    return [slice(first, first + step) for first in range(0, len(cells), step)]


_CODES: BatchMemo[Codes] = BatchMemo()


def _codes(rule: BiasRule, places: list[Tensor], offsets: Tensor, row_offsets: Tensor) -> Codes:
    """The codes of all cells, [C, 1, 1] each; worked out by the first layer of a batch."""
    position, *others = places
    return _CODES.get(
        position,
        (offsets, row_offsets, *others),
        (rule,),
        lambda: _make_codes(rule, places, offsets, row_offsets),
    )


def _make_codes(
    rule: BiasRule, places: list[Tensor], offsets: Tensor, row_offsets: Tensor
) -> Codes:
    position, time, row_position, row_time = places if len(places) > 2 else places * 2
    rows, keys = Places(row_position, row_time), Places(position, time)
    if offsets.device.type != "cpu":
        return codes_of_cells(rule, rows, keys, offsets, row_offsets)
    check_bounds("offsets", offsets, len(position))
    check_bounds("row_offsets", row_offsets, len(row_position))
    check_times(places)
    return codes_by_sequence(rule, rows, keys, offsets, row_offsets)


def codes_by_sequence(
    rule: BiasRule, rows: Places, keys: Places, offsets: Tensor, row_offsets: Tensor
) -> Codes:
    """On a CPU, where to gather the places of every cell takes four times as long.

    ``rows`` and ``keys``: places [R] and [T].
    """
    parts = [
        rule.codes(_slice(rows, *r), _slice(keys, *k), torch.float32)
        for r, k in zip(pairwise(row_offsets.tolist()), pairwise(offsets.tolist()), strict=True)
    ]
    if not parts:
        return codes_of_cells(rule, rows, keys, offsets, row_offsets)
    return tuple(
        torch.cat([code.flatten() for code in codes])[:, None, None]
        for codes in zip(*parts, strict=True)
    )


def _slice(places: Places, first: int, last: int) -> Places:
    return Places(places.position[None, first:last], places.time[None, first:last])


def codes_of_cells(
    rule: BiasRule, rows: Places, keys: Places, offsets: Tensor, row_offsets: Tensor
) -> Codes:
    """The same without a loop: every cell is a tile of one row and one key."""
    row, key = _cells(offsets, row_offsets)
    return rule.codes(
        Places(rows.position[row][:, None], rows.time[row][:, None]),
        Places(keys.position[key][:, None], keys.time[key][:, None]),
        torch.float32,
    )


def _cells(offsets: Tensor, row_offsets: Tensor) -> tuple[Tensor, Tensor]:
    """The row of q and the token of k of every cell, int64 [C] each."""
    counts = row_offsets.diff()  # [S]
    keys = offsets.diff().repeat_interleave(counts)  # [R], of each row
    first = offsets[:-1].repeat_interleave(counts) - (keys.cumsum(0) - keys)  # [R]
    row = torch.arange(len(keys), device=keys.device).repeat_interleave(keys)
    return row, torch.arange(len(row), device=keys.device).add_(first[row])
