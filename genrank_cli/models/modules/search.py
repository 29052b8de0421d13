"""SIM's general search: which long-history events of its user are worth a target's attention.

Both searches give, for each target, rows int64 [t, k] of the long history and whether there is such
a row, bool [t, k]. Neither builds anything of size targets × longest history.

Legend: S samples, l long-history events of all samples, t targets, k events wanted,
F values of a field, u distinct items, d width, P tiles of C targets, B events of a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

Found = tuple[Tensor, Tensor]

TARGETS = 32  # of one sample, scored against a block of events by one product
BLOCK = 256  # events that are scored together
LOWEST = -(2**63)  # below the rank of any event


def hard_search(wanted: Tensor, codes: Tensor, sample: Tensor, offsets: Tensor, top: int) -> Found:
    """The newest ``top`` events that share a code with the target, newest first.

    ``wanted`` int64 [t, F] and ``codes`` int64 [l, F] are the values of a field, 0 = none; one
    value in common is enough. ``sample`` int64 [t], ``offsets`` int64 [S+1] of the events.
    """
    events = len(codes)
    size = int(torch.maximum(wanted.max(), codes.max())) + 1 if len(wanted) and events else 1
    owner = torch.arange(len(offsets) - 1, device=codes.device).repeat_interleave(offsets.diff())
    row = torch.arange(events, device=codes.device).unsqueeze(1)
    key = (owner.unsqueeze(1) * size + codes) * events + row  # [l, F]
    # SIM's tree of user → category → events: sorted, and an event once under each of its codes.
    index = torch.unique(key[codes > 0])
    if not len(index):
        return _found(wanted.new_full((len(wanted), top), -1))
    asked = (sample.unsqueeze(1) * size + wanted) * events  # [t, F]
    low, high = torch.searchsorted(index, asked), torch.searchsorted(index, asked + events)
    place = high.unsqueeze(-1) - torch.arange(1, top + 1, device=codes.device)  # [t, F, k]
    rows = index[place.clamp(min=0)] % events
    rows = torch.where(place >= low.unsqueeze(-1), rows, -1)
    return _found(_newest(rows))


def _newest(rows: Tensor) -> Tensor:
    """The largest of the values of all F [t, F, k], each once: descending [t, k], −1 = none."""
    top = rows.shape[-1]
    if rows.shape[1] == 1:
        return rows.squeeze(1)
    ordered = rows.flatten(1).sort(descending=True).values
    again = ordered[:, 1:] == ordered[:, :-1]
    ordered[:, 1:] = ordered[:, 1:].masked_fill(again, -1)
    return ordered.sort(descending=True).values[:, :top]


def _found(rows: Tensor) -> Found:
    return rows.clamp(min=0), rows >= 0


def soft_search(
    vectors: Tensor, wanted: Tensor, held: Tensor, sample: Tensor, offsets: Tensor, top: int
) -> Found:
    """The ``top`` events of largest inner product with the target; of equals, the newer first.

    ``vectors`` [u, d]; ``wanted`` int64 [t] and ``held`` int64 [l] say which of them a target and
    an event have. ``sample`` int64 [t], ``offsets`` int64 [S+1] of the events.
    """
    if not len(wanted):
        return _found(wanted.new_empty((0, top)))
    # Products in float64, compared in float32: what is equal stays equal in every batch.
    vectors = vectors.detach().double()
    lengths = offsets.diff()
    owner, target = _tiles(sample, len(lengths))
    exists = target >= 0
    target = target.clamp(min=0)
    best = wanted.new_full((*target.shape, top), LOWEST)  # [P, C, k]
    query = vectors[wanted[target]]  # [P, C, d]
    for active, place in _blocks(lengths[owner]):
        row = offsets[owner[active]].unsqueeze(1) + place  # [A, B], of the A active tiles
        known = place < lengths[owner[active]].unsqueeze(1)
        keys = vectors[held[torch.where(known, row, 0)]]  # [A, B, d]
        rank = _rank(torch.bmm(query[active], keys.transpose(1, 2)), place)  # [A, C, B]
        rank = rank.masked_fill(~known.unsqueeze(1), LOWEST)
        best[active] = torch.cat((best[active], rank), dim=-1).topk(top).values
    rank = wanted.new_empty((len(wanted), top))
    rank[target[exists]] = best[exists]
    rows = offsets[sample].unsqueeze(1) + (rank & 0xFFFFFFFF)
    return _found(torch.where(rank > LOWEST, rows, -1))


def _tiles(sample: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Up to C targets of one sample together.

    The sample of each tile int64 [P], and its targets int64 [P, C], −1 where there is none.
    """
    count = torch.bincount(sample, minlength=samples)  # [S]
    width = min(TARGETS, int(count.max()))
    tiles = (count + width - 1) // width
    owner = torch.arange(samples, device=sample.device).repeat_interleave(tiles)
    number = torch.arange(len(owner), device=sample.device) - (tiles.cumsum(0) - tiles)[owner]
    stop = count.cumsum(0)
    first = (stop - count)[owner] + number * width
    place = first.unsqueeze(1) + torch.arange(width, device=sample.device)
    ordered = sample.argsort(stable=True)
    exists = place < stop[owner].unsqueeze(1)
    return owner, torch.where(exists, ordered[torch.where(exists, place, 0)], -1)


def _blocks(lengths: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """The tiles int64 [A] that have events so far back, and the events' places int64 [B]."""
    longest = int(lengths.max()) if len(lengths) else 0
    for begin in range(0, longest, BLOCK):
        place = torch.arange(begin, min(begin + BLOCK, longest), device=lengths.device)
        yield (lengths > begin).nonzero().squeeze(1), place


def _rank(score: Tensor, place: Tensor) -> Tensor:
    """One int64 that orders by score [..., B], then by place [B]; no two events are equal."""
    bits = (score.float() + 0.0).view(torch.int32)  # + 0.0: there is no −0
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # as integers they now compare like the floats
    return (ordered.long() << 32) | place
