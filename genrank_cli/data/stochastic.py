"""Stochastic length (HSTU): long histories are sampled in training, and whole in evaluation.

Legend: S samples, n history events, m candidates.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrank_cli.data.batch import Batch


def kept_length(history: int, alpha: float) -> int:
    """N^(α/2) for N = ``history``, rounded down: what is left of a longer history."""
    return max(1, int(history ** (alpha / 2) + 1e-9))


def kept_events(
    batch: Batch, most: int, random: np.random.Generator, *, newest: bool = False
) -> Tensor:
    """Which history events are kept, bool [n]: all of a sample that has ``most`` at most.

    Of a longer one ``most``: the newest, or any with equal chances. But of a packed sample, whose
    early requests see a part of the history only, one of the events that all candidates with a
    history see is always kept, so that none of them is trained on as if it had no history; where
    all candidates see the whole history, that changes nothing.
    """
    count = len(batch.actions)
    rank = np.arange(count, dtype=np.float64) if newest else random.random(count)
    sample = np.repeat(np.arange(batch.samples), batch.history_lengths.cpu().numpy())
    if not newest:
        rank[_best_of_all(batch, rank)] = 2.0  # above any
    order = np.lexsort((-rank, sample))
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    place -= batch.history_offsets.cpu().numpy()[sample]
    return torch.from_numpy(place < most).to(batch.actions.device)


def _best_of_all(batch: Batch, rank: NDArray[np.float64]) -> NDArray[np.int64]:
    """Of each sample the event of highest rank among those that all its candidates see.

    Candidates without any history do not count; samples of such alone have none.
    """
    prefix, start = batch.prefix.cpu().numpy(), batch.history_offsets.cpu().numpy()
    owner = np.repeat(np.arange(batch.samples), batch.candidate_lengths.cpu().numpy())
    shared = batch.history_lengths.cpu().numpy().copy()
    np.minimum.at(shared, owner[prefix > 0], prefix[prefix > 0])
    samples = np.flatnonzero(shared)
    shared = shared[samples]
    row = np.arange(shared.sum()) - np.repeat(shared.cumsum() - shared - start[samples], shared)
    order = np.lexsort((rank[row], np.repeat(np.arange(len(samples)), shared)))
    best: NDArray[np.int64] = row[order[shared.cumsum() - 1]]
    return best


def thinned(batch: Batch, keep: Tensor) -> Batch:
    """``batch`` as if the history events outside of ``keep``, bool [n], had never been.

    Prefixes, the numbers of requests and the gaps between them are those of the kept events. Times
    count from the same moment as before: only their differences matter.
    """
    if bool(keep.all()):
        return batch
    chosen = keep.nonzero().squeeze(1)
    kept_before = _sums(keep.long())  # [n+1]
    offsets = kept_before[batch.history_offsets]
    first = batch.history_offsets[:-1].repeat_interleave(batch.candidate_lengths)  # [m]
    prefix = kept_before[first + batch.prefix] - kept_before[first]
    history, labels = batch.history.rows(chosen), batch.history_labels
    opened, since, front = _openings(batch)
    number, gap = _of_events(history.request, opened[chosen], front, offsets)
    history = replace(history, request=number, gap=gap.to(history.gap.dtype))
    # What each candidate saw last, and sees last now: -1 + … is read only where there is any.
    sample = torch.arange(batch.samples, device=first.device)
    sample = sample.repeat_interleave(batch.candidate_lengths)  # [m]
    last = (offsets[sample] + prefix - 1).clamp(min=0)
    asked = torch.where(prefix > 0, number[last] + 1, 0)
    asked_gap = torch.where(prefix > 0, since - opened[chosen][last], _after(front[sample], since))
    alone = batch.prefix == 0  # these saw nothing before: nothing changes
    candidates = replace(
        batch.candidates,
        request=torch.where(alone, batch.candidates.request, asked),
        gap=torch.where(alone, batch.candidates.gap, asked_gap.to(history.gap.dtype)),
    )
    return replace(
        batch,
        history=history,
        candidates=candidates,
        actions=batch.actions[chosen],
        history_offsets=offsets,
        prefix=prefix,
        history_labels=None if labels is None else labels[chosen],
    )


def _openings(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """When requests opened, in seconds (float64) from the opening of the sample's first request.

    Those of the history events [n] and of the candidates [m], the latter only where they see any;
    and the gap in front of the first request of each sample [S], −1 for "no earlier request".
    """
    begin, lengths = batch.history_offsets[:-1], batch.history_lengths
    gap = batch.history.gap.double()
    first = torch.zeros_like(batch.history.request, dtype=torch.bool)
    first[begin[lengths > 0]] = True
    step = torch.where(_starts(batch.history.request, first) & ~first, gap, 0.0)
    total = _sums(step)
    opened = total[1:] - total[begin].repeat_interleave(lengths)
    front = gap.new_full((batch.samples,), -1.0)
    front[lengths > 0] = gap[begin[lengths > 0]]
    last = begin.repeat_interleave(batch.candidate_lengths) + batch.prefix - 1
    since = opened[last.clamp(min=0)] + batch.candidates.gap.double()
    return opened, since, front


def _of_events(
    request: Tensor, opened: Tensor, front: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """Numbers and gaps of the requests of kept events, [k] each, in samples by ``offsets``."""
    lengths = offsets.diff()
    first = torch.zeros_like(request, dtype=torch.bool)
    first[offsets[:-1][lengths > 0]] = True
    starts = _starts(request, first)
    run = starts.cumsum(0) - 1  # [k]
    number = run - run[offsets[:-1].clamp(max=len(run) - 1)].repeat_interleave(lengths)
    gap = opened - opened.roll(1)
    gap = torch.where(first, _after(front.repeat_interleave(lengths), opened), gap)
    return number, gap[starts][run]


def _after(front: Tensor, opened: Tensor) -> Tensor:
    """Gap in front of a request without a kept one before it; −1 for a user's first."""
    return torch.where(front < 0, -1.0, front + opened)


def _starts(request: Tensor, first: Tensor) -> Tensor:
    """bool [n]: where a request begins inside its sample; ``first`` marks the samples' first."""
    starts = first.clone()
    starts[1:] |= request[1:] != request[:-1]
    return starts


def _sums(values: Tensor) -> Tensor:
    """0, v0, v0 + v1, …: [n] → [n+1]."""
    return torch.cat((values.new_zeros(1), values.cumsum(0)))
