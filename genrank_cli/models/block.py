"""The HSTU block (PAPER section 2), shared by every generative model.

Legend: T tokens, d width, H heads, D = d / H head width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.attention import Bias, attend
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.organization import Layout


class HstuBlock(nn.Module):
    """X' = X + W_o(LN(A V) ⊙ U), where U, V, Q, K = split(SiLU(LN(X) W_uvqk)).

    A = SiLU(Q Kᵀ·scale + bias) / N under the mask, or a softmax in its place. ``norm`` is the fixed
    N: a score must not depend on who shares the batch.
    """

    def __init__(self, config: GenerativeConfig, norm: int) -> None:
        super().__init__()
        width = config.width
        self.heads = config.heads
        self.norm = norm
        self.attention = config.attention
        self.scale = (width // config.heads) ** -0.5 if config.attention.scale == "rsqrt" else 1.0
        self.norm_in = nn.LayerNorm(width, eps=1e-6)
        self.uvqk = nn.Linear(width, 4 * width)
        self.norm_out = nn.LayerNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(config.dropout)
        self.out = nn.Linear(width, width)
        self._start_alike()

    def _start_alike(self) -> None:
        """Start keys equal to queries (mimetic initialisation, Trockman and Kolter 2023).

        Tokens that share a field then score each other higher from the first step on, instead of
        after the epochs that two random projections need to find each other.
        """
        width = self.uvqk.in_features
        nn.init.normal_(self.uvqk.weight, std=width**-0.5)
        nn.init.zeros_(self.uvqk.bias)
        with torch.no_grad():
            _, _, q, k = self.uvqk.weight.chunk(4)
            k.copy_(q)

    def forward(self, x: Tensor, layout: Layout, bias: Bias | None) -> Tensor:
        """Hidden states [T, d] → [T, d]."""
        projected = F.silu(self.uvqk(self.norm_in(x)))  # [T, 4d]
        u, v, q, k = projected.chunk(4, dim=-1)
        attended = attend(
            self._split(q),
            self._split(k),
            self._split(v),
            offsets=layout.offsets,
            mask=layout.mask,
            bias=bias,
            activation=self.attention.activation,
            scale=self.scale,
            norm=self.norm,
            backend=self.attention.backend,
        ).flatten(1)  # [T, d]
        update: Tensor = self.out(self.dropout(self.norm_out(attended) * u))
        return x + update

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1))  # [T, H, D]
