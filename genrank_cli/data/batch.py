"""A jagged batch: flat tensors and offsets, never padded.

Legend: S samples, n history events and m candidates of all samples together, C context columns,
K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Events:
    """What is known of an event before its outcome.

    item, user        int64 [n]   codes of the store
    time              float64 [n] seconds since the first event of the sample; for candidates the
                                  time of the request, which is all that a server knows
    request           int64 [n]   distinct requests since the start of the sample; of requests that
                                  share a moment, candidates have the first one's number and gap
    gap               float32 [n] seconds between the event's request and the user's request before
                                  it; −1 for a user's first request
    context           int64 [n, C] codes, 0 = missing: context columns, then numbers in buckets,
                                  then window statistics in buckets
    """

    item: Tensor
    user: Tensor
    time: Tensor
    request: Tensor
    gap: Tensor
    context: Tensor

    def followed_by(self, others: Events) -> Events:
        """These events, then ``others``."""
        names = [field.name for field in fields(self)]
        return Events(*(torch.cat((getattr(self, n), getattr(others, n))) for n in names))

    def to(self, device: torch.device | str) -> Events:
        """The same events on another device."""
        return Events(*(getattr(self, field.name).to(device) for field in fields(self)))


@dataclass(frozen=True)
class Batch:
    """Samples of several users.

    history, candidates  `Events`; a sample's rows are ``offsets[s]:offsets[s+1]``
    actions              int64 [n]    bitmask of what the user did at each history event
    history_offsets      int64 [S+1]
    candidate_offsets    int64 [S+1]
    prefix               int64 [m]    history events of its sample that a candidate may see: those
                                     that are earlier than its request
    group                int64 [m]    the candidate's request, numbered inside the batch
    labels               float32 [m, K]
    rows                 int64 [m]    row of each candidate in the store
    """

    history: Events
    candidates: Events
    actions: Tensor
    history_offsets: Tensor
    candidate_offsets: Tensor
    prefix: Tensor
    group: Tensor
    labels: Tensor
    rows: Tensor

    @property
    def samples(self) -> int:
        return len(self.history_offsets) - 1

    @property
    def history_lengths(self) -> Tensor:
        """History events of each sample, int64 [S]."""
        return self.history_offsets.diff()

    @property
    def candidate_lengths(self) -> Tensor:
        """Candidates of each sample, int64 [S]."""
        return self.candidate_offsets.diff()

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))
