"""Samples: which events are history, which are candidates, and who may see how much.

A sample is two neighbouring ranges of one user's events: the newest history before a window and the
window's candidates. The organisations differ only in where windows are cut:

* ``packed``    all of a user's consecutive requests, up to ``window`` events. The history is
  encoded once and each candidate sees the events of the requests before its own.
* ``grouped``   one request, at most ``candidates`` of it: the rest of it is a sample of its own.
* ``pointwise`` one candidate, trained on in the order of the log: a batch holds neighbours in time.
* ``shuffled``  one candidate, in random order, as the samples of the first two are.

In all of them a candidate's visible history begins at the sample's ``history_start`` and ends
before the first event that is not earlier than the candidate's own request, so that the same arrays
describe every organisation. Where requests come from a column, two of one user may share a moment,
or one may last until the next begins: nobody knows which outcome was first, so neither sees the
other's events of that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.data.store import Store
from genrank_cli.errors import one_of

Indices = NDArray[np.int64]

BLOCK_ROWS = 1 << 22  # events cut at a time; about 80 bytes each


class SampleConfig(Frozen):
    """How events are cut into samples; all sizes are in events."""

    organization: str = "packed"
    history: int = Field(128, ge=1, description="newest events kept before a window")
    window: int = Field(256, ge=1, description="events of a packed window")
    candidates: int = Field(256, ge=1, description="cap on the candidates taken from one request")
    long_history: int = Field(0, ge=0, description="events before the history, to be searched")

    @field_validator("organization")
    @classmethod
    def _known(cls, name: str) -> str:
        return one_of("sample organization", name, ORGANIZATIONS)

    @property
    def longest_history(self) -> int:
        """Upper bound on the events that any candidate sees."""
        return self.history + (self.window if self.organization == "packed" else 0)


@dataclass(frozen=True)
class Samples:
    """Event ranges, all int64 [S]: history from ``history_start``, candidates ``start:stop``.

    Up to ``long_history`` older events go with each sample; they do not count as its events.
    ``by_time``: batches of training are made of samples that are neighbours in time.
    """

    history_start: Indices
    history_stop: Indices
    start: Indices
    stop: Indices
    long_history: int = 0
    by_time: bool = False

    def __len__(self) -> int:
        return len(self.start)

    @property
    def events(self) -> Indices:
        """History plus candidate events of each sample [S]."""
        return (self.history_stop - self.history_start) + (self.stop - self.start)


@dataclass(frozen=True)
class Places:
    """Where candidates stand, int64 [n] each, all counted from one origin of a run of events.

    ``seen`` is where the history ends that the request sees, ``first`` the request's first event,
    ``own`` the candidate itself; ``seen`` <= ``first`` <= ``own``.
    """

    seen: Indices
    first: Indices
    own: Indices


def _packed(at: Places, config: SampleConfig) -> Indices:
    # Both only grow, so that their sum changes wherever one does: neither the histories of a
    # window nor its candidates spread over more than its size.
    window = at.seen // config.window + at.first // config.window
    return window * 2**32 + (at.own - at.first) // config.candidates


def _grouped(at: Places, config: SampleConfig) -> Indices:
    return at.first * 2**32 + (at.own - at.first) // config.candidates


def _pointwise(at: Places, config: SampleConfig) -> Indices:
    return at.own


#: name → key of the sample that an event falls into
ORGANIZATIONS: dict[str, Callable[[Places, SampleConfig], Indices]] = {
    "packed": _packed,
    "grouped": _grouped,
    "pointwise": _pointwise,
    "shuffled": _pointwise,
}
#: Organisations whose batches keep the order of the log.
BY_TIME = ("pointwise",)


def build_samples(store: Store, chosen: NDArray[np.bool_], config: SampleConfig) -> Samples:
    """Cut the ``chosen`` events (bool [E]) into samples; each becomes a candidate exactly once.

    History is taken from all events of the user, chosen or not: at evaluation the earlier test
    events are known, as in serving. Works through blocks of users, so that memory is that of the
    samples.
    """
    blocks = [_cut(store, chosen, config, *rows) for rows in _user_blocks(store.user_offsets)]
    start, stop, first, last = (np.concatenate(column) for column in zip(*blocks, strict=True))
    return Samples(
        start,
        stop,
        first,
        last,
        long_history=config.long_history,
        by_time=config.organization in BY_TIME,
    )


def _user_blocks(user_offsets: Indices) -> Iterator[tuple[int, int]]:
    """Row ranges of whole users, about `BLOCK_ROWS` long."""
    rows = int(user_offsets[-1])
    users = np.searchsorted(user_offsets, np.arange(BLOCK_ROWS, rows, BLOCK_ROWS))
    bounds = np.unique(np.concatenate(([0], user_offsets[users], [rows])))
    yield from zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)


def _cut(
    store: Store, chosen: NDArray[np.bool_], config: SampleConfig, start: int, stop: int
) -> tuple[Indices, Indices, Indices, Indices]:
    """The columns of `Samples` for the rows ``start`` to ``stop``, all those of some users."""
    rows = start + np.flatnonzero(chosen[start:stop]).astype(np.int64)
    if not len(rows):
        return rows, rows, rows, rows
    user = store.column("user")[rows]
    breaks = np.flatnonzero((np.diff(rows) != 1) | (user[1:] != user[:-1])) + 1
    run_start = np.concatenate(([0], breaks))
    run = np.repeat(run_start, np.diff(np.append(run_start, len(rows))))
    request_start = store.request_offsets[store.column("request")[rows]]
    oldest = store.user_offsets[user]
    seen = seen_until(store.column("timestamp"), oldest, request_start)
    origin = np.minimum(rows, seen)[run]
    at = Places(seen - origin, request_start - origin, rows - origin)
    key = ORGANIZATIONS[config.organization](at, config)
    cuts = np.flatnonzero((np.diff(key) != 0) | (np.diff(run) != 0)) + 1
    begin = np.concatenate(([0], cuts))
    end = np.append(cuts, len(rows)) - 1
    return (
        np.maximum(oldest[begin], seen[begin] - config.history),
        seen[end],
        rows[begin],
        rows[end] + 1,
    )


def seen_until(time: NDArray[np.float64], oldest: Indices, opening: Indices) -> Indices:
    """Where the history ends that a request may see, int64 [n]: the first row at its moment.

    ``time`` [E] are the times of all events, ``opening`` [n] the first rows of the requests,
    ``oldest`` [n] rows of the same users that are not later. The history ends at ``opening`` unless
    events of the same moment stand before it.
    """
    seen = opening.copy()
    tied = np.flatnonzero((opening > oldest) & (time[opening - 1] == time[opening]))
    low, high, moment = oldest[tied], opening[tied], time[opening[tied]]
    while (low < high).any():  # halves every range: times of one user ascend
        middle = (low + high) // 2
        reached = time[middle] >= moment
        high = np.where(reached, middle, high)
        low = np.where(reached, low, middle + 1)
    seen[tied] = high
    return seen
