"""A bias given cell by cell: the materialized form, an L×L tensor for each sequence.

What HSTU's published implementations pay for. Built once for a layer and kept for the backward
pass, where the backends give back its gradient summed over heads, which the tables' gradients are
summed from. Legend: S sequences, T tokens of k, R rows of q, C cells of all sequences (flat).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.bias import Bias, Places

Codes = tuple[Tensor, ...]


@dataclass(frozen=True)
class CellsRule:
    """bias[i, j] = cell (i, j) of the sequence; its one tensor holds the cells [C].

    Each sequence's are [rows, keys], row by row, one sequence after the other. Places alone do not
    name a cell, so the backends read the tensor and never call the rule.
    """

    name: ClassVar[str] = "cells"

    @classmethod
    def of(cls, tensors: tuple[Tensor, ...]) -> CellsRule:
        return cls()

    def codes(self, rows: Places, keys: Places, dtype: torch.dtype) -> Codes:
        raise NotImplementedError("cells are read by their index")

    def values(
        self, codes: Codes, tensors: tuple[Tensor, ...], out: Tensor | None = None
    ) -> Tensor:
        raise NotImplementedError("cells are read by their index")

    def gradients(self, codes: Codes, grad: Tensor, tensors: tuple[Tensor, ...]) -> Codes:
        raise NotImplementedError("cells are read by their index")


def first_cells(offsets: Tensor, row_offsets: Tensor) -> Tensor:
    """int64 [S+1]: where the cells of each sequence begin."""
    sizes = (offsets.diff() * row_offsets.diff()).cumsum(0)
    return torch.cat((sizes.new_zeros(1), sizes))


def materialize(bias: Bias, offsets: Tensor, row_offsets: Tensor, dtype: torch.dtype) -> Bias:
    """The same bias as cells of ``dtype``; differentiable in its learned tensors."""
    cells: Tensor = _Materialize.apply(  # type: ignore[no-untyped-call]
        bias, offsets, row_offsets, dtype, *bias.tensors
    )
    return Bias(
        CellsRule(), (cells,), bias.position, bias.time,
        row_position=bias.row_position, row_time=bias.row_time,
    )  # fmt: skip


class _Materialize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, bias: Bias, offsets: Tensor, row_offsets: Tensor, dtype: torch.dtype, *_: Tensor
    ) -> Tensor:
        ctx.bias, ctx.bounds = bias, (offsets, row_offsets)
        parts = [
            _for_all_heads(bias.rule.values(codes, bias.tensors)).to(dtype).flatten()
            for codes in _codes(bias, offsets, row_offsets)
        ]
        return torch.cat(parts) if parts else torch.zeros(0, dtype=dtype, device=offsets.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        bias: Bias = ctx.bias
        totals = [torch.zeros_like(x, dtype=torch.float64) for x in bias.tensors]
        begin = 0
        for codes in _codes(bias, *ctx.bounds):
            shape = codes[0].shape
            part = grad[begin : begin + shape.numel()].view(shape)
            begin += shape.numel()
            for total, more in zip(
                totals, bias.rule.gradients(codes, part, bias.tensors), strict=True
            ):
                total.add_(more)
        wanted = ctx.needs_input_grad[4:]
        grads = (
            total.to(x.dtype) if want else None
            for total, x, want in zip(totals, bias.tensors, wanted, strict=True)
        )
        return None, None, None, None, *grads


def _for_all_heads(values: Tensor) -> Tensor:
    """[1, 1, rows, keys] → [rows, keys]."""
    if values.shape[1] != 1:
        raise ValueError("only a bias that all heads share can be materialized")
    return values[0, 0]


_CODES: BatchMemo[list[Codes]] = BatchMemo()


def _codes(bias: Bias, offsets: Tensor, row_offsets: Tensor) -> list[Codes]:
    """The codes of each sequence, [1, rows, keys]; worked out by the first layer of a batch."""
    made_from = (offsets, row_offsets, bias.time, *(x for x in bias.place_tensors()[2:]))
    return _CODES.get(
        bias.position,
        made_from,
        (bias.rule,),
        lambda: list(_make_codes(bias, offsets, row_offsets)),
    )


def _make_codes(bias: Bias, offsets: Tensor, row_offsets: Tensor) -> Iterator[Codes]:
    device = offsets.device
    ranges = zip(pairwise(row_offsets.tolist()), pairwise(offsets.tolist()), strict=True)
    for (first_row, last_row), (first_key, last_key) in ranges:
        rows = bias.row_places(torch.arange(first_row, last_row, device=device)[None])
        keys = bias.places(torch.arange(first_key, last_key, device=device)[None])
        yield bias.rule.codes(rows, keys, torch.float32)
