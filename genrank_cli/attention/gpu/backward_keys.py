# mypy: ignore-errors
# ruff: noqa: RUF005 (Triton knows no starred tuples)
"""The gradients of k and v: a program takes one block of keys and G heads over the rows they show.

Tiles lie on their side here, [keys, rows]. Nothing is added by several programs. Legend: M rows of
a block, N keys of a block, D width of q and k, E of v.
"""

from __future__ import annotations

import triton
import triton.language as tl

from genrank_cli.attention.gpu.gradient import finite_sum, weights_and_slope
from genrank_cli.attention.gpu.tile import (
    add_products,
    kept,
    load_block,
    load_parts,
    products,
    row_bounds,
    row_hash,
    store_parts,
    visible,
    zero_parts,
)
from genrank_cli.attention.gpu.tilebias import (
    bias_tile,
    head_factor,
    key_places,
    row_places,
    score,
)


@triton.jit
def _step(
    ks, vs, dks, dvs, q, grad, log_sum, mean, strides, mask, total_rows, place, factors, places,
    tokens, first_row, all_rows, at, sequence, keys, head, heads,
    bias, last, scale, seed, threshold, keep,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    G: tl.constexpr, M: tl.constexpr, N: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    inside = at + tl.arange(0, M)
    ok = inside < all_rows
    rows = first_row + inside
    shown = ok
    if MASKED:
        bounds = row_bounds(mask, total_rows, rows, ok, 0)
        shown = visible(bounds, tl.expand_dims(places, 1), CONTEXT)
    row = row_places(bias, rows, ok, first_row, sequence, keys, KIND, 0)
    tile = bias_tile(bias, row, place, last, KIND)
    new_dks, new_dvs = (), ()
    for g in tl.static_range(G):
        qs = load_parts(q + (head + g) * strides[1], rows, strides[0], ok,
                        FIRST_D, WIDE_D, D, MASKED)  # fmt: skip
        dos = load_parts(grad + (head + g) * E, rows, heads * E, ok, FIRST_E, WIDE_E, E, MASKED)
        x = score(products(ks[g], qs, N, M, WIDE_D), scale, tile, factors[g], KIND)
        sums = 0.0
        if SOFTMAX:
            sums = tl.expand_dims(finite_sum(log_sum, rows, head + g, heads, ok), 0)
        weights, slope = weights_and_slope(x, shown, sums, SOFTMAX, MASKED)
        ds = products(vs[g], dos, N, M, WIDE_E)
        if DROPOUT:
            hashes = tl.expand_dims(row_hash(seed, rows, head + g, heads), 0)
            stay = kept(hashes, tl.expand_dims(tokens, 1), threshold)
            ds = tl.where(stay, ds * keep, 0.0)
            weights = tl.where(stay, weights * keep, 0.0)
        if SOFTMAX:
            average = tl.load(mean + rows.to(tl.int64) * heads + (head + g), mask=ok, other=0.0)
            ds = ds - tl.expand_dims(average, 0)
        new_dvs = new_dvs + (add_products(dvs[g], weights, dos, WIDE_E),)
        new_dks = new_dks + (add_products(dks[g], ds * slope, qs, WIDE_D),)
    return new_dks, new_dvs


@triton.jit(do_not_specialize=("seed", "threshold"))
def keys_kernel(
    q, k, v, log_sum, grad, mean, dk, dv, strides, blocks, runs, mask, total_rows, bias, last,
    scale, weight, seed, threshold, keep, heads,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    G: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """dk [T, H, D] and dv [T, H, E]; early keys are seen the most and begin first."""
    item = tl.program_id(0)
    head = tl.program_id(1).to(tl.int64) * G
    first, stop, base, keys, row, rows, sequence, full, partial, end = load_block(blocks, item)
    tokens = first + tl.arange(0, N)
    ok = tokens < stop
    places = tokens - base
    place = key_places(bias, tokens, ok, base, KIND, 1)
    ks, vs, dks, dvs, factors = (), (), (), (), ()
    for g in tl.static_range(G):
        ks = ks + (load_parts(k + (head + g) * strides[3], tokens, strides[2], ok,
                              FIRST_D, WIDE_D, D, True),)  # fmt: skip
        vs = vs + (load_parts(v + (head + g) * strides[5], tokens, strides[4], ok,
                              FIRST_E, WIDE_E, E, True),)  # fmt: skip
        dks = dks + (zero_parts(N, WIDE_D),)
        dvs = dvs + (zero_parts(N, WIDE_E),)
        factors = factors + (head_factor(bias, head + g, KIND),)
    for run in range(full, partial):
        for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), M):
            dks, dvs = _step(
                ks, vs, dks, dvs, q, grad, log_sum, mean, strides, mask, total_rows, place, factors,
                places, tokens, row, rows, at, sequence, keys, head, heads, bias, last, scale, seed,
                threshold, keep, KIND, SOFTMAX, CONTEXT, DROPOUT, D, E, FIRST_D, WIDE_D, FIRST_E,
                WIDE_E, G, M, N, False,
            )  # fmt: skip
    for run in range(partial, end):
        for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), M):
            dks, dvs = _step(
                ks, vs, dks, dvs, q, grad, log_sum, mean, strides, mask, total_rows, place, factors,
                places, tokens, row, rows, at, sequence, keys, head, heads, bias, last, scale, seed,
                threshold, keep, KIND, SOFTMAX, CONTEXT, DROPOUT, D, E, FIRST_D, WIDE_D, FIRST_E,
                WIDE_E, G, M, N, True,
            )  # fmt: skip
    for g in tl.static_range(G):
        store_parts(dk + (head + g) * D, tokens, heads * D, ok, dks[g], scale * weight,
                    FIRST_D, WIDE_D, D)  # fmt: skip
        store_parts(dv + (head + g) * E, tokens, heads * E, ok, dvs[g], weight,
                    FIRST_E, WIDE_E, E)  # fmt: skip
