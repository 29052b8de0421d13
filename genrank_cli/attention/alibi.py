"""ALiBi: a penalty that grows with the distance, without anything learned.

Slopes, and whether time enters the distance, are not given by the paper (PAPER section 3): the
slopes are those of ALiBi itself, and both distances are offered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

import torch
from torch import Tensor

from genrank_cli.attention.bias import BiasModule, BiasRule, Places
from genrank_cli.attention.relative import log_time_distance


def alibi_slopes(heads: int) -> Tensor:
    """2^(−8(h+1)/H) for h = 0 … H−1, float32 [H]."""
    return torch.exp2(-8.0 * torch.arange(1, heads + 1, dtype=torch.float64) / heads).float()


@dataclass(frozen=True)
class AlibiRule:
    """bias[h, i, j] = −slope_h · |p_i − p_j|, in tokens."""

    name: ClassVar[str] = "alibi"

    @classmethod
    def of(cls, tensors: tuple[Tensor, ...]) -> Self:
        return cls()

    def codes(self, rows: Places, keys: Places, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """The distance, [N, R, K]."""
        # Differences of positions below 2^24 are exact in float32.
        distance = rows.position.to(dtype)[:, :, None] - keys.position.to(dtype)[:, None, :]
        return (distance.abs_(),)

    def values(
        self, codes: tuple[Tensor, ...], tensors: tuple[Tensor, ...], out: Tensor | None = None
    ) -> Tensor:
        (distance,), (slopes,) = codes, tensors
        return torch.mul(distance.unsqueeze(1), -slopes[:, None, None], out=out)  # [N, H, R, K]

    def gradients(
        self, codes: tuple[Tensor, ...], grad: Tensor, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        return ()


@dataclass(frozen=True)
class AlibiTimeRule(AlibiRule):
    """bias[h, i, j] = −slope_h · ln(max(1, |t_i − t_j|)) / 0.301, of times in seconds."""

    name: ClassVar[str] = "alibi-time"

    def codes(self, rows: Places, keys: Places, dtype: torch.dtype) -> tuple[Tensor, ...]:
        return (log_time_distance(rows, keys).to(dtype),)


class Alibi(BiasModule):
    """ALiBi over positions; ``heads`` fixes the slopes."""

    slopes: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.register_buffer("slopes", alibi_slopes(heads), persistent=False)

    def rule(self) -> BiasRule:
        return AlibiRule()

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.slopes,)


class AlibiTime(Alibi):
    """ALiBi over the logarithm of elapsed time."""

    def rule(self) -> BiasRule:
        return AlibiTimeRule()
