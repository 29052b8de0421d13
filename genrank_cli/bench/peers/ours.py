"""Our own implementations under the peers' conditions, and the plain references of both.

Legend: T tokens, H heads of width D, d = H · D.
"""

from __future__ import annotations

from torch import Tensor

from genrank_cli.attention import attend
from genrank_cli.bench.peers.tensors import Made, Tensors
from genrank_cli.models.block import HstuBlock

REFERENCE, AUTO = "reference", "auto"


def attention(tensors: Tensors, activation: str, backend: str = AUTO) -> Made:
    """`genrank_cli.attention.attend`, causal, no bias."""
    q, k, v = tensors.leaves()

    def forward() -> Tensor:
        return attend(
            q,
            k,
            v,
            offsets=tensors.places.offsets,
            mask=tensors.places.mask,
            bias=None,
            activation=activation,
            scale=tensors.shape.width**-0.5,
            norm=tensors.shape.seq_len,
            backend=backend,
        )

    return Made(forward, [q, k, v], tensors.attention_grad, [])


def layer(tensors: Tensors, name: str, backend: str = AUTO) -> Made:
    """A block of the models; the reference is the plain form of it, with the same weights."""
    block = tensors.block(name) if backend == AUTO else _plain(tensors.block(name))
    x = tensors.input()

    def forward() -> Tensor:
        u, v, q, k = block.project(x)
        attended = block.attend(q, k, v, tensors.places.offsets, tensors.places.mask, None)
        return block.update(x, attended, u)

    return Made(forward, [x], tensors.grad, list(block.parameters()))


def _plain(block: HstuBlock) -> HstuBlock:
    """The same weights, in steps that anybody can read."""
    import copy

    plain = copy.copy(block)
    plain.layer = "plain"
    plain.attention = block.attention.model_copy(update={"backend": REFERENCE})
    return plain
