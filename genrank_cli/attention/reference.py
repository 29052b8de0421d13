"""The plain backend: dense, one sequence after the other, in any dtype; autograd does the rest.

Every other backend is judged by it (in float64). It also runs on the device ``meta`` (with the
offsets and the mask on a real one), where PyTorch's counter finds its FLOPs. Legend: R rows and L
keys of a sequence, H heads, D head width.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import Call
from genrank_cli.attention.cells import CellsRule
from genrank_cli.attention.dropout import kept, row_hash


class _Range(NamedTuple):
    """One sequence: its number, its rows of q, its tokens of k, its cells."""

    sequence: int
    rows: slice
    keys: slice
    cells: slice


def attend_reference(q: Tensor, k: Tensor, v: Tensor, call: Call) -> Tensor:
    """See `genrank_cli.attention.attend`. Memory O(H·L²)."""
    parts = [
        _sequence(q[here.rows], k[here.keys], v[here.keys], call, here) for here in _ranges(call)
    ]
    return torch.cat(parts) if parts else v.new_zeros(0, *v.shape[1:])


def _ranges(call: Call) -> list[_Range]:
    bounds = zip(pairwise(call.row_offsets.tolist()), pairwise(call.offsets.tolist()), strict=True)
    ranges, cells = [], 0
    for sequence, (rows, keys) in enumerate(bounds):
        size = (rows[1] - rows[0]) * (keys[1] - keys[0])
        ranges.append(_Range(sequence, slice(*rows), slice(*keys), slice(cells, cells + size)))
        cells += size
    return ranges


def _sequence(q: Tensor, k: Tensor, v: Tensor, call: Call, here: _Range) -> Tensor:
    """One sequence: q [R, H, D], k and v [L, H, D] → [R, H, D]."""
    visible = call.mask.dense(call.offsets, here.sequence, call.row_offsets).to(q.device)  # [R, L]
    scores = torch.einsum("ihd,jhd->hij", q, k) * call.scale  # [H, R, L]
    if call.bias is not None:
        scores = scores + _bias(call.bias, here).to(scores.device, scores.dtype)
    if call.activation == "silu":
        weights = F.silu(scores) / call.norm * visible
    else:
        hidden = scores.masked_fill(~visible, -torch.inf)
        # A row that sees nothing would be 0 / 0.
        hidden = hidden.masked_fill(~visible.any(dim=1, keepdim=True), 0)
        weights = torch.softmax(hidden, dim=-1) * visible
    if call.dropout:
        weights = weights * _dropout(call, here, q.shape[1]).to(q.device) / (1 - call.dropout)
    return torch.einsum("hij,jhd->ihd", weights, v)


def _bias(bias: Bias, here: _Range) -> Tensor:
    """[1 or H, R, L] of a sequence."""
    size = here.rows.stop - here.rows.start, here.keys.stop - here.keys.start
    if isinstance(bias.rule, CellsRule):
        return bias.tensors[0][here.cells].view(1, *size)
    device = bias.position.device
    rows = bias.row_places(torch.arange(here.rows.start, here.rows.stop, device=device)[None])
    keys = bias.places(torch.arange(here.keys.start, here.keys.stop, device=device)[None])
    codes = bias.rule.codes(rows, keys, torch.float64)
    return bias.rule.values(codes, bias.tensors)[0]


def _dropout(call: Call, here: _Range, heads: int) -> Tensor:
    """bool [H, R, L]: the cells that stay."""
    device = call.mask.start.device
    rows = torch.arange(here.rows.start, here.rows.stop, device=device)
    keys = torch.arange(here.keys.start, here.keys.stop, device=device)
    return kept(row_hash(rows, heads, call.seed), keys, call.dropout)
