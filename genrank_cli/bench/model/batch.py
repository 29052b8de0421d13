"""The batch that every row of a case trains on: drawn, or from a store.

Legend: S samples, n history events and m candidates of one sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from genrank_cli.bench.batches import drawn_batch
from genrank_cli.bench.model.plan import Request
from genrank_cli.data.batch import Batch, Events
from genrank_cli.errors import GenrankError
from genrank_cli.models.example import made_up_schema
from genrank_cli.models.schema import Schema


@dataclass(frozen=True)
class Input:
    """A case's batch, on the CPU, and the schema of the models that read it."""

    batch: Batch
    schema: Schema


def make_input(request: Request, seq_len: int) -> Input:
    """The input of a case; the same for the same request."""
    if request.dataset is not None:
        return _real(request, seq_len)
    events = seq_len // 2
    schema = made_up_schema(2 * events if request.samples == "packed" else events)
    lengths = _lengths(request, events)
    made = [_sample(request, n, schema, seed) for seed, n in enumerate(lengths)]
    return Input(joined(made), schema)


def _lengths(request: Request, events: int) -> list[int]:
    """Events of each sample: all alike, or n with probability ∝ 1/n (Zipf), from seed 0."""
    if request.lengths == "fixed":
        return [events] * request.batch_size
    unit = request.candidates if request.samples == "packed" else 1  # whole requests only
    choices = np.arange(unit, events + 1, unit)
    weights = 1.0 / choices
    random = np.random.default_rng(0)
    return [int(n) for n in random.choice(choices, request.batch_size, p=weights / weights.sum())]


def _sample(request: Request, events: int, schema: Schema, seed: int) -> Batch:
    if request.samples == "packed":
        return packed(events, request.candidates, schema, seed)
    return drawn_batch(1, events, request.candidates, schema, seed)


def packed(events: int, per_request: int, schema: Schema, seed: int) -> Batch:
    """One sample of n = ``events`` events that are all candidates as well, m = n.

    Requests of ``per_request`` events follow each other. A candidate sees the events of earlier
    requests, at the moment of its own.
    """
    drawn = drawn_batch(1, events, 1, schema, seed)
    group = torch.arange(events) // per_request
    first = group * per_request  # the first event of each one's request
    history = drawn.history
    history = replace(history, time=history.time[first], request=group, gap=history.gap[first])
    return Batch(
        history=history,
        candidates=history,
        actions=drawn.actions,
        history_offsets=torch.tensor([0, events]),
        candidate_offsets=torch.tensor([0, events]),
        prefix=first,
        group=group,
        labels=(drawn.actions & 1).float().unsqueeze(1).expand(-1, len(schema.tasks)).contiguous(),
        rows=torch.arange(events),
    )


def joined(batches: Sequence[Batch]) -> Batch:
    """The samples of all ``batches`` as one batch."""
    history, candidates = (
        _stacked([getattr(batch, side) for batch in batches]) for side in ("history", "candidates")
    )
    groups = np.cumsum([0, *(int(batch.group.max()) + 1 for batch in batches[:-1])])
    return Batch(
        history=history,
        candidates=candidates,
        actions=torch.cat([batch.actions for batch in batches]),
        history_offsets=_offsets([batch.history_offsets for batch in batches]),
        candidate_offsets=_offsets([batch.candidate_offsets for batch in batches]),
        prefix=torch.cat([batch.prefix for batch in batches]),
        group=torch.cat([b.group + int(g) for b, g in zip(batches, groups, strict=True)]),
        labels=torch.cat([batch.labels for batch in batches]),
        rows=torch.arange(sum(len(batch.rows) for batch in batches)),
    )


def _stacked(sides: Sequence[Events]) -> Events:
    return Events(
        **{
            one.name: torch.cat([getattr(side, one.name) for side in sides])
            for one in fields(Events)
        }
    )


def _offsets(parts: Sequence[torch.Tensor]) -> torch.Tensor:
    lengths = torch.cat([part.diff() for part in parts])
    return torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)))


def _real(request: Request, seq_len: int) -> Input:
    """The batch in the middle of an epoch of the store, sorted by length."""
    from genrank_cli.data.build import ensure_store
    from genrank_cli.training.prepare import prepare

    assert request.dataset is not None
    store = ensure_store(request.dataset)
    prepared = prepare(store, request.config(request.base, seq_len))
    order = prepared.train.in_order()
    if not order:
        raise GenrankError(f"{request.dataset} has no training sample")
    return Input(prepared.train.batch(order[len(order) // 2]), prepared.schema)
