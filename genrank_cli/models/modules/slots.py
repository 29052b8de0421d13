"""Where a module works in a ranker, what it is built from and what it may look at.

Legend: S samples, n history events, t targets, d width, h units of a hidden layer, K tasks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

import torch
from torch import Tensor, nn

from genrank_cli.data.batch import Batch, Events
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import FeatureConfig
from genrank_cli.models.embeddings import ActionEmbedding, EventEmbedding
from genrank_cli.models.history_loss import as_asked
from genrank_cli.models.schema import Schema


class Slot(StrEnum):
    """What a module's ``forward`` takes and gives.

    ``interest``  (seen) → [t, d]: added to a target's state, or joined to the DLRM's input
    ``gate``      (seen) → one [t, h] for each hidden layer of the bottom, multiplied with its units
    ``bottom``    (states [t, size], gates) → what its ``output(tasks)`` turns into [t, K]
    """

    INTEREST = "interest"
    GATE = "gate"
    BOTTOM = "bottom"


@dataclass(frozen=True)
class Site:
    """Where a module is built in.

    features which columns are known, and how ids are hashed
    width    d, of the embeddings
    size     of the bottom's input
    units    h of each hidden layer of the bottom, of all its tasks together
    hidden   width of the plain bottom's last layer
    dropout  makes the ranker's dropout
    """

    schema: Schema
    features: FeatureConfig
    width: int
    size: int
    units: tuple[int, ...]
    hidden: int
    dropout: Callable[[], nn.Module]


@dataclass(frozen=True, eq=False)
class Embedded:
    """What a ranker has embedded of a batch, the n history events before the m candidates.

    events  [n + m, d]  φ
    items   [n + m, d]  of φ what the items' own tables say; None where these say nothing
    action  [n, d]      ψ
    """

    events: Tensor
    items: Tensor | None
    action: Tensor

    @classmethod
    def of(cls, batch: Batch, event: EventEmbedding, action: ActionEmbedding) -> Embedded:
        """Of a whole batch: one look-up for history and candidates, half the calls."""
        shown, items = event.split(batch.history.followed_by(batch.candidates))
        return cls(shown, items, action(batch.actions))


@dataclass(frozen=True, eq=False)
class Seen:
    """All that a module may look at: the targets, their past, and the ranker's own embeddings.

    Targets are the events that get a score: the candidates, then history positions where the loss
    is taken as well. What is embedded is embedded when a module asks for it.

    batch   history and long history
    event, action  the ranker's embeddings
    events  the targets [t], at the time of their request
    sample  int64 [t]
    prefix  int64 [t]  history events of the sample that the target may see
    known   what the ranker has embedded of the batch, None if nothing
    rows    int64 [t]  the targets there
    """

    batch: Batch
    event: EventEmbedding
    action: ActionEmbedding
    events: Events
    sample: Tensor
    prefix: Tensor
    known: Embedded | None = None
    rows: Tensor | None = None

    @classmethod
    def of(
        cls,
        batch: Batch,
        event: EventEmbedding,
        action: ActionEmbedding,
        history: Tensor | None = None,
        known: Embedded | None = None,
    ) -> Seen:
        """The candidates of ``batch``, then the events ``history`` int64 of its history.

        These see what was known when their own request came, like candidates.
        """
        samples = torch.arange(batch.samples, device=batch.prefix.device)
        events, prefix = batch.candidates, batch.prefix
        rows = len(batch.actions) + torch.arange(len(batch.rows), device=prefix.device)
        sample = samples.repeat_interleave(batch.candidate_lengths)
        if history is not None:
            owner = samples.repeat_interleave(batch.history_lengths)[history]
            asked = as_asked(batch)
            more = replace(
                batch.history.rows(history),
                request=asked.request[history],
                gap=asked.gap[history],
                time=asked.time[history],
            )
            events = events.followed_by(more)
            prefix = torch.cat((prefix, asked.prefix[history]))
            sample = torch.cat((sample, owner))
            rows = torch.cat((rows, history))
        return cls(batch, event, action, events, sample, prefix, known, rows)

    @property
    def target(self) -> Tensor:
        """φ of the targets [t, d]."""
        return self._targets[0]

    @property
    def target_items(self) -> Tensor:
        """`items` of the targets [t, d]."""
        return _some(self._targets[1])

    @cached_property
    def _targets(self) -> tuple[Tensor, Tensor | None]:
        if self.known is None or self.rows is None:
            return self.event.split(self.events)
        items = self.known.items
        return self.known.events[self.rows], None if items is None else items[self.rows]

    @cached_property
    def acted(self) -> Tensor:
        """φ + ψ of the history events [n, d]."""
        if self.known is not None:
            return self.known.events[: len(self.batch.actions)] + self.known.action
        acted: Tensor = self.event(self.batch.history) + self.action(self.batch.actions)
        return acted

    def items(self, item: Tensor) -> Tensor:
        """What the ranker's tables say of items alone, without user and context: [r] → [r, d]."""
        return _some(self.event.items(item))


def _some(items: Tensor | None) -> Tensor:
    if items is None:
        raise GenrankError(
            "every feature of items is off or absent from the dataset",
            "turn one on, for instance --set model.features.item_id=true",
        )
    return items
