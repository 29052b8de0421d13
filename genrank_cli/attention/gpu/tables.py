# mypy: ignore-errors

"""The gradient of a bias: of the tables inside the tile, or of the cells of a materialized one.

A program takes blocks of rows, one after the other, and sums each tile over all heads before it
reduces it. Legend: M rows of a block, N keys of a block, D width of q and k, E of v.
"""

from __future__ import annotations

import triton
import triton.language as tl

from genrank_cli.attention.gpu.gradient import finite_sum, weights_and_slope
from genrank_cli.attention.gpu.reduce import add_positions, add_times
from genrank_cli.attention.gpu.tile import (
    kept,
    load_block,
    load_parts,
    products,
    row_bounds,
    row_hash,
    visible,
    zeros,
)
from genrank_cli.attention.gpu.tilebias import (
    CELLS,
    bias_tile,
    key_places,
    row_places,
    score,
    tile_buckets,
)

TIMES = tl.constexpr(256)  # 129 time buckets, as a power of two


@triton.jit
def _head_sum(
    q, k, v, log_sum, grad, mean, strides, tile, shown, rows, row_ok, tokens, key_ok,
    scale, weight, seed, threshold, keep, heads,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """The scores' gradient of a tile, float32 [M, N]."""
    total = zeros(M, N)
    for number in range(heads):
        head = tl.full((), 0, tl.int64) + number
        qs = load_parts(q + head * strides[1], rows, strides[0], row_ok, FIRST_D, WIDE_D, D, True)
        ks = load_parts(k + head * strides[3], tokens, strides[2], key_ok, FIRST_D, WIDE_D, D, True)
        vs = load_parts(v + head * strides[5], tokens, strides[4], key_ok, FIRST_E, WIDE_E, E, True)
        dos = load_parts(grad + head * E, rows, heads * E, row_ok, FIRST_E, WIDE_E, E, True)
        x = score(products(qs, ks, M, N, WIDE_D), scale, tile, 1.0, KIND)
        sums = 0.0
        if SOFTMAX:
            sums = tl.expand_dims(finite_sum(log_sum, rows, head, heads, row_ok), 1)
        _, slope = weights_and_slope(x, shown, sums, SOFTMAX, True)
        ds = products(dos, vs, M, N, WIDE_E)
        if DROPOUT:
            hashes = tl.expand_dims(row_hash(seed, rows, head, heads), 1)
            ds = tl.where(kept(hashes, tl.expand_dims(tokens, 0), threshold), ds * keep, 0.0)
        if SOFTMAX:
            average = tl.load(mean + rows.to(tl.int64) * heads + head, mask=row_ok, other=0.0)
            ds = ds - tl.expand_dims(average, 1)
        total += ds * slope
    return total * weight


@triton.jit(do_not_specialize=("seed", "threshold"))
def tables_kernel(
    q, k, v, log_sum, grad, mean, by_position, by_time, copy_size, strides, blocks, count, runs,
    mask, total_rows, bias, last, scale, weight, seed, threshold, keep, heads,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    ANY_ORDER: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Program p adds to row p of by_position [programs, copy_size] and by_time [programs, TIMES].

    For cells: writes by_position [C], of which every cell has one program.
    """
    program = tl.program_id(0)
    table = by_position + program.to(tl.int64) * copy_size
    times = tl.zeros((TIMES,), tl.float32)
    low_edge, high_edge = 0.0, 0.0
    for item in range(program, count, tl.num_programs(0)):
        # Blocks of many keys and of few in turn, the many first.
        first, stop, base, _, key, keys, sequence, full, _, end = load_block(
            blocks, count - 1 - item
        )
        rows = first + tl.arange(0, M)
        row_ok = rows < stop
        bounds = row_bounds(mask, total_rows, rows, row_ok, 1)
        row = row_places(bias, rows, row_ok, base, sequence, keys, KIND, 1)
        for run in range(full, end):
            for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), N):
                places = at + tl.arange(0, N)
                key_ok = places < keys
                tokens = key + places
                place = key_places(bias, tokens, key_ok, key, KIND, 0)
                shown = visible(bounds, tl.expand_dims(places, 0), CONTEXT)
                tile = bias_tile(bias, row, place, last, KIND)
                ds = _head_sum(
                    q, k, v, log_sum, grad, mean, strides, tile, shown, rows, row_ok, tokens,
                    key_ok, scale, weight, seed, threshold, keep, heads, KIND, SOFTMAX, DROPOUT,
                    D, E, FIRST_D, WIDE_D, FIRST_E, WIDE_E, M, N,
                )  # fmt: skip
                if KIND == CELLS:
                    at_cells = by_position + (row[0] + place[0])
                    tl.store(at_cells, ds, mask=row[1] & place[1])
                else:
                    times = add_times(times, ds, tile_buckets(bias, row, place, KIND), TIMES)
                    row_positions = tl.load(bias[0] + rows.to(tl.int64), mask=row_ok, other=0)
                    key_positions = tl.load(bias[1] + tokens.to(tl.int64), mask=key_ok, other=0)
                    low_edge, high_edge = add_positions(
                        ds, row_positions, key_positions, row_ok, key_ok, table, low_edge,
                        high_edge, last, ANY_ORDER, M, N,
                    )  # fmt: skip
    if KIND != CELLS:
        tl.store(by_time + program.to(tl.int64) * TIMES + tl.arange(0, TIMES), times)
        tl.atomic_add(table, low_edge, sem="relaxed")
        tl.atomic_add(table + 2 * last, high_edge, sem="relaxed")
