"""The arguments of one attention call, as every backend receives them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genrank_cli.attention.bias import Bias
from genrank_cli.attention.mask import Mask

ACTIVATIONS = ("silu", "softmax")


@dataclass(frozen=True, eq=False)
class Call:
    """Everything but q, k and v; the meaning of each field: `genrank_cli.attention.attend`."""

    offsets: Tensor
    mask: Mask
    bias: Bias | None
    activation: str
    scale: float
    norm: int
