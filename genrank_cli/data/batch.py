"""A jagged batch: flat tensors and offsets, never padded.

Legend: S samples, n history events and m candidates of all samples together, C context columns,
K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from genrank_cli.data.longhistory import LongHistory


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

    def rows(self, chosen: Tensor) -> Events:
        """Some of these events, by any index [k]."""
        return Events(*(getattr(self, field.name)[chosen] for field in fields(self)))

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
    long_history         the events before the history, where the samples keep any
    history_labels       float32 [n, K], where a history may be trained on; NaN where its event is
                         not one of those that are learnt from
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
    long_history: LongHistory | None = None
    history_labels: Tensor | None = None

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
        parts: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        moved: dict[str, Any] = {
            name: None if part is None else part.to(device) for name, part in parts.items()
        }
        return Batch(**moved)
