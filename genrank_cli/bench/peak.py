"""The machine's limits, timed in the same rounds as what is compared with them.

A share of a published peak would say how well the machine is cooled and shared; a share of the rate
that a large matrix product reaches here and now says how good the implementation is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from genrank_cli.bench.timing import Subject

#: Side of the square matrices: large enough to reach the full rate, a round of it well under 1 s.
PRODUCT_SIDE = {"cpu": 2_048, "cuda": 8_192}

#: Bytes copied: far more than the caches hold.
COPY_BYTES = {"cpu": 2**28, "cuda": 2**31}


@dataclass(frozen=True)
class Probe:
    """A subject that has a rate instead of a ratio: ``amount`` FLOPs or bytes in one run."""

    subject: Subject
    amount: int
    unit: str


def product_name(dtype: str) -> str:
    """The probe's name: ``product/float32``."""
    return f"product/{dtype}"


def product_probe(dtype: str, device: str, side: int | None = None) -> Probe:
    """A·B of two square matrices: 2 n³ FLOPs. They are drawn in the first run."""
    n = side or PRODUCT_SIDE[torch.device(device).type]

    @cache
    def made() -> tuple[Tensor, Tensor, Tensor]:
        kind = getattr(torch, dtype)
        a, b = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
        return a, b, torch.empty_like(a)

    def run() -> Tensor:
        a, b, out = made()
        return torch.mm(a, b, out=out)

    return Probe(Subject(product_name(dtype), {"run": run}), 2 * n**3, "flops")


def copy_probe(device: str, size: int | None = None) -> Probe:
    """One tensor copied to another: each byte is read once and written once, so counted twice."""
    count = (size or COPY_BYTES[torch.device(device).type]) // 4

    @cache
    def made() -> tuple[Tensor, Tensor]:
        source = torch.ones(count, device=device)
        return source, torch.zeros_like(source)

    def run() -> Tensor:
        source, target = made()
        return target.copy_(source)

    return Probe(Subject("copy", {"run": run}), 2 * 4 * count, "bytes")
