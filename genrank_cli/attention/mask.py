"""What a position may see: three intervals of keys for every row.

Legend: S sequences, T tokens of all sequences (flat), R rows of all sequences, L tokens of one
sequence, m candidates of all sequences (flat). In a sequence come first the contextual tokens, then
the history's, then the candidates'.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from genrank_cli.errors import GenrankError, unknown_name

HISTORY_MASKS = ("causal", "full")
CANDIDATE_MASKS = ("isolated", "visible")
CONTEXT_MASKS = ("own", "history")


@dataclass(frozen=True, eq=False)
class Mask:
    """Row i sees the keys ``j < context``, ``start ≤ j < stop`` and ``peer_start ≤ j < peer_stop``.

    Five int64 tensors [R]; places count from the start of the keys of the row's own sequence. An
    interval with stop ≤ start is empty. The intervals of a row never overlap, and a row may see
    nothing: its output is 0. ``context`` is above 0 only where a window leaves a gap behind the
    contextual tokens.
    """

    context: Tensor
    start: Tensor
    stop: Tensor
    peer_start: Tensor
    peer_stop: Tensor

    @classmethod
    def of(cls, start: Tensor, stop: Tensor) -> Mask:
        """Each row sees one interval."""
        nothing = torch.zeros_like(start)
        return cls(nothing, start, stop, nothing, nothing)

    def tensors(self) -> tuple[Tensor, ...]:
        """The five, in the order of the fields."""
        return self.context, self.start, self.stop, self.peer_start, self.peer_stop

    def intervals(self) -> tuple[tuple[Tensor, Tensor], ...]:
        """(first key, one past the last key) of the three intervals, [R] each."""
        return (
            (torch.zeros_like(self.context), self.context),
            (self.start, self.stop),
            (self.peer_start, self.peer_stop),
        )

    def area(self) -> int:
        """Visible cells of all sequences together: the exact count behind FLOP figures."""
        return sum(int((stop - start).clamp(min=0).sum()) for start, stop in self.intervals())

    def dense(self, offsets: Tensor, sequence: int, row_offsets: Tensor | None = None) -> Tensor:
        """bool [rows, L] of one sequence: may row i see key j?

        ``offsets``, ``row_offsets`` int64 [S+1] of the keys and the rows (None: rows are the keys).
        """
        length = int(offsets[sequence + 1] - offsets[sequence])
        bounds = offsets if row_offsets is None else row_offsets
        rows = slice(int(bounds[sequence]), int(bounds[sequence + 1]))
        keys = torch.arange(length, device=self.start.device)
        seen = torch.zeros(rows.stop - rows.start, length, dtype=torch.bool, device=keys.device)
        for start, stop in self.intervals():
            seen |= (keys >= start[rows, None]) & (keys < stop[rows, None])
        return seen

    def rows(self, chosen: Tensor) -> Mask:
        """The mask of some rows only, [n] of any index."""
        return Mask(*(x[chosen] for x in self.tensors()))

    def to(self, device: torch.device | str) -> Mask:
        """The same mask on another device."""
        return Mask(*(x.to(device) for x in self.tensors()))


def check_mask(mask: Mask, length: Tensor) -> None:
    """Raise ValueError where a row sees beyond its sequence or counts a key twice.

    ``length`` int64 [R]: keys of each row's sequence.
    """
    for begin, end in mask.intervals():
        outside = (end > begin) & ((begin < 0) | (end > length))
        if outside.any():
            row = int(outside.int().argmax())
            raise ValueError(f"the mask of row {row} reaches beyond its sequence")
    for one, other in combinations(mask.intervals(), 2):
        first = torch.maximum(one[0], other[0])
        twice = first < torch.minimum(one[1], other[1])
        if twice.any():
            row = int(twice.int().argmax())
            raise ValueError(f"the intervals of row {row} of the mask overlap")


def packed_mask(
    history_lengths: Tensor,
    candidate_lengths: Tensor,
    prefix: Tensor,
    candidate_group: Tensor,
    *,
    history: str = "causal",
    candidates: str = "isolated",
    window: int | None = None,
    context_lengths: Tensor | None = None,
    context: str = "own",
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
    context_lengths
        int64 [S]: contextual tokens before the history (None: none). Every row sees all of them,
        whatever its window; ``history_lengths`` and ``prefix`` do not count them.
    context
        What the contextual rows see: ``own``: each other; ``history``: all the history as well, so
        that whoever sees them sees the history's end (a leak wherever a prefix is shorter).

    Raises `GenrankError` for an unknown name or a window below 1.
    """
    _check(history_lengths, candidate_lengths, prefix, history, candidates, window)
    if context not in CONTEXT_MASKS:
        raise unknown_name("context mask", context, CONTEXT_MASKS)
    if context_lengths is None:
        context_lengths = torch.zeros_like(history_lengths)
    lengths = context_lengths + history_lengths + candidate_lengths  # [S]
    place = _places(lengths)  # [T]
    before = context_lengths.repeat_interleave(lengths)  # [T]
    end = before + history_lengths.repeat_interleave(lengths)  # [T], of the history
    is_candidate, is_context = place >= end, place < before
    stop = end.clone() if history == "full" else place + 1
    stop[is_candidate] = before[is_candidate] + prefix
    start = torch.zeros_like(place)
    if window is not None:
        # A history row counts itself in its window; a candidate stands behind its prefix.
        start = torch.where(is_candidate, stop, place + 1).sub_(window)
        stop = torch.where(is_candidate, stop, torch.minimum(stop, place + window))
    # A window that reaches the contextual tokens is one interval with them.
    start = torch.where(start > before, start, 0)
    stop = torch.where(is_context, before if context == "own" else end, stop)
    own = place[is_candidate]  # [m]
    peer_start, peer_stop = torch.zeros_like(place), torch.zeros_like(place)
    peer_start[is_candidate], peer_stop[is_candidate] = (
        (own, own + 1) if candidates == "isolated" else _group_range(own, candidate_group)
    )
    shown = torch.where(start > 0, before, 0)
    return Mask(shown, start, stop, peer_start, peer_stop)


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
