"""Which cells dropout drops: a pure function of seed, row, key and head.

A random generator would draw other cells for other tiles; a hash draws the same in every backend,
and again in a backward pass that recomputes its scores.
"""

from __future__ import annotations

import torch
from torch import Tensor

GOLDEN = 0x9E3779B1  # 2^32 / φ: consecutive keys are spread over all of the 32 bits
BITS = 0xFFFFFFFF


def threshold(dropout: float) -> int:
    """A cell is kept where its hash is at least this: ⌊dropout · 2^32⌋."""
    return int(dropout * 2**32)


def row_hash(rows: Tensor, heads: int, seed: int) -> Tensor:
    """int64 [H, n] of values below 2^32, for the rows [n] of q."""
    begin = _mix(torch.tensor(seed & BITS, device=rows.device))
    head = torch.arange(heads, device=rows.device)
    return _mix((begin + rows[None] * heads + head[:, None]) & BITS)


def kept(hashes: Tensor, keys: Tensor, dropout: float) -> Tensor:
    """bool [..., n, m]: cells that stay, from `row_hash` [..., n] and tokens [..., m] of k."""
    cell = _mix((hashes[..., None] + keys[..., None, :] * GOLDEN) & BITS)
    return cell >= threshold(dropout)


def _mix(x: Tensor) -> Tensor:
    """The finaliser of MurmurHash3 (32 bits, public domain) on int64 that hold 32 bits."""
    x = x ^ (x >> 16)
    x = (x * 0x85EBCA6B) & BITS
    x = x ^ (x >> 13)
    x = (x * 0xC2B2AE35) & BITS
    return x ^ (x >> 16)
