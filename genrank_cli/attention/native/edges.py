"""The time buckets of a relative bias, as the kernels tell them apart."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from genrank_cli.attention.relative import TIME_BUCKET_WIDTH, TIME_BUCKETS


@cache
def bucket_edges() -> Tensor:
    """float64 [buckets + 1]: the smallest distance in seconds of each time bucket.

    Found with the very formula of the rule, so that both agree to the last bit.
    """
    edges = [0.0]
    for number in range(1, TIME_BUCKETS):
        edge = math.exp(number * TIME_BUCKET_WIDTH)
        while bucket(edge) >= number:
            edge = math.nextafter(edge, 0.0)
        while bucket(edge) < number:
            edge = math.nextafter(edge, math.inf)
        edges.append(edge)
    return torch.tensor([*edges, math.inf], dtype=torch.float64)


def bucket(distance: float) -> int:
    """The rule's formula, of one distance."""
    value = torch.tensor(distance, dtype=torch.float64).clamp(min=1).log().div(TIME_BUCKET_WIDTH)
    return int(value)
