"""The arguments of one attention call, as every backend receives them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from genrank_cli.attention.bias import Bias
from genrank_cli.attention.mask import Mask

ACTIVATIONS = ("silu", "softmax")


@dataclass(frozen=True, eq=False)
class Call:
    """Everything but q, k and v; the meaning of each field: `genrank_cli.attention.attend`.

    ``offsets`` cuts the keys into sequences, ``row_offsets`` the rows of q; the very same tensor
    where every token is a row.
    """

    offsets: Tensor
    row_offsets: Tensor
    mask: Mask
    bias: Bias | None
    activation: str
    scale: float
    norm: int
    dropout: float = 0.0
    seed: int = 0
