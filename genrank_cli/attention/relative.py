"""HSTU's relative attention bias: one learned number per distance in position and in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from genrank_cli.attention.bias import BIAS_FORMS, BiasModule, BiasRule, Places
from genrank_cli.errors import unknown_name

TIME_BUCKETS = 129
TIME_BUCKET_WIDTH = 0.301  # in ln(seconds): a bucket ends at about 1.35 times its beginning


def log_time_distance(rows: Places, keys: Places) -> Tensor:
    """ln(max(1, |Δt|)) / 0.301, float64 [N, R, K], of times in seconds.

    The difference of two times is taken in float64: over months, float32 seconds are off by a
    quarter of a second, which moves the small distances by several buckets.
    """
    distance = rows.time[:, :, None] - keys.time[:, None, :]
    return distance.abs_().clamp_(min=1).log_().div_(TIME_BUCKET_WIDTH)


@dataclass(frozen=True)
class RelativeRule:
    """bias[i, j] = pos[clamp(p_i − p_j, −(P−1), P−1) + P−1] + time[bucket(|t_i − t_j|)].

    bucket(Δ) = clamp(floor(ln(max(1, Δ)) / 0.301), 0, 128); P is ``positions``. Heads share it.
    Source: HSTU (PAPER section 2), whose tables belong to a layer; the seed of GenRank shares one
    pair among layers.
    """

    name: ClassVar[str] = "relative"

    positions: int

    @classmethod
    def of(cls, tensors: tuple[Tensor, ...]) -> RelativeRule:
        return cls((len(tensors[0]) + 1) // 2)

    def codes(self, rows: Places, keys: Places, dtype: torch.dtype) -> tuple[Tensor, ...]:
        """Table rows of the position and of the time, int32 [N, R, K] each."""
        last = self.positions - 1
        distance = rows.position.int()[:, :, None] - keys.position.int()[:, None, :]
        bucket = log_time_distance(rows, keys).clamp_(max=TIME_BUCKETS - 1).to(torch.int32)
        return distance.clamp_(-last, last).add_(last), bucket

    def values(
        self, codes: tuple[Tensor, ...], tensors: tuple[Tensor, ...], out: Tensor | None = None
    ) -> Tensor:
        terms = [
            table.index_select(0, code.flatten()).view(code.shape)
            for table, code in zip(tensors, codes, strict=True)
        ]
        bias = torch.add(*terms).unsqueeze(1)  # [N, 1, R, K]
        return bias if out is None else out.copy_(bias)

    def gradients(
        self, codes: tuple[Tensor, ...], grad: Tensor, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...]:
        # A scatter per head, which autograd would do, costs more than the attention itself. In
        # float64, because thousands of cells fall into one row of a table.
        weights = grad.flatten().double()
        return tuple(
            torch.bincount(code.flatten(), weights, minlength=len(table))
            for table, code in zip(tensors, codes, strict=True)
        )


class RelativeBias(BiasModule):
    """The learned tables of a `RelativeRule`.

    ``positions`` P: distances of P and more share a number; the position table has 2P − 1 rows.
    ``form``: see `Bias`; both forms give equal results.
    """

    def __init__(self, positions: int, form: str = "fused") -> None:
        super().__init__()
        if form not in BIAS_FORMS:
            raise unknown_name("bias form", form, BIAS_FORMS)
        self.form = form
        self.positions = positions
        self.position_table = nn.Parameter(torch.empty(2 * positions - 1).normal_(std=0.02))
        self.time_table = nn.Parameter(torch.empty(TIME_BUCKETS).normal_(std=0.02))

    def rule(self) -> BiasRule:
        return RelativeRule(self.positions)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.position_table, self.time_table
