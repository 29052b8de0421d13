"""Training on history events as well as on candidates (PAPER section 4, ``loss.history``).

* interleaved      at the item tokens of the chosen events: their actions come one token later.
* action-oriented  a history token already holds its action, so masked copies of the chosen events
                   join the sample as further candidates. Each sees what it would see as a
                   candidate: the events before its own request, and itself.

Legend: S samples, n history events, m candidates, h chosen history events, K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrank_cli.data.batch import Batch
from genrank_cli.models.config import GenerativeConfig


def trains_on_history(config: object) -> bool:
    """Whether batches need the labels of their histories."""
    return isinstance(config, GenerativeConfig) and config.history_loss > 0


def chosen_events(batch: Batch, share: float, random: np.random.Generator) -> Tensor:
    """History events to be trained on, int64 [h]: each with probability ``share``.

    Only those that are learnt from at all (`Batch.history_labels`).
    """
    labels = batch.history_labels
    if labels is None:
        raise ValueError("this batch was made without the labels of its history")
    known = ~labels.isnan().any(dim=1)
    drawn = torch.from_numpy(random.random(len(known)) < share).to(known.device)
    return (known & drawn).nonzero().squeeze(1)


def with_history(model: Any, batch: Batch, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs and labels of the candidates and of the ``chosen`` history events, [m + h, K]."""
    if model.organization.masks_actions:
        more = with_copies(batch, chosen)
        return model(more), more.labels
    assert batch.history_labels is not None  # `chosen_events` has looked
    return model(batch, chosen), torch.cat((batch.labels, batch.history_labels[chosen]))


@dataclass(frozen=True)
class AsAsked:
    """What was known of each history event when its request came, [n] each.

    prefix   int64    events of its sample before the moment of its request
    request  int64    as for a candidate: of requests that share a moment, the number of the first
    gap      float32  and its gap
    time     float64  of the request
    """

    prefix: Tensor
    request: Tensor
    gap: Tensor
    time: Tensor


def as_asked(batch: Batch) -> AsAsked:
    """The history events of ``batch`` as candidates of their own requests.

    Of a request that began before its sample's history, the first known event counts as its start:
    such an event sees nothing, whatever its time.
    """
    history = batch.history
    begin = batch.history_offsets[:-1].repeat_interleave(batch.history_lengths)  # [n]
    opening = _first_of_run(begin, history.request)  # [n], first event of the event's request
    moment = _first_of_run(begin, history.time)
    seen = moment[opening]  # first event at the moment of the request
    # A request that began earlier and lasts until that moment is not the first that began then.
    began = torch.where(opening[seen] == seen, seen, _next_run(opening)[seen])
    return AsAsked(
        prefix=seen - begin,
        request=history.request[began],
        gap=history.gap[began],
        time=history.time[opening],
    )


def with_copies(batch: Batch, chosen: Tensor) -> Batch:
    """``batch`` with masked copies of ``chosen`` history events behind each sample's candidates.

    Each copy is a request of its own; its row is −1. Where there is a long history, events without
    any before them are left out: their request may have begun inside it.
    """
    known = as_asked(batch)
    if batch.long_history is not None:
        chosen = chosen[known.prefix[chosen] > 0]
    copies = replace(
        batch.history.rows(chosen),
        request=known.request[chosen],
        gap=known.gap[chosen],
        time=known.time[chosen],
    )
    samples = torch.arange(batch.samples, device=chosen.device)
    of_copy = samples.repeat_interleave(batch.history_lengths)[chosen]
    sample = torch.cat((samples.repeat_interleave(batch.candidate_lengths), of_copy))
    order = sample.argsort(stable=True)
    counts = batch.candidate_lengths + torch.bincount(of_copy, minlength=batch.samples)
    assert batch.history_labels is not None  # `chosen_events` has looked
    group = len(batch.group) + torch.arange(len(chosen), device=chosen.device)
    return replace(
        batch,
        candidates=batch.candidates.followed_by(copies).rows(order),
        candidate_offsets=torch.cat((batch.candidate_offsets[:1], counts.cumsum(0))),
        prefix=torch.cat((batch.prefix, known.prefix[chosen]))[order],
        group=torch.cat((batch.group, group))[order],
        labels=torch.cat((batch.labels, batch.history_labels[chosen]))[order],
        rows=torch.cat((batch.rows, torch.full_like(chosen, -1)))[order],
    )


def _first_of_run(begin: Tensor, values: Tensor) -> Tensor:
    """The first event of each run of equal values inside a sample, int64 [n]."""
    starts = torch.ones_like(begin, dtype=torch.bool)
    starts[1:] = (begin[1:] != begin[:-1]) | (values[1:] != values[:-1])
    return starts.nonzero().squeeze(1)[starts.cumsum(0) - 1]


def _next_run(first: Tensor) -> Tensor:
    """The first event of the run after each event's own; the last run has itself, int64 [n]."""
    starts = torch.unique_consecutive(first)
    following: Tensor = torch.searchsorted(starts, first, right=True)
    found: Tensor = starts[following.clamp(max=len(starts) - 1)]
    return found
