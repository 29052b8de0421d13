"""The tensors of a case, made once: every row of a dtype reads the very same ones.

Legend: S sequences of L tokens, T = S·L tokens of all, H heads, D head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention import BIASES, BiasModule, packed_mask
from genrank_cli.bench.attention.plan import MATERIALIZED, Shape

#: Seconds between events: the median of the gaps, and their spread (in ln), from minutes to weeks.
GAP_S, GAP_SPREAD = 600.0, 2.5


class Inputs:
    """Places, mask and bias of a batch, and the data of each dtype.

    offsets int64 [S+1]; position int64 [T]; time float64 [T], seconds; the candidates of a
    sequence share the time of its last event.
    """

    def __init__(self, shape: Shape, device: str) -> None:
        self.shape, self.device = shape, device
        batch, length, m = shape.batch_size, shape.seq_len, shape.candidates
        self.offsets = torch.arange(0, shape.tokens + 1, length).to(device)
        self.position = torch.arange(length).repeat(batch).to(device)
        self.time = _times(shape).to(device)
        group = torch.arange(batch).repeat_interleave(m)
        self.mask = packed_mask(
            torch.full((batch,), length - m),
            torch.full((batch,), m),
            torch.full((batch * m,), length - m),
            group,
        ).to(device)
        self._data: dict[str, tuple[list[Tensor], Tensor]] = {}
        self._biases: dict[str, BiasModule | None] = {"none": None}

    def data(self, dtype: str) -> tuple[list[Tensor], Tensor]:
        """q, k, v [T, H, D] that ask for gradients, and the gradient of the output."""
        if dtype not in self._data:
            draw = torch.Generator(self.device).manual_seed(0)
            shape = self.shape.tokens, self.shape.heads, self.shape.width
            q, k, v, grad = (
                torch.randn(shape, generator=draw, device=self.device).to(getattr(torch, dtype))
                for _ in range(4)
            )
            self._data[dtype] = [x.requires_grad_() for x in (q, k, v)], grad
        return self._data[dtype]

    def bias(self, name: str) -> BiasModule | None:
        """The module of a row's bias; its position table has a row for every distance."""
        if name not in self._biases:
            torch.manual_seed(0)
            form = "materialized" if name.endswith(MATERIALIZED) else "fused"
            entry = BIASES[name.removesuffix(MATERIALIZED)]
            module = entry.make(self.shape.heads, self.shape.seq_len, form)
            self._biases[name] = module.to(self.device)
        return self._biases[name]


def _times(shape: Shape) -> Tensor:
    """float64 [T]: gaps that are log-normal, so that many time buckets occur."""
    draw = torch.Generator().manual_seed(0)
    events = shape.seq_len - shape.candidates
    gaps = torch.randn(shape.batch_size, events, generator=draw, dtype=torch.float64)
    times = gaps.mul(GAP_SPREAD).exp().mul(GAP_S).cumsum(1)
    times = times - times[:, :1]
    return torch.cat((times, times[:, -1:].expand(-1, shape.candidates)), dim=1).flatten()
