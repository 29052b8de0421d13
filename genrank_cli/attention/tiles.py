"""The arithmetic of `blockwise`: chunk by chunk, tile by tile, without autograd.

Legend: T tokens, H heads, D head width, G segments of a chunk, B = G·H, R rows and K keys. Tensors
of a chunk are [B, R or K, D], so that every product is one batched matrix product.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from genrank_cli.attention.alibi import AlibiRule
from genrank_cli.attention.call import Call
from genrank_cli.attention.dropout import kept, row_hash
from genrank_cli.attention.parts import Part, take
from genrank_cli.attention.plan import HIDDEN, Chunk, Plan, Tile
from genrank_cli.attention.tilebias import tile_bias

# Far below the largest score, SiLU and exp become denormal numbers, which slow every product that
# they enter: a steep ALiBi slope made the whole attention up to twice as slow. So SiLU is left at
# −1e-26, and exp at 0, where they would be smaller; hidden cells are exactly 0 in both. Without
# ALiBi a score of SiLU hardly ever gets there, and the pass over the tile is saved.
SILU_FLOOR = -64.0
SMALLEST_WEIGHT = 1e-30


@dataclass(eq=False)
class Work:
    """One call: its tensors, its plan, and buffers that every tile uses again.

    ``grads``: gradients of the bias's tensors; empty where none is wanted.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    call: Call
    plan: Plan
    grads: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.heads = self.q.shape[1]
        self.dtype = self.plan.dtype
        self.softmax = self.call.activation == "softmax"
        # What a weight is multiplied by: SiLU's 1/N, and what dropout leaves.
        self.weight = (1.0 if self.softmax else 1.0 / self.call.norm) / (1 - self.call.dropout)
        self.bias = tile_bias(self.call, self.plan, self.grads)
        self.steep = self.call.bias is not None and isinstance(self.call.bias.rule, AlibiRule)
        self._buffers: dict[str, Tensor] = {}

    def buffer(self, name: str, *shape: int) -> Tensor:
        """Uninitialised memory of ``shape``, the same for every tile."""
        size = math.prod(shape)
        known = self._buffers.get(name)
        if known is None or len(known) < size:
            known = self._buffers[name] = self.q.new_empty(size, dtype=self.dtype)
        return known[:size].view(shape)

    def product(self, a: Tensor, b: Tensor, weight: float) -> Tensor:
        """weight · a b of batched matrices, valid until the next product."""
        out = self.buffer("product", *a.shape[:2], b.shape[2])
        if a.shape[2] == 1:  # candidates that see themselves only: far slower as matrix products
            return torch.mul(a * weight, b, out=out)
        return torch.baddbmm(out, a, b, beta=0, alpha=weight, out=out)

    def by_segment(self, scores: Tensor) -> Tensor:
        """[B, R, K] → [G, H, R, K], a view."""
        return scores.view(-1, self.heads, *scores.shape[1:])

    def scores(self, chunk: Chunk, tile: Tile, q: Tensor, k: Tensor) -> Tensor:
        """q·k · scale + bias of a tile, hidden cells at `HIDDEN`; [B, R, K]."""
        scores = self.buffer("scores", *q.shape[:2], k.shape[1])
        split = self.by_segment(scores)
        if self.bias is not None:
            self.bias.write(chunk, tile, split)
        beta = 0 if self.bias is None else 1
        torch.baddbmm(scores, q, k.mT, beta=beta, alpha=self.call.scale, out=scores)
        if self.steep and not self.softmax:
            scores.clamp_(min=SILU_FLOOR)
        for keys, hidden in tile.masks:
            split[..., keys].add_(hidden)
        return scores

    def drop(self, chunk: Chunk, tile: Tile, cells: Tensor) -> None:
        """Make 0 what dropout drops of a tile's ``cells`` [B, R, K]."""
        if not self.call.dropout:
            return
        rows = chunk.rows.tokens[: tile.segments, tile.rows]  # [G, R]
        keys = chunk.keys.tokens[: tile.segments, None, tile.keys]  # [G, 1, K]
        hashes = row_hash(rows.flatten(), self.heads, self.call.seed).view(-1, *rows.shape)
        self.by_segment(cells).mul_(kept(hashes.transpose(0, 1), keys, self.call.dropout))


def forward(work: Work) -> tuple[Tensor, Tensor | None]:
    """The output [T, H, D] and, for softmax, the logarithm of each row's sum of exponentials.

    The latter is [T, H], −inf for a row that sees nothing.
    """
    out = work.v.new_zeros((len(work.q), *work.v.shape[1:]), dtype=work.dtype)
    if not work.softmax:
        for chunk in work.plan.chunks():
            _silu_chunk(work, chunk, out)
        return out, None
    log_sum = out.new_full(out.shape[:2], -torch.inf)
    for chunks in work.plan.passes:
        more, more_sum = torch.zeros_like(out), torch.full_like(log_sum, -torch.inf)
        for chunk in chunks:
            _softmax_chunk(work, chunk, more, more_sum)
        _merge(out, log_sum.unsqueeze(-1), more, more_sum.unsqueeze(-1))
    return out, log_sum


def _silu_chunk(work: Work, chunk: Chunk, out: Tensor) -> None:
    """Add the chunk's rows to ``out`` [T, H, D]."""
    q, k, v = _inputs(work, chunk)
    part = Part(out, chunk.rows, clear=False)
    for tile in chunk.tiles:
        batch, rows, keys = tile.segments * work.heads, tile.rows, tile.keys
        scores = work.scores(chunk, tile, q[:batch, rows], k[:batch, keys])
        weights = torch.ops.aten.silu_(scores)
        work.drop(chunk, tile, weights)
        part.add(batch, rows, work.product(weights, v[:batch, keys], work.weight), tile.first)
    part.close()


def _softmax_chunk(work: Work, chunk: Chunk, out: Tensor, log_sum: Tensor) -> None:
    """Write the chunk's rows of ``out`` [T, H, D], 0 before, and ``log_sum`` [T, H]."""
    q, k, v = _inputs(work, chunk)
    part = Part(out, chunk.rows, clear=False)
    sums = q.new_empty(*q.shape[:2], 1)  # [B, R, 1]
    for tile in chunk.tiles:
        batch, rows, keys = tile.segments * work.heads, tile.rows, tile.keys
        scores = work.scores(chunk, tile, q[:batch, rows], k[:batch, keys])
        top = scores.amax(-1, keepdim=True)
        torch.threshold_(scores.sub_(top).exp_(), SMALLEST_WEIGHT, 0.0)
        total = scores.sum(-1, keepdim=True)
        work.drop(chunk, tile, scores)
        product = work.product(scores, v[:batch, keys], work.weight).div_(total)
        log_total = total.log_().add_(top)  # [B, rows, 1]
        if tile.first:
            part.add(batch, rows, product, first=True)
            sums[:batch, rows] = log_total
        else:
            _merge(part.data[:batch, rows], sums[:batch, rows], product, log_total)
    part.close()
    groups, rows_of_chunk = chunk.rows.tokens.shape
    by_row = sums.view(groups, -1, rows_of_chunk).mT.flatten(0, 1)  # [G·R, H]
    real = chunk.rows.real
    log_sum[chunk.rows.tokens.flatten()[real]] = by_row[real]


def _merge(out: Tensor, log_sum: Tensor, more: Tensor, more_sum: Tensor) -> None:
    """Join, in place, a softmax over other keys: outputs [..., D], sums [..., 1]."""
    total = torch.logaddexp(log_sum, more_sum)
    finite = total.clamp(min=HIDDEN)  # a row that sees nothing: exp(−inf), not exp(nan)
    out.mul_((log_sum - finite).exp_()).addcmul_(more, (more_sum - finite).exp_())
    log_sum.copy_(total)


def backward(
    work: Work, grad: Tensor, out: Tensor, log_sum: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of q, k and v; those of the bias's tensors are added to ``work.grads``.

    ``grad`` [R, H, E] is the output's gradient; ``out`` and ``log_sum`` as `forward` gave them.
    """
    dq, dk, dv = (x.new_zeros(x.shape, dtype=work.dtype) for x in (work.q, work.k, work.v))
    stats = None
    if log_sum is not None:
        mean = torch.linalg.vecdot(grad.to(work.dtype), out)
        stats = log_sum.unsqueeze(-1), mean.unsqueeze(-1)  # [T, H, 1] each
    for chunk in work.plan.chunks():
        parts = (
            Part(dq, chunk.rows, clear=False),
            Part(dk, chunk.keys, clear=True),
            Part(dv, chunk.keys, clear=True),
        )
        _backward_chunk(work, chunk, grad, stats, parts)
        for part in parts:
            part.close()
    return dq, dk, dv


def _backward_chunk(
    work: Work,
    chunk: Chunk,
    grad: Tensor,
    stats: tuple[Tensor, Tensor] | None,
    parts: tuple[Part, Part, Part],
) -> None:
    """Add to ``parts``, those of q, k and v.

    ``stats``, softmax only: of each row the logarithm of its sum and the mean of its gradients.
    """
    q, k, v = _inputs(work, chunk)
    do = take(grad, chunk.rows, work.dtype, zero_padding=True)
    if stats is not None:
        # Repeated rows must add nothing to dk: no gradient, and no mean of it either.
        sums = take(stats[0], chunk.rows, work.dtype)  # [B, R, 1]
        means = take(stats[1], chunk.rows, work.dtype, zero_padding=True)
    dq, dk, dv = parts
    for tile in chunk.tiles:
        batch, rows, keys = tile.segments * work.heads, tile.rows, tile.keys
        q_tile, do_tile, k_tile = q[:batch, rows], do[:batch, rows], k[:batch, keys]
        scores = work.scores(chunk, tile, q_tile, k_tile)
        ds = work.buffer("gradient", *scores.shape)
        torch.baddbmm(ds, do_tile, v[:batch, keys].mT, beta=0, alpha=work.weight, out=ds)
        work.drop(chunk, tile, ds)
        if stats is None:
            weights = torch.ops.aten.silu.out(scores, out=work.buffer("weights", *scores.shape))
            torch.ops.aten.silu_backward.grad_input(ds, scores, grad_input=ds)
        else:
            weights = torch.threshold_(scores.sub_(sums[:batch, rows]).exp_(), SMALLEST_WEIGHT, 0.0)
            ds.sub_(means[:batch, rows]).mul_(weights)
        work.drop(chunk, tile, weights)
        dv.add(batch, keys, work.product(weights.mT, do_tile, work.weight))
        dq.add(batch, rows, work.product(ds, k_tile, work.call.scale), tile.first)
        dk.add(batch, keys, work.product(ds.mT, q_tile, work.call.scale))
        if work.bias is not None and work.grads:
            work.bias.collect(chunk, tile, work.by_segment(ds))


def _inputs(work: Work, chunk: Chunk) -> tuple[Tensor, Tensor, Tensor]:
    """q [B, R, D], k and v [B, K, D] of a chunk."""
    q = take(work.q, chunk.rows, work.dtype)
    return q, take(work.k, chunk.keys, work.dtype), take(work.v, chunk.keys, work.dtype)
