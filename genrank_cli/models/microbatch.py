"""Where the candidates of a micro-batch stand, and what they see, behind histories kept as keys.

Legend: S users, m candidates of all users (flat), r candidates of a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genrank_cli.attention import Mask


@dataclass(frozen=True, eq=False)
class Places:
    """The places of the candidates of a micro-batch.

    chosen    which of the m candidates: a slice, or bool [m]
    counts    int64 [S]    how many of each user
    own       int64 [r]    place among the history and the candidates of their user
    slot      int64 [r]    token among the keys of all users
    position  int64 [r]    virtual place, in tokens: so many of the history's they see
    time      float64 [r]
    """

    chosen: slice | Tensor
    counts: Tensor
    own: Tensor
    slot: Tensor
    position: Tensor
    time: Tensor

    def same(self, other: Places) -> bool:
        """Whether the candidates of another micro-batch of the same call stand there, too."""
        mine = self.counts, self.position, self.time
        others = other.counts, other.position, other.time
        return all(torch.equal(a, b) for a, b in zip(mine, others, strict=True))

    def bounds(self) -> Tensor:
        """int64 [S+1]: the rows of each user."""
        return torch.cat((self.counts.new_zeros(1), self.counts.cumsum(0)))


def micro_batches(
    lengths: Tensor, history: Tensor, first: Tensor, position: Tensor, time: Tensor, size: int
) -> Iterator[Places]:
    """The candidates 0 … size − 1 of every user, then the next.

    ``lengths``, ``history``, ``first`` int64 [S]: candidates, history tokens and first key of each
    user; ``position``, ``time`` [m].
    """
    user = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)  # [m]
    start = lengths.cumsum(0) - lengths  # [S]
    local = torch.arange(len(user), device=user.device) - start[user]  # [m]
    own = history[user] + local % size  # [m]
    columns = own, first[user] + own, position, time
    for begin in range(0, int(lengths.max()) if len(user) else 0, size):
        chosen = (
            slice(begin, begin + size)  # a view: one user is what a server has
            if len(lengths) == 1
            else (local >= begin) & (local < begin + size)
        )
        counts = (lengths - begin).clamp(0, size)
        yield Places(chosen, counts, *(column[chosen] for column in columns))


def candidate_mask(
    places: Places,
    group: Tensor,
    *,
    candidates: str = "isolated",
    window: int | None = None,
    context: int = 0,
) -> Mask:
    """The rows of `packed_mask` that are candidates, without building the others.

    ``group`` int64 [r]; of ``visible`` candidates all of a request must be there.
    ``context``: contextual tokens before every history, which the places do not count.
    """
    own, stop = places.own + context, places.position + context
    start = torch.zeros_like(own)
    if window is not None:
        # A window that reaches the contextual tokens is one interval with them.
        start = torch.where(stop - window > context, stop - window, 0)
    shown = torch.where(start > 0, context, 0)
    peers = (own, own + 1) if candidates == "isolated" else _request(own, group)
    return Mask(shown, start, stop, *peers)


def _request(own: Tensor, group: Tensor) -> tuple[Tensor, Tensor]:
    """First and one past the last place of each candidate's request, [r]."""
    _, run, size = torch.unique_consecutive(group, return_inverse=True, return_counts=True)
    first = own[size.cumsum(0) - size][run]
    return first, first + size[run]
