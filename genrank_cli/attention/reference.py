"""The plain backend: dense, one sequence after the other, in any dtype; autograd does the rest.

Every other backend is judged by it (in float64). Legend: L tokens of a sequence, H heads, D head
width.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import Call


def attend_reference(q: Tensor, k: Tensor, v: Tensor, call: Call) -> Tensor:
    """See `genrank_cli.attention.attend`. Memory O(H·L²)."""
    bounds = call.offsets.tolist()
    parts = [
        _sequence(q[first:last], k[first:last], v[first:last], call, sequence, first)
        for sequence, (first, last) in enumerate(pairwise(bounds))
    ]
    return torch.cat(parts) if parts else torch.zeros_like(v)


def _sequence(q: Tensor, k: Tensor, v: Tensor, call: Call, sequence: int, first: int) -> Tensor:
    """One sequence: q, k, v [L, H, D] → [L, H, D]."""
    visible = call.mask.dense(call.offsets, sequence)  # [L, L]
    scores = torch.einsum("ihd,jhd->hij", q, k) * call.scale  # [H, L, L]
    if call.bias is not None:
        scores = scores + _bias(call.bias, first, len(q)).to(scores.dtype)
    if call.activation == "silu":
        weights = F.silu(scores) / call.norm * visible
    else:
        hidden = scores.masked_fill(~visible, -torch.inf)
        # A row that sees nothing would be 0 / 0.
        hidden = hidden.masked_fill(~visible.any(dim=1, keepdim=True), 0)
        weights = torch.softmax(hidden, dim=-1) * visible
    return torch.einsum("hij,jhd->ihd", weights, v)


def _bias(bias: Bias, first: int, length: int) -> Tensor:
    """[1 or H, L, L] of the sequence that begins at token ``first``."""
    places = bias.places(torch.arange(first, first + length, device=bias.position.device)[None])
    codes = bias.rule.codes(places, places, torch.float64)
    return bias.rule.values(codes, bias.tensors)[0]
