"""The machine's limits, timed in the same rounds as what is compared with them.

A share of a published peak would say how well the machine is cooled and shared; a share of the rate
that a large matrix product reaches here and now says how good the implementation is.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

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
    """A·B of two square matrices: 2 n³ FLOPs."""
    n = side or PRODUCT_SIDE[torch.device(device).type]
    kind = getattr(torch, dtype)
    a, b = (torch.randn(n, n, device=device).to(kind) for _ in range(2))
    out = torch.empty_like(a)
    subject = Subject(product_name(dtype), {"run": lambda: torch.mm(a, b, out=out)})
    return Probe(subject, 2 * n**3, "flops")


def copy_probe(device: str, size: int | None = None) -> Probe:
    """One tensor copied to another: each byte is read once and written once, so counted twice."""
    count = (size or COPY_BYTES[torch.device(device).type]) // 4
    source = torch.ones(count, device=device)
    target = torch.zeros_like(source)
    return Probe(Subject("copy", {"run": lambda: target.copy_(source)}), 2 * 4 * count, "bytes")
