"""What a position may see: two intervals of keys for every row.

Legend: S sequences, T tokens of all sequences (flat), L tokens of one sequence, m candidates of all
sequences (flat). In a sequence the history's tokens come first, then the candidates'.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from genrank_cli.errors import GenrankError, unknown_name

HISTORY_MASKS = ("causal", "full")
CANDIDATE_MASKS = ("isolated", "visible")


@dataclass(frozen=True, eq=False)
class Mask:
    """Row i sees the keys ``start ≤ j < stop`` and its peers ``peer_start ≤ j < peer_stop``.

    Four int64 tensors [T]; places count from the start of the row's own sequence. An interval with
    stop ≤ start is empty. The two intervals of a row never overlap, and a row may see nothing: its
    output is 0.
    """

    start: Tensor
    stop: Tensor
    peer_start: Tensor
    peer_stop: Tensor

    def area(self) -> int:
        """Visible cells of all sequences together: the exact count behind FLOP figures."""
        own = (self.stop - self.start).clamp(min=0).sum()
        peers = (self.peer_stop - self.peer_start).clamp(min=0).sum()
        return int(own + peers)

    def dense(self, offsets: Tensor, sequence: int) -> Tensor:
        """bool [L, L] of one sequence: may row i see key j?  ``offsets`` is int64 [S+1]."""
        first, last = int(offsets[sequence]), int(offsets[sequence + 1])
        keys = torch.arange(last - first, device=self.start.device)
        start, stop = self.start[first:last, None], self.stop[first:last, None]  # [L, 1]
        seen: Tensor = (keys >= start) & (keys < stop)
        start, stop = self.peer_start[first:last, None], self.peer_stop[first:last, None]
        return seen | ((keys >= start) & (keys < stop))

    def to(self, device: torch.device | str) -> Mask:
        """The same mask on another device."""
        return Mask(*(getattr(self, field.name).to(device) for field in fields(self)))


def check_mask(mask: Mask, length: Tensor) -> None:
    """Raise ValueError where a row sees beyond its sequence or counts a key twice.

    ``length`` int64 [T]: tokens of each row's sequence.
    """
    for begin, end in ((mask.start, mask.stop), (mask.peer_start, mask.peer_stop)):
        outside = (end > begin) & ((begin < 0) | (end > length))
        if outside.any():
            row = int(outside.int().argmax())
            raise ValueError(f"the mask of row {row} reaches beyond its sequence")
    first = torch.maximum(mask.start, mask.peer_start)
    twice = first < torch.minimum(mask.stop, mask.peer_stop)
    if twice.any():
        row = int(twice.int().argmax())
        raise ValueError(f"the two intervals of row {row} of the mask overlap")


def packed_mask(
    history_lengths: Tensor,
    candidate_lengths: Tensor,
    prefix: Tensor,
    candidate_group: Tensor,
    *,
    history: str = "causal",
    candidates: str = "isolated",
    window: int | None = None,
) -> Mask:
    """The mask of samples that hold a history and, after it, candidates of one or more requests.

    Parameters
    ----------
    history_lengths, candidate_lengths
        int64 [S], in tokens.
    prefix
        int64 [m]: history tokens that each candidate sees, those before its own request.
    candidate_group
        int64 [m]: the request of each candidate, numbered inside the batch; candidates of one
        request stand together.
    history
        ``causal``: a history row sees the rows before it and itself; ``full``: the whole history.
    candidates
        ``isolated``: a candidate sees itself only; ``visible``: every candidate of its request.
    window
        Newest history tokens that a row sees; with ``full``, those nearer than ``window``.

    Raises `GenrankError` for an unknown name or a window below 1.
    """
    _check(history_lengths, candidate_lengths, prefix, history, candidates, window)
    lengths = history_lengths + candidate_lengths  # [S]
    place = _places(lengths)  # [T]
    is_candidate = place >= history_lengths.repeat_interleave(lengths)  # [T]
    stop = history_lengths.repeat_interleave(lengths) if history == "full" else place + 1
    stop[is_candidate] = prefix
    start = torch.zeros_like(place)
    if window is not None:
        # A history row counts itself in its window; a candidate stands behind its prefix.
        start = torch.where(is_candidate, stop, place + 1).sub_(window).clamp_(min=0)
        stop = torch.where(is_candidate, stop, torch.minimum(stop, place + window))
    own = place[is_candidate]  # [m]
    peer_start, peer_stop = torch.zeros_like(place), torch.zeros_like(place)
    peer_start[is_candidate], peer_stop[is_candidate] = (
        (own, own + 1) if candidates == "isolated" else _group_range(own, candidate_group)
    )
    return Mask(start, stop, peer_start, peer_stop)


def _check(
    history_lengths: Tensor,
    candidate_lengths: Tensor,
    prefix: Tensor,
    history: str,
    candidates: str,
    window: int | None,
) -> None:
    if history not in HISTORY_MASKS:
        raise unknown_name("history mask", history, HISTORY_MASKS)
    if candidates not in CANDIDATE_MASKS:
        raise unknown_name("candidate mask", candidates, CANDIDATE_MASKS)
    if window is not None and window < 1:
        raise GenrankError(f"attention window {window} is below 1", "leave it out for no window")
    # A longer prefix would show a candidate other candidates: a leak that no metric reveals.
    if bool((prefix > history_lengths.repeat_interleave(candidate_lengths)).any()):
        raise ValueError("a candidate's prefix is longer than the history of its sequence")


def _places(lengths: Tensor) -> Tensor:
    """0, 1, … inside each sequence: [S] → [T]."""
    first = lengths.cumsum(0) - lengths
    places = torch.arange(int(lengths.sum()), device=lengths.device)
    return places - first.repeat_interleave(lengths)


def _group_range(own: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last place of each candidate's group; ``own`` int64 [m] places."""
    _, run, size = torch.unique_consecutive(group, return_inverse=True, return_counts=True)
    first = own[size.cumsum(0) - size][run]  # [m]
    return first, first + size[run]
