"""The events before a sample's history: too many to attend to, kept to be searched.

Legend: S samples, l long-history events of all samples together, m candidates.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class LongHistory:
    """Older events of each sample, in the order of the log; all end where the history starts.

    item     int64 [l]
    actions  int64 [l]    bitmask of what the user did
    time     float64 [l]  seconds since the first event of the sample, so never above 0
    offsets  int64 [S+1]  a sample's rows are ``offsets[s]:offsets[s+1]``
    """

    item: Tensor
    actions: Tensor
    time: Tensor
    offsets: Tensor

    def to(self, device: torch.device | str) -> LongHistory:
        """The same events on another device."""
        return LongHistory(*(getattr(self, field.name).to(device) for field in fields(self)))


def long_start(oldest: Indices, first: Indices, longest: int) -> Indices:
    """Where the long histories begin, int64 [S]: at most ``longest`` events before ``first``.

    ``oldest`` [S] are the first events of the same users.
    """
    return np.maximum(oldest, first - longest)


def check_earlier(long: LongHistory, time: Tensor, candidate_offsets: Tensor) -> None:
    """Refuse a long history that reaches the request of a candidate.

    ``time`` float64 [m] are the candidates' requests, seconds since the first event of their
    sample. Raises ValueError.
    """
    known = long.offsets.diff() > 0
    newest = long.time.new_full((len(known),), -torch.inf)
    newest[known] = long.time[long.offsets[1:][known] - 1]
    late = time <= newest.repeat_interleave(candidate_offsets.diff())
    if bool(late.any()):
        place = int(late.nonzero()[0])
        raise ValueError(f"the long history of candidate {place} is not earlier than its request")
