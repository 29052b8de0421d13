"""The other blocks, under the same tokens, masks and biases as HSTU's (`block.py`).

Legend: T tokens, d width, H heads, D = d / H head width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.models.block import HstuBlock
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.dropout import Dropout


class HstuMetaBlock(HstuBlock):
    """X' = X + [U, AV, LN(AV) ⊙ U] W_o, with U = SiLU(Ũ) and Ũ, V, Q, K = split(LN(X) W_uvqk).

    The layer of Meta's published code, unlike the paper's: SiLU on u only, and the output matrix
    reads gate, attention and gated attention side by side (3d), without a bias. 7d² weights in
    matrices, where the paper's layer has 5d².
    """

    def __init__(self, config: GenerativeConfig, norm: int) -> None:
        super().__init__(config, norm)
        self.out = nn.Linear(3 * config.width, config.width, bias=False)
        self.drop = Dropout(config.dropout, config.layer)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[T, d] → u [T, d] and v, q, k [T, H, D]."""
        u, v, q, k = self.uvqk(self.norm_in(x)).chunk(4, dim=-1)
        return F.silu(u), *(part.unflatten(-1, (self.heads, -1)) for part in (v, q, k))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """k and v of `project`, [T, d] → two [T, H, D]."""
        _, v, _, k = self.project(x)
        return k, v

    def update(self, x: Tensor, attended: Tensor, u: Tensor) -> Tensor:
        """x, what its rows attended to, and their gates u, [R, d] each → [R, d]."""
        parts = torch.cat((u, attended, self.norm_out(attended) * u), dim=-1)  # [R, 3d]
        update: Tensor = self.out(self.drop(parts))
        return x + update


class TransformerBlock(HstuBlock):
    """Y = X + A V W_o, X' = Y + GELU(LN(Y) W_1) W_2, with V, Q, K = split(LN(X) W_vqk).

    The usual pre-norm transformer block: no gate, no SiLU on the projections, a hidden layer of 4d.
    12d² weights in matrices, where HSTU's layer has 5d². ``model.attention.activation=softmax``
    makes A the usual one.
    """

    def __init__(self, config: GenerativeConfig, norm: int) -> None:
        super().__init__(config, norm)
        width = config.width
        self.uvqk = _without_gate(self.uvqk)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.drop = Dropout(config.dropout, config.layer)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[T, d] → x, which stands where others have their gate, and v, q, k [T, H, D]."""
        parts = self.uvqk(self.norm_in(x)).chunk(3, dim=-1)
        return x, *(part.unflatten(-1, (self.heads, -1)) for part in parts)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """k and v of `project`, [T, d] → two [T, H, D]."""
        _, v, _, k = self.project(x)
        return k, v

    def update(self, x: Tensor, attended: Tensor, u: Tensor) -> Tensor:
        """x and what its rows attended to, [R, d] each → [R, d]; there is no gate."""
        y: Tensor = x + self.drop(self.out(attended))
        update: Tensor = y + self.drop(self.mlp(self.norm_out(y)))
        return update


def _without_gate(uvqk: nn.Linear) -> nn.Linear:
    """The last three quarters of a projection: v, q and k, which start as they do in HSTU."""
    width = uvqk.in_features
    vqk = nn.Linear(width, 3 * width)
    with torch.no_grad():
        vqk.weight.copy_(uvqk.weight[width:])
        vqk.bias.copy_(uvqk.bias[width:])
    return vqk


#: name → block; made with (configuration, fixed N), called with (x [T, d], layout, bias)
BLOCKS: dict[str, type[HstuBlock]] = {
    "hstu": HstuBlock,
    "hstu-meta": HstuMetaBlock,
    "transformer": TransformerBlock,
}
