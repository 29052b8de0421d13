# mypy: ignore-errors
# ruff: noqa: RUF005 (Triton knows no starred tuples)
"""The gradient of q: a program takes one block of rows and G heads, as the forward kernel does.

Nothing is added by several programs, so that two runs are equal bit for bit. Legend: M rows of a
block, N keys of a block, D width of q and k, E of v.
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
    qs, dos, accs, sums, means, k, v, strides, row, bounds, hashes, factors, key, keys, at, head,
    bias, last, scale, threshold, keep,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    G: tl.constexpr, M: tl.constexpr, N: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    places = at + tl.arange(0, N)
    ok = places < keys
    tokens = key + places
    along = tl.expand_dims(places, 0)
    shown = visible(bounds, along, CONTEXT) if MASKED else ok
    tile = bias_tile(bias, row, key_places(bias, tokens, ok, key, KIND, 0), last, KIND)
    new = ()
    for g in tl.static_range(G):
        ks = load_parts(k + (head + g) * strides[3], tokens, strides[2], ok,
                        FIRST_D, WIDE_D, D, MASKED)  # fmt: skip
        vs = load_parts(v + (head + g) * strides[5], tokens, strides[4], ok,
                        FIRST_E, WIDE_E, E, MASKED)  # fmt: skip
        x = score(products(qs[g], ks, M, N, WIDE_D), scale, tile, factors[g], KIND)
        _, slope = weights_and_slope(x, shown, sums[g], SOFTMAX, MASKED)
        ds = products(dos[g], vs, M, N, WIDE_E)
        if DROPOUT:
            stay = kept(hashes[g], tl.expand_dims(tokens, 0), threshold)
            ds = tl.where(stay, ds * keep, 0.0)
        if SOFTMAX:
            ds = ds - means[g]
        new = new + (add_products(accs[g], ds * slope, ks, WIDE_D),)
    return new


@triton.jit(do_not_specialize=("seed", "threshold"))
def rows_kernel(
    q, k, v, out, log_sum, grad, dq, mean, strides, blocks, runs, mask, total_rows, bias, last,
    scale, weight, seed, threshold, keep, heads,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    G: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """dq [R, H, D]; for softmax also mean [R, H], the weighted mean of each row's gradients.

    ``out``, ``grad`` and what is written are dense.
    """
    item = tl.num_programs(0) - 1 - tl.program_id(0)
    head = tl.program_id(1).to(tl.int64) * G
    first, stop, base, _, key, keys, sequence, full, partial, end = load_block(blocks, item)
    rows = first + tl.arange(0, M)
    ok = rows < stop
    bounds = row_bounds(mask, total_rows, rows, ok, 1)
    row = row_places(bias, rows, ok, base, sequence, keys, KIND, 1)
    qs, dos, accs, sums, means, hashes, factors = (), (), (), (), (), (), ()
    for g in tl.static_range(G):
        qs = qs + (load_parts(q + (head + g) * strides[1], rows, strides[0], ok,
                              FIRST_D, WIDE_D, D, True),)  # fmt: skip
        do = load_parts(grad + (head + g) * E, rows, heads * E, ok, FIRST_E, WIDE_E, E, True)
        dos = dos + (do,)
        accs = accs + (zero_parts(M, WIDE_D),)
        hashes = hashes + (tl.expand_dims(row_hash(seed, rows, head + g, heads), 1),)
        factors = factors + (head_factor(bias, head + g, KIND),)
        if SOFTMAX:
            y = load_parts(out + (head + g) * E, rows, heads * E, ok, FIRST_E, WIDE_E, E, True)
            average = tl.zeros((M,), tl.float32)
            for c in tl.static_range(len(WIDE_E)):
                average += tl.sum(y[c].to(tl.float32) * do[c].to(tl.float32), 1)
            tl.store(mean + rows.to(tl.int64) * heads + (head + g), average, mask=ok)
            means = means + (tl.expand_dims(average, 1),)
            sums = sums + (tl.expand_dims(finite_sum(log_sum, rows, head + g, heads, ok), 1),)
        else:
            means = means + (0.0,)
            sums = sums + (0.0,)
    for run in range(full, partial):
        for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), N):
            accs = _step(
                qs, dos, accs, sums, means, k, v, strides, row, bounds, hashes, factors, key, keys,
                at, head, bias, last, scale, threshold, keep, KIND, SOFTMAX, CONTEXT, DROPOUT, D, E,
                FIRST_D, WIDE_D, FIRST_E, WIDE_E, G, M, N, False,
            )  # fmt: skip
    for run in range(partial, end):
        for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), N):
            accs = _step(
                qs, dos, accs, sums, means, k, v, strides, row, bounds, hashes, factors, key, keys,
                at, head, bias, last, scale, threshold, keep, KIND, SOFTMAX, CONTEXT, DROPOUT, D, E,
                FIRST_D, WIDE_D, FIRST_E, WIDE_E, G, M, N, True,
            )  # fmt: skip
    for g in tl.static_range(G):
        store_parts(dq + (head + g) * D, rows, heads * D, ok, accs[g], scale * weight,
                    FIRST_D, WIDE_D, D)  # fmt: skip
