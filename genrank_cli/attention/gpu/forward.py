# mypy: ignore-errors
# ruff: noqa: RUF005 (Triton knows no starred tuples)
"""The forward kernel: a program takes one block of rows and G heads over the keys that they see.

Legend: M rows of a block, N keys of a block, D width of q and k, E of v.
"""

from __future__ import annotations

import triton
import triton.language as tl

from genrank_cli.attention.gpu.tile import (
    LOG2E,
    add_products,
    kept,
    load_block,
    load_parts,
    products,
    row_bounds,
    row_hash,
    sigmoid,
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
def _weigh(x, shown, top, total, M: tl.constexpr, SOFTMAX: tl.constexpr, MASKED: tl.constexpr):
    """(weights, factor of what was summed before, new top, new total) of one tile."""
    if SOFTMAX:
        if MASKED:
            x = tl.where(shown, x, float("-inf"))
        more = tl.maximum(top, tl.max(x, 1))
        finite = tl.where(more == float("-inf"), 0.0, more)  # a row that saw nothing so far
        weights = tl.exp2((x - finite[:, None]) * LOG2E)
        before = tl.exp2((top - finite) * LOG2E)
        total = total * before + tl.sum(weights, 1)
        top = more
    else:
        weights = x * sigmoid(x)
        if MASKED:
            weights = tl.where(shown, weights, 0.0)
        before = top
    return weights, before, top, total


@triton.jit
def _step(
    qs, accs, tops, totals, k, v, strides, row, bounds, hashes, factors, key, keys, at, head,
    bias, last, scale, threshold, keep,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    G: tl.constexpr, M: tl.constexpr, N: tl.constexpr, MASKED: tl.constexpr,
):  # fmt: skip
    """Add the block of keys that begins at key ``at`` of the sequence."""
    places = at + tl.arange(0, N)
    ok = places < keys
    tokens = key + places
    along = tl.expand_dims(places, 0)
    shown = visible(bounds, along, CONTEXT) if MASKED else ok
    tile = bias_tile(bias, row, key_places(bias, tokens, ok, key, KIND, 0), last, KIND)
    new_accs, new_tops, new_totals = (), (), ()
    for g in tl.static_range(G):
        ks = load_parts(k + (head + g) * strides[3], tokens, strides[2], ok,
                        FIRST_D, WIDE_D, D, MASKED)  # fmt: skip
        x = score(products(qs[g], ks, M, N, WIDE_D), scale, tile, factors[g], KIND)
        weights, before, top, total = _weigh(x, shown, tops[g], totals[g], M, SOFTMAX, MASKED)
        if DROPOUT:
            stay = kept(hashes[g], tl.expand_dims(tokens, 0), threshold)
            weights = tl.where(stay, weights * keep, 0.0)
        acc = accs[g]
        if SOFTMAX:
            smaller = ()
            for c in tl.static_range(len(WIDE_E)):
                smaller = smaller + (acc[c] * before[:, None],)
            acc = smaller
        vs = load_parts(v + (head + g) * strides[5], tokens, strides[4], ok,
                        FIRST_E, WIDE_E, E, MASKED)  # fmt: skip
        new_accs = new_accs + (add_products(acc, weights, vs, WIDE_E),)
        new_tops = new_tops + (top,)
        new_totals = new_totals + (total,)
    return new_accs, new_tops, new_totals


@triton.jit(do_not_specialize=("seed", "threshold"))
def forward_kernel(
    q, k, v, out, log_sum, strides, blocks, runs, mask, total_rows, bias, last,
    scale, weight, seed, threshold, keep, heads,
    KIND: tl.constexpr, SOFTMAX: tl.constexpr, CONTEXT: tl.constexpr, DROPOUT: tl.constexpr,
    D: tl.constexpr, E: tl.constexpr,
    FIRST_D: tl.constexpr, WIDE_D: tl.constexpr, FIRST_E: tl.constexpr, WIDE_E: tl.constexpr,
    G: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """out [R, H, E] and, for softmax, log_sum [R, H]; the rows of a block stand together.

    Late rows see the most, so they begin first.
    """
    item = tl.num_programs(0) - 1 - tl.program_id(0)
    head = tl.program_id(1).to(tl.int64) * G
    first, stop, base, _, key, keys, sequence, full, partial, end = load_block(blocks, item)
    rows = first + tl.arange(0, M)
    ok = rows < stop
    bounds = row_bounds(mask, total_rows, rows, ok, 1)
    row = row_places(bias, rows, ok, base, sequence, keys, KIND, 1)
    qs, accs, tops, totals, hashes, factors = (), (), (), (), (), ()
    for g in tl.static_range(G):
        qs = qs + (load_parts(q + (head + g) * strides[1], rows, strides[0], ok,
                              FIRST_D, WIDE_D, D, True),)  # fmt: skip
        accs = accs + (zero_parts(M, WIDE_E),)
        tops = tops + (tl.full((M,), float("-inf"), tl.float32),)
        totals = totals + (tl.zeros((M,), tl.float32),)
        hashes = hashes + (tl.expand_dims(row_hash(seed, rows, head + g, heads), 1),)
        factors = factors + (head_factor(bias, head + g, KIND),)
    for run in range(full, partial):
        for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), N):
            accs, tops, totals = _step(
                qs, accs, tops, totals, k, v, strides, row, bounds, hashes, factors, key, keys, at,
                head, bias, last, scale, threshold, keep, KIND, SOFTMAX, CONTEXT, DROPOUT, D, E,
                FIRST_D, WIDE_D, FIRST_E, WIDE_E, G, M, N, False,
            )  # fmt: skip
    for run in range(partial, end):
        for at in range(tl.load(runs + 2 * run), tl.load(runs + 2 * run + 1), N):
            accs, tops, totals = _step(
                qs, accs, tops, totals, k, v, strides, row, bounds, hashes, factors, key, keys, at,
                head, bias, last, scale, threshold, keep, KIND, SOFTMAX, CONTEXT, DROPOUT, D, E,
                FIRST_D, WIDE_D, FIRST_E, WIDE_E, G, M, N, True,
            )  # fmt: skip
    for g in tl.static_range(G):
        factor = weight
        if SOFTMAX:
            nothing = totals[g] == 0.0
            safe = tl.where(nothing, 1.0, totals[g])
            factor = tl.expand_dims(1.0 / safe, 1)
            sums = tl.where(nothing, float("-inf"), tops[g] + tl.log(safe))
            tl.store(log_sum + rows.to(tl.int64) * heads + (head + g), sums, mask=ok)
        store_parts(out + (head + g) * E, rows, heads * E, ok, accs[g], factor,
                    FIRST_E, WIDE_E, E)  # fmt: skip
