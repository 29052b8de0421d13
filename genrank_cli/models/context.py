"""Contextual tokens: what is known of the user, as tokens of their own (HSTU's auxiliary series).

Legend: S samples, F features of a user, d width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.errors import GenrankError
from genrank_cli.models.embeddings import EventEmbedding, SideEmbedding


class ContextTokens(nn.Module):
    """One token for each feature of the user, before the history.

    Takes the users' features away from ``event``, which added them to every event.
    """

    def __init__(self, event: EventEmbedding) -> None:
        super().__init__()
        self.user = event.user
        event.user = Nothing()
        if self.count == 0:
            raise GenrankError(
                "model.context_tokens is on, but no feature of the users is",
                "turn one on, for instance --set model.features.user_id=true, "
                "or --set model.context_tokens=false",
            )

    @property
    def count(self) -> int:
        """F."""
        return len(self.user.fields) + (self.user.id is not None)

    def forward(self, batch: Batch) -> Tensor:
        """[S·F, d], sample by sample."""
        user = batch.history.user.new_zeros(batch.samples)
        # Every event of a sample is its user's; a batch may hold histories or candidates only.
        for events, offsets in (
            (batch.history, batch.history_offsets),
            (batch.candidates, batch.candidate_offsets),
        ):
            some = offsets.diff() > 0
            user[some] = events.user[offsets[:-1][some]]
        return torch.stack(self.user(user), dim=1).flatten(0, 1)


class Nothing(SideEmbedding):
    """A side table of which nothing is embedded."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, row: Tensor) -> list[Tensor]:
        """No part of a sum."""
        return []
