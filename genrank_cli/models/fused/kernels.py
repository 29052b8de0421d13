# mypy: ignore-errors
"""Triton kernels of the parts of a block: layer norm with gate and dropout, and SiLU's gradient.

A program takes ROWS whole rows of D numbers, WIDE being D filled up to a power of two. Sums are in
SUM, float32 or (for float64) float64. Legend: T tokens.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _mix(x):
    """The finaliser of MurmurHash3 on uint32."""
    x ^= x >> 16
    x *= 0x85EBCA6B
    x ^= x >> 13
    x *= 0xC2B2AE35
    return x ^ (x >> 16)


@triton.jit
def _kept(seed, rows, columns, threshold):
    """bool [ROWS, WIDE]: as `genrank_cli.attention.dropout.kept` with one head."""
    begin = _mix(seed.to(tl.uint32))
    row = _mix(begin + rows.to(tl.uint32))
    column = columns.to(tl.uint32) * 0x9E3779B1
    return _mix(row[:, None] + column[None, :]) >= threshold.to(tl.uint32)


@triton.jit
def _load(x, rows, columns, step, ok, SUM: tl.constexpr):
    cells = rows.to(tl.int64)[:, None] * step + columns[None, :]
    return tl.load(x + cells, mask=ok, other=0).to(SUM)


@triton.jit
def _store(x, rows, columns, step, ok, value):
    cells = rows.to(tl.int64)[:, None] * step + columns[None, :]
    tl.store(x + cells, value.to(x.dtype.element_ty), mask=ok)


@triton.jit
def norm_forward(
    x, gate, gain, shift, out, mean, rstd, tokens, x_step, gate_step, eps, seed, threshold, factor,
    D: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr,
    GATED: tl.constexpr, DROPOUT: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """out [T, D] = dropout(LN(x) ⊙ gate), with the statistics [T] that the gradient needs."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDE)
    inside, known = columns < D, rows < tokens
    ok = known[:, None] & inside[None, :]
    value = _load(x, rows, columns, x_step, ok, SUM)
    middle = tl.sum(value, 1) / D
    centred = tl.where(ok, value - middle[:, None], 0.0)
    scale = 1.0 / tl.sqrt(tl.sum(centred * centred, 1) / D + eps)
    gains = tl.load(gain + columns, mask=inside, other=0).to(SUM)
    shifts = tl.load(shift + columns, mask=inside, other=0).to(SUM)
    y = centred * scale[:, None] * gains[None, :] + shifts[None, :]
    if GATED:
        y *= _load(gate, rows, columns, gate_step, ok, SUM)
    if DROPOUT:
        y = tl.where(_kept(seed, rows, columns, threshold), y * factor, 0.0)
    _store(out, rows, columns, D, ok, y)
    tl.store(mean + rows, middle, mask=known)
    tl.store(rstd + rows, scale, mask=known)


@triton.jit
def norm_backward(
    grad, x, gate, gain, shift, mean, rstd, dx, dgate, again, dgain, dshift,
    tokens, x_step, gate_step, seed, threshold, factor,
    D: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr,
    GATED: tl.constexpr, DROPOUT: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """The gradients of `norm_forward`, and its output ``again`` for the product that follows it.

    Each program walks its own rows and writes one row of ``dgain`` and ``dshift`` [programs, D],
    whose sums are the gradients: nothing is added by several programs.
    """
    columns = tl.arange(0, WIDE)
    inside = columns < D
    gains = tl.load(gain + columns, mask=inside, other=0).to(SUM)
    shifts = tl.load(shift + columns, mask=inside, other=0).to(SUM)
    gain_sum, shift_sum = tl.zeros([WIDE], SUM), tl.zeros([WIDE], SUM)
    for first in range(tl.program_id(0) * ROWS, tokens, tl.num_programs(0) * ROWS):
        rows = first + tl.arange(0, ROWS)
        known = rows < tokens
        ok = known[:, None] & inside[None, :]
        middle = tl.load(mean + rows, mask=known, other=0)[:, None]
        scale = tl.load(rstd + rows, mask=known, other=0)[:, None]
        # Beyond the rows and columns this is not 0, but what comes from above is.
        normal = (_load(x, rows, columns, x_step, ok, SUM) - middle) * scale
        y = normal * gains[None, :] + shifts[None, :]
        above = _load(grad, rows, columns, D, ok, SUM)
        if DROPOUT:
            kept = _kept(seed, rows, columns, threshold)
            above = tl.where(kept, above * factor, 0.0)
        if GATED:
            opened = _load(gate, rows, columns, gate_step, ok, SUM)
            _store(dgate, rows, columns, D, ok, above * y)
            y *= opened
            above *= opened
        if DROPOUT:
            y = tl.where(kept, y * factor, 0.0)
        _store(again, rows, columns, D, ok, y)
        gain_sum += tl.sum(above * normal, 0)
        shift_sum += tl.sum(above, 0)
        slope = above * gains[None, :]
        level = tl.sum(slope, 1)[:, None] / D
        along = tl.sum(slope * normal, 1)[:, None] / D
        _store(dx, rows, columns, D, ok, scale * (slope - level - normal * along))
    row = tl.program_id(0).to(tl.int64) * D
    tl.store(dgain + row + columns, gain_sum, mask=inside)
    tl.store(dshift + row + columns, shift_sum, mask=inside)


@triton.jit
def _silu_part(
    grad, before, out, rows, columns, step, ok, FIRST: tl.constexpr, D: tl.constexpr,
    SUM: tl.constexpr,
):  # fmt: skip
    above = _load(grad, rows, columns, step, ok, SUM)
    x = _load(before + FIRST, rows, columns, 4 * D, ok, SUM)
    share = 1.0 / (1.0 + tl.exp(-x))
    _store(out + FIRST, rows, columns, 4 * D, ok, above * share * (1.0 + x * (1.0 - share)))


@triton.jit
def silu_backward(
    du, dv, dq, dk, before, out, tokens, u_step, v_step, q_step, k_step,
    D: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr, SUM: tl.constexpr,
):  # fmt: skip
    """out [T, 4D]: the gradient before SiLU, from those of its four quarters [T, D]."""
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDE)
    ok = (rows < tokens)[:, None] & (columns < D)[None, :]
    _silu_part(du, before, out, rows, columns, u_step, ok, 0, D, SUM)
    _silu_part(dv, before, out, rows, columns, v_step, ok, D, D, SUM)
    _silu_part(dq, before, out, rows, columns, q_step, ok, 2 * D, D, SUM)
    _silu_part(dk, before, out, rows, columns, k_step, ok, 3 * D, D, SUM)
