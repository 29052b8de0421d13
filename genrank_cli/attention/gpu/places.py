"""What a bias gives to the kernels: its number, and tensors in the dtypes that they read.

Legend: T keys, R rows, H heads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from genrank_cli.attention.alibi import AlibiRule, AlibiTimeRule
from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import Call
from genrank_cli.attention.cells import CellsRule, first_cells
from genrank_cli.attention.native.edges import bucket_edges
from genrank_cli.attention.relative import TIME_BUCKETS, RelativeRule

#: Rule → its number in ``tilebias.py``.
NONE, ALIBI, ALIBI_TIME, TABLES, TABLES_SPLIT, CELLS = range(6)
KINDS: dict[type, int] = {
    AlibiRule: ALIBI,
    AlibiTimeRule: ALIBI_TIME,
    RelativeRule: TABLES,
    CellsRule: CELLS,
}


@dataclass(frozen=True, eq=False)
class BiasInput:
    """The bias as a kernel takes it: ``kind``, the tuple of tensors, and P − 1 (else 0)."""

    kind: int
    tensors: tuple[Tensor, ...]
    last: int


def bias_input(call: Call, split: bool) -> BiasInput:
    """``split``: times as two float32 instead of one float64."""
    bias = call.bias
    if bias is None:
        return BiasInput(NONE, (call.offsets,), 0)
    kind = KINDS[type(bias.rule)]
    if kind == CELLS:
        return BiasInput(
            kind, (bias.tensors[0].detach(), first_cells(call.offsets, call.row_offsets)), 0
        )
    if kind == TABLES and split:
        kind = TABLES_SPLIT
    learned = tuple(x.detach().float().contiguous() for x in bias.tensors)
    places = _places(bias, kind)
    last = (len(learned[0]) - 1) // 2 if isinstance(bias.rule, RelativeRule) else 0
    if kind in (TABLES, TABLES_SPLIT):
        return BiasInput(kind, (*places, *learned, *edges(split, places[0].device)), last)
    return BiasInput(kind, (*places, *learned), 0)


_PLACES: BatchMemo[dict[int, tuple[Tensor, ...]]] = BatchMemo()


def _places(bias: Bias, kind: int) -> tuple[Tensor, ...]:
    """Positions and times; made by a batch's first layer, dropped with its positions."""
    position, *others = bias.place_tensors()
    known = _PLACES.get(position, tuple(others), (), dict)
    if kind not in known:
        known[kind] = _make_places(bias, kind)
    return known[kind]


def _make_places(bias: Bias, kind: int) -> tuple[Tensor, ...]:
    """Rows before keys, positions before times."""
    own = bias.row_position is None or bias.row_time is None
    positions = (bias.position if own else bias.row_position, bias.position)
    times = (bias.time if own else bias.row_time, bias.time)
    if kind == ALIBI:
        return tuple(_numbers(x, torch.float32) for x in positions)
    if kind == ALIBI_TIME:
        return tuple(part for x in times for part in split(x))
    # Copies, never the tensors themselves: a memo must not hold what it is kept by.
    whole = tuple(_numbers(x, torch.int32) for x in positions)
    if kind == TABLES:
        return whole + tuple(_numbers(x, torch.float64) for x in times)
    return whole + tuple(part for x in times for part in split(x))


def _numbers(x: Tensor | None, dtype: torch.dtype) -> Tensor:
    assert x is not None
    return x.to(dtype).contiguous()


def split(x: Tensor | None) -> tuple[Tensor, Tensor]:
    """float64 as the sum of two float32, of which the first is ``x`` rounded."""
    assert x is not None
    high = x.to(torch.float32)
    return high.contiguous(), (x - high).to(torch.float32).contiguous()


def edges(split_times: bool, device: torch.device) -> tuple[Tensor, ...]:
    """The smallest distance of each time bucket, in seconds."""
    return _edges_on(split_times, str(device))


@cache
def _edges_on(split_times: bool, device: str) -> tuple[Tensor, ...]:
    exact = bucket_edges()[:TIME_BUCKETS].to(device)
    return split(exact) if split_times else (exact,)
