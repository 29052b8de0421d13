# mypy: ignore-errors
# ruff: noqa: RUF005 (Triton knows no starred tuples)
"""What all kernels do with a tile: load, compare with the mask, drop, activate.

A kernel holds G heads at once, so that mask and bias of a tile are worked out once for all of them.
Triton's blocks have sides that are powers of two, and a head's width need not: it is cut into parts
(96 = 64 + 32), of which ``FIRST`` holds the beginnings and ``WIDE`` the widths. Legend: M rows and
N keys of a tile.
"""

from __future__ import annotations

import os

import triton
import triton.language as tl

COLUMNS = tl.constexpr(10)  # of a block in `lists.Side.blocks`
LOG2E = tl.constexpr(1.4426950408889634)
LN2 = tl.constexpr(0.6931471805599453)

#: The interpreter multiplies the bits of a bfloat16 as if they were integers; float32 holds them.
WIDEN = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def load_block(blocks, item):
    """A row of `lists.Side.blocks`."""
    at = blocks + item * COLUMNS
    return (
        tl.load(at), tl.load(at + 1), tl.load(at + 2), tl.load(at + 3), tl.load(at + 4),
        tl.load(at + 5), tl.load(at + 6), tl.load(at + 7), tl.load(at + 8), tl.load(at + 9),
    )  # fmt: skip


@triton.jit
def zeros(M: tl.constexpr, W: tl.constexpr):
    return tl.zeros((M, W), tl.float32)


@triton.jit
def zero_parts(M: tl.constexpr, WIDE: tl.constexpr):
    """One [M, width] for each part."""
    parts = ()
    for c in tl.static_range(len(WIDE)):
        parts = parts + (zeros(M, WIDE[c]),)
    return parts


@triton.jit
def load_part(
    base, index, stride, ok,
    FIRST: tl.constexpr, WIDE: tl.constexpr, WIDTH: tl.constexpr, CHECK: tl.constexpr,
):  # fmt: skip
    columns = FIRST + tl.arange(0, WIDE)
    at = base + index.to(tl.int64)[:, None] * stride + columns[None, :]
    if FIRST + WIDE > WIDTH:
        part = tl.load(at, mask=ok[:, None] & (columns < WIDTH)[None, :], other=0.0)
    elif CHECK:
        part = tl.load(at, mask=ok[:, None], other=0.0)
    else:
        part = tl.load(at)
    return part


@triton.jit
def load_parts(
    base, index, stride, ok,
    FIRST: tl.constexpr, WIDE: tl.constexpr, WIDTH: tl.constexpr, CHECK: tl.constexpr,
):  # fmt: skip
    """Tokens ``index`` of one head, [n, width] for each part; 0 where not ``ok``."""
    parts = ()
    for c in tl.static_range(len(WIDE)):
        parts = parts + (load_part(base, index, stride, ok, FIRST[c], WIDE[c], WIDTH, CHECK),)
    return parts


@triton.jit
def store_part(
    base, index, stride, ok, part, FIRST: tl.constexpr, WIDE: tl.constexpr, WIDTH: tl.constexpr
):
    columns = FIRST + tl.arange(0, WIDE)
    at = base + index.to(tl.int64)[:, None] * stride + columns[None, :]
    shown = ok[:, None] & (columns < WIDTH)[None, :]
    tl.store(at, part.to(base.dtype.element_ty), mask=shown)


@triton.jit
def store_parts(
    base, index, stride, ok, parts, factor,
    FIRST: tl.constexpr, WIDE: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """``parts`` · ``factor`` to tokens ``index`` of one head."""
    for c in tl.static_range(len(WIDE)):
        store_part(base, index, stride, ok, parts[c] * factor, FIRST[c], WIDE[c], WIDTH)


@triton.jit
def dot(a, b, total):
    """``total`` + a b, summed in float32; float32 is not rounded to fewer bits."""
    if WIDEN:
        a = a.to(tl.float32)
        b = b.to(tl.float32)
    return tl.dot(a, b, total, input_precision="ieee")


@triton.jit
def products(a, b, M: tl.constexpr, N: tl.constexpr, WIDE: tl.constexpr):
    """a bᵀ, float32 [M, N], of parts [M, width] and [N, width]."""
    scores = zeros(M, N)
    for c in tl.static_range(len(WIDE)):
        scores = dot(a[c], tl.trans(b[c]), scores)
    return scores


@triton.jit
def add_products(total, weights, parts, WIDE: tl.constexpr):
    """``total`` + weights · parts, for each part; weights are rounded to the dtype of the parts."""
    more = ()
    for c in tl.static_range(len(WIDE)):
        more = more + (dot(weights.to(parts[c].dtype), parts[c], total[c]),)
    return more


@triton.jit
def row_bounds(mask, total, rows, ok, AXIS: tl.constexpr):
    """The mask's five numbers of each row, laid along the tile; int32 ``mask`` is [5, total]."""
    bounds = ()
    for c in tl.static_range(5):
        x = tl.load(mask + c * total + rows.to(tl.int64), mask=ok, other=0)
        bounds = bounds + (tl.expand_dims(x, AXIS),)
    return bounds


@triton.jit
def visible(bounds, keys, CONTEXT: tl.constexpr):
    """bool of a tile; ``keys`` count from the start of the sequence, and lie along the tile."""
    seen = ((keys >= bounds[1]) & (keys < bounds[2])) | ((keys >= bounds[3]) & (keys < bounds[4]))
    if CONTEXT:
        seen = seen | (keys < bounds[0])
    return seen


@triton.jit
def mix(x):
    """The finaliser of MurmurHash3 on uint32; `genrank_cli.attention.dropout` is its twin."""
    x = x ^ (x >> 16)
    x = x * 0x85EBCA6B
    x = x ^ (x >> 13)
    x = x * 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def row_hash(seed, rows, head, heads):
    """uint32 of each row for one head."""
    return mix(mix(seed.to(tl.uint32)) + (rows * heads + head).to(tl.uint32))


@triton.jit
def kept(hashes, keys, threshold):
    """bool of a tile: cells that stay; ``keys`` are tokens of k, and lie along the tile."""
    return mix(hashes + keys.to(tl.uint32) * 0x9E3779B1) >= threshold.to(tl.uint32)


@triton.jit
def sigmoid(x):
    return 1.0 / (1.0 + tl.exp2(x * -LOG2E))


@triton.jit
def silu_slope(x, share):
    """The derivative of SiLU at x, of which ``share`` is the sigmoid."""
    return share * (1.0 + x * (1.0 - share))
