"""What every peer of a case reads: q, k, v, or a layer's input with our block's weights.

Legend: S sequences of L tokens, T = S · L, H heads of width D, d = H · D.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.plan import Shape
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.blocks import BLOCKS
from genrank_cli.models.config import GenerativeConfig


def as_it_is(x: Tensor) -> Tensor:
    """No other layout."""
    return x


@dataclass(frozen=True)
class Made:
    """An implementation, ready to run.

    ``forward`` reads ``inputs``, which get gradients, as do ``weights``; ``grad`` is the gradient
    of its output. ``ours`` brings its output, and the gradients of its inputs, into our layout.
    """

    forward: Callable[[], Tensor]
    inputs: list[Tensor]
    grad: Tensor
    weights: list[Tensor]
    ours: Callable[[Tensor], Tensor] = as_it_is


class Tensors:
    """The tensors of a case, made once; a peer copies what it wants in another layout."""

    def __init__(self, shape: Shape, dtype: str, device: str) -> None:
        self.shape, self.device = shape, device
        self.dtype: torch.dtype = getattr(torch, dtype)
        self.places = Inputs(shape, device)
        self.qkv, self.attention_grad = self.places.data(dtype)
        draw = torch.Generator(device).manual_seed(1)
        size = shape.tokens, shape.heads * shape.width
        self.x, self.grad = (
            torch.randn(size, generator=draw, device=device).to(self.dtype) for _ in range(2)
        )
        self._blocks: dict[str, HstuBlock] = {}

    def leaves(self, to: Callable[[Tensor], Tensor] = as_it_is) -> list[Tensor]:
        """q, k, v in a layout, each a leaf of its own."""
        return [to(x.detach()).clone().requires_grad_() for x in self.qkv]

    def input(self, to: Callable[[Tensor], Tensor] = as_it_is) -> Tensor:
        """The layer's input [T, d] in a layout, a leaf."""
        return to(self.x).clone().requires_grad_()

    def by_head(self, x: Tensor) -> Tensor:
        """[T, H, D] → [S, H, L, D]."""
        shape = self.shape
        split = x.view(shape.batch_size, shape.seq_len, shape.heads, shape.width)
        return split.transpose(1, 2).contiguous()

    def from_heads(self, x: Tensor) -> Tensor:
        """[S, H, L, D] → [T, H, D]."""
        return x.transpose(1, 2).flatten(0, 1)

    def by_sequence(self, x: Tensor) -> Tensor:
        """[T, d] → [S, L, d]."""
        return x.view(self.shape.batch_size, self.shape.seq_len, -1)

    def from_sequences(self, x: Tensor) -> Tensor:
        """[S, L, d] → [T, d]."""
        return x.flatten(0, 1)

    def block(self, name: str) -> HstuBlock:
        """Our block of that name, without bias and dropout; peers get its weights."""
        if name not in self._blocks:
            torch.manual_seed(0)
            config = block_config(name, self.shape)
            made = BLOCKS[name](config, self.shape.seq_len)
            self._blocks[name] = made.to(device=self.device, dtype=self.dtype)
        return self._blocks[name]


@cache
def block_config(name: str, shape: Shape) -> GenerativeConfig:
    """One block, its attention scaled by 1/√D; softmax for the transformer's."""
    activation = "softmax" if name == "transformer" else "silu"
    return GenerativeConfig.model_validate(
        {
            "block": name,
            "width": shape.heads * shape.width,
            "heads": shape.heads,
            "blocks": 1,
            "dropout": 0.0,
            "attention": {"activation": activation, "scale": "rsqrt", "bias": "none"},
        }
    )
