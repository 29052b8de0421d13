"""The HSTU block (PAPER section 2), shared by every generative model.

Legend: T tokens, R rows (tokens that look at others), d width, H heads, D = d / H head width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.attention import Bias, Mask, attend
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.flops import Load, Term, attention, linear, weights
from genrank_cli.models.layer import layer_form
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
        self.layer = config.layer
        self.dropout = config.dropout
        self.scale = (width // config.heads) ** -0.5 if config.attention.scale == "rsqrt" else 1.0
        self.norm_in = nn.LayerNorm(width, eps=1e-6)
        self.uvqk = nn.Linear(width, 4 * width)
        self.norm_out = nn.LayerNorm(width, eps=1e-6)
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
        u, v, q, k = self.project(x)
        return self.update(x, self.attend(q, k, v, layout.offsets, layout.mask, bias), u)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """[T, d] → u [T, d] and v, q, k [T, H, D]."""
        u, v, q, k = layer_form(self.layer, x.device).project(x, self.norm_in, self.uvqk)
        return u, self._split(v), self._split(q), self._split(k)

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """k and v of `project` alone, [T, d] → two [T, H, D]: half of its work."""
        quarters = (torch.unflatten(y, 0, (4, -1)) for y in (self.uvqk.weight, self.uvqk.bias))
        weight, bias = (y[1::2].flatten(0, 1) for y in quarters)
        v, k = F.silu(F.linear(self.norm_in(x), weight, bias)).chunk(2, dim=-1)
        return self._split(k), self._split(v)

    def _split(self, x: Tensor) -> Tensor:
        return torch.unflatten(x, -1, (self.heads, -1))  # [T, H, D]

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        offsets: Tensor,
        mask: Mask,
        bias: Bias | None,
        row_offsets: Tensor | None = None,
    ) -> Tensor:
        """q [R, H, D], k and v [T, H, D] → [R, d]; see `genrank_cli.attention.attend`."""
        dropout = self.attention.dropout if self.training else 0.0
        return attend(
            q,
            k,
            v,
            offsets=offsets,
            row_offsets=row_offsets,
            mask=mask,
            bias=bias,
            activation=self.attention.activation,
            scale=self.scale,
            norm=self.norm,
            dropout=dropout,
            # Other cells in every step and layer, the same ones in a repeated run.
            seed=int(torch.randint(2**31, ())) if dropout else 0,
            backend=self.attention.backend,
        ).flatten(1)

    def update(self, x: Tensor, attended: Tensor, u: Tensor) -> Tensor:
        """x, what its rows attended to, and their gates u, [R, d] each → [R, d]."""
        dropout = self.dropout if self.training else 0.0
        form = layer_form(self.layer, x.device)
        return form.update(x, attended, u, self.norm_out, self.out, dropout)

    def flops(self, load: Load) -> list[Term]:
        """Every matrix meets every token once; every visible cell has a share of the attention."""
        width = self.uvqk.in_features
        return [linear(weights(self), load.tokens, "T"), attention(load, width)]
