"""The arithmetic of `blockwise`: chunk by chunk, tile by tile, without autograd.

Legend: T tokens, H heads, D head width, G segments of a chunk, B = G·H, R rows and K keys. Tensors
of a chunk are [B, R or K, D], so that every product is one batched matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from genrank_cli.attention.call import Call
from genrank_cli.attention.plan import HIDDEN, Chunk, Plan, Side, Tile
from genrank_cli.attention.tilebias import ChunkBias, FusedBias, MaterializedBias


@dataclass(eq=False)
class Work:
    """One call: its tensors, its plan, and buffers that every tile uses again.

    built  materialized biases, from the forward pass for the backward pass
    grads  gradients of the bias's learned tensors; empty where none is wanted
    """

    q: Tensor
    k: Tensor
    v: Tensor
    call: Call
    plan: Plan
    built: dict[Chunk, Tensor] = field(default_factory=dict)
    grads: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heads = self.q.shape[1]
        self.dtype = self.plan.dtype
        self.softmax = self.call.activation == "softmax"
        self.weight = 1.0 if self.softmax else 1.0 / self.call.norm
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, tile: Tile) -> Tensor:
        """Uninitialised scores of a tile, [B, R, K]; the same memory for every tile."""
        if name not in self._buffers:
            cells = self.plan.tile_cells * self.heads
            self._buffers[name] = self.q.new_empty(cells, dtype=self.dtype)
        shape = tile.segments * self.heads, *tile.shape
        return self._buffers[name][: tile.cells * self.heads].view(shape)

    def bias(self, chunk: Chunk) -> ChunkBias | None:
        """What adds the bias to the chunk's scores."""
        bias = self.call.bias
        if bias is None:
            return None
        if bias.form == "materialized":
            return MaterializedBias(bias, chunk, self.plan, self.grads, self.built)
        return FusedBias(bias, chunk, self.plan, self.grads)

    def by_segment(self, scores: Tensor) -> Tensor:
        """[B, R, K] → [G, H, R, K], a view."""
        return scores.view(-1, self.heads, *scores.shape[1:])

    def scores(self, tile: Tile, q: Tensor, k: Tensor, bias: ChunkBias | None) -> Tensor:
        """q·k · scale + bias of a tile, hidden cells at `HIDDEN`; [B, R, K]."""
        scores = self.buffer("scores", tile)
        split = self.by_segment(scores)
        if bias is not None:
            bias.write(tile, split)
        beta = 0 if bias is None else 1
        torch.baddbmm(scores, q, k.mT, beta=beta, alpha=self.call.scale, out=scores)
        for keys, hidden in tile.masks:
            split[..., keys].add_(hidden)
        return scores


def forward(work: Work) -> tuple[Tensor, Tensor | None]:
    """The output [T, H, D] and, for softmax, the logarithm of each row's sum of exponentials.

    The latter is [T, H], −inf for a row that sees nothing.
    """
    out = work.v.new_zeros(work.v.shape, dtype=work.dtype)
    if not work.softmax:
        for chunk in work.plan.chunks():
            _forward_chunk(work, chunk, out, None)
        return out, None
    log_sum = out.new_full(out.shape[:2], -torch.inf)
    for chunks in work.plan.passes:
        part, part_sum = torch.zeros_like(out), torch.full_like(log_sum, -torch.inf)
        for chunk in chunks:
            _forward_chunk(work, chunk, part, part_sum)
        out, log_sum = _merge(out, log_sum, part, part_sum)
    return out, log_sum


def _merge(a: Tensor, a_sum: Tensor, b: Tensor, b_sum: Tensor) -> tuple[Tensor, Tensor]:
    """Two softmax outputs over disjoint keys → the one over all of them."""
    total = torch.logaddexp(a_sum, b_sum)
    finite = total.clamp(min=HIDDEN)  # a row that sees nothing: exp(−inf), not exp(nan)
    a_share, b_share = (a_sum - finite).exp_(), (b_sum - finite).exp_()
    return a.mul_(a_share.unsqueeze(-1)).addcmul_(b, b_share.unsqueeze(-1)), total


def _forward_chunk(work: Work, chunk: Chunk, out: Tensor, log_sum: Tensor | None) -> None:
    """Add the chunk's rows to ``out`` [T, H, D]; write their ``log_sum`` [T, H] (softmax)."""
    q, k, v = _inputs(work, chunk)
    bias = work.bias(chunk)
    rows_out = _open(out, chunk.rows)
    sums = None if log_sum is None else q.new_empty(*q.shape[:2], 1)  # [B, R, 1]
    for tile in chunk.tiles:
        here = slice(0, tile.segments * work.heads)
        scores = work.scores(tile, q[here, tile.rows], k[here, tile.keys], bias)
        tile_out = rows_out[here, tile.rows]
        if sums is None:
            torch.ops.aten.silu_(scores)
            tile_out.baddbmm_(scores, v[here, tile.keys], alpha=work.weight)
        else:
            top = scores.amax(-1, keepdim=True)
            total = scores.sub_(top).exp_().sum(-1, keepdim=True)
            tile_out.baddbmm_(scores, v[here, tile.keys]).div_(total)
            sums[here, tile.rows] = total.log_().add_(top)
    _close(out, chunk.rows, rows_out)
    if log_sum is not None and sums is not None:
        flat = _flat(sums, chunk.rows)
        log_sum.index_copy_(0, chunk.rows.flat, flat)


def backward(
    work: Work, out: Tensor, log_sum: Tensor | None, grad: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v; those of the bias's tensors are added to ``work.grads``.

    ``out`` and ``log_sum`` are what `forward` gave, ``grad`` [T, H, D] is the gradient of ``out``.
    """
    dq, dk, dv = (x.new_zeros(x.shape, dtype=work.dtype) for x in (work.q, work.k, work.v))
    delta = None if log_sum is None else torch.linalg.vecdot(grad, out)  # [T, H]
    for chunk in work.plan.chunks():
        _backward_chunk(work, chunk, grad, log_sum, delta, (dq, dk, dv))
    return dq, dk, dv


def _backward_chunk(
    work: Work,
    chunk: Chunk,
    grad: Tensor,
    log_sum: Tensor | None,
    delta: Tensor | None,
    totals: tuple[Tensor, Tensor, Tensor],
) -> None:
    q, k, v = _inputs(work, chunk)
    do = _take(grad, chunk.rows, work.dtype, zero_padding=True)
    sums = means = None
    if log_sum is not None and delta is not None:
        # Repeated rows must add nothing to dk: no gradient, and no mean of it either.
        sums = _take(log_sum.unsqueeze(-1), chunk.rows, work.dtype)  # [B, R, 1]
        means = _take(delta.unsqueeze(-1), chunk.rows, work.dtype, zero_padding=True)
    bias = work.bias(chunk)
    sides = chunk.rows, chunk.keys, chunk.keys
    dq, dk, dv = (_open(total, side) for total, side in zip(totals, sides, strict=True))
    for tile in chunk.tiles:
        here = slice(0, tile.segments * work.heads)
        q_tile, do_tile = q[here, tile.rows], do[here, tile.rows]
        k_tile = k[here, tile.keys]
        scores = work.scores(tile, q_tile, k_tile, bias)
        ds = work.buffer("gradient", tile)
        torch.baddbmm(ds, do_tile, v[here, tile.keys].mT, beta=0, alpha=work.weight, out=ds)
        if sums is None or means is None:
            weights = torch.ops.aten.silu.out(scores, out=work.buffer("weights", tile))
            torch.ops.aten.silu_backward.grad_input(ds, scores, grad_input=ds)
        else:
            weights = scores.sub_(sums[here, tile.rows]).exp_()
            ds.sub_(means[here, tile.rows]).mul_(weights)
        dv[here, tile.keys].baddbmm_(weights.mT, do_tile, alpha=work.weight)
        dq[here, tile.rows].baddbmm_(ds, k_tile, alpha=work.call.scale)
        dk[here, tile.keys].baddbmm_(ds.mT, q_tile, alpha=work.call.scale)
        if bias is not None and work.grads:
            bias.collect(tile, work.by_segment(ds))
    for total, side, part in zip(totals, sides, (dq, dk, dv), strict=True):
        _close(total, side, part)
    if bias is not None:
        bias.close()


def _inputs(work: Work, chunk: Chunk) -> tuple[Tensor, Tensor, Tensor]:
    """q [B, R, D], k and v [B, K, D] of a chunk."""
    q = _take(work.q, chunk.rows, work.dtype)
    return q, _take(work.k, chunk.keys, work.dtype), _take(work.v, chunk.keys, work.dtype)


def _take(x: Tensor, side: Side, dtype: torch.dtype, zero_padding: bool = False) -> Tensor:
    """x [T, H, D] at the places of a chunk, [B, n, D]; a view where nothing must move."""
    if side.run is not None:
        return x[side.run].transpose(0, 1).to(dtype)
    picked = x.flatten(1).index_select(0, side.flat)  # [G·n, H·D]
    if zero_padding:
        picked.index_fill_(0, side.padding, 0)
    groups, places = side.tokens.shape
    split = picked.view(groups, places, *x.shape[1:]).transpose(1, 2)  # [G, H, n, D]
    return split.reshape(-1, places, x.shape[2]).to(dtype)


def _flat(part: Tensor, side: Side) -> Tensor:
    """[B, n, D] → [G·n, H·D], the order of ``side.flat``."""
    groups, places = side.tokens.shape
    split = part.view(groups, -1, places, part.shape[2]).transpose(1, 2)  # [G, n, H, D]
    return split.reshape(groups * places, -1)


def _open(total: Tensor, side: Side) -> Tensor:
    """A part [B, n, D] to add into, for `_close`: a view of ``total`` [T, H, D], or zeros."""
    if side.run is not None:
        return total[side.run].transpose(0, 1)
    groups, places = side.tokens.shape
    return total.new_zeros(groups * total.shape[1], places, total.shape[2])


def _close(total: Tensor, side: Side, part: Tensor) -> None:
    """Add to ``total`` what was collected in ``part``; repeated places count once."""
    if side.run is None:
        flat = _flat(part, side).index_fill_(0, side.padding, 0)
        total.flatten(1).index_add_(0, side.flat, flat)
