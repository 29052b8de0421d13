"""Samples: which events are history, which are candidates, and who may see how much.

A sample is two neighbouring ranges of one user's events: the newest history before a window and the
window's candidates. The organisations differ only in where windows are cut:

* ``packed``    all of a user's consecutive requests, up to ``window`` events. The history is
  encoded once and each candidate sees the events of the requests before its own.
* ``grouped``   one request.
* ``pointwise`` one candidate.

In all of them a candidate's visible history begins at the sample's ``history_start`` and ends where
the candidate's own request begins, so that the same arrays describe every organisation.
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
    """Event ranges, all int64 [S]: history from ``history_start``, candidates ``start:stop``."""

    history_start: Indices
    history_stop: Indices
    start: Indices
    stop: Indices

    def __len__(self) -> int:
        return len(self.start)

    @property
    def events(self) -> Indices:
        """History plus candidate events of each sample [S]."""
        return (self.history_stop - self.history_start) + (self.stop - self.start)


def _packed(first: Indices, index: Indices, config: SampleConfig) -> Indices:
    return first // config.window * 2**32 + (index - first) // config.candidates


def _grouped(first: Indices, index: Indices, config: SampleConfig) -> Indices:
    return first * 2**32 + (index - first) // config.candidates


def _pointwise(first: Indices, index: Indices, config: SampleConfig) -> Indices:
    return index


#: name → key of the sample that an event falls into, from the place of its request's first event
#: and its own place, both counted from the start of its run of consecutive events.
ORGANIZATIONS: dict[str, Callable[[Indices, Indices, SampleConfig], Indices]] = {
    "packed": _packed,
    "grouped": _grouped,
    "pointwise": _pointwise,
}


def build_samples(store: Store, chosen: NDArray[np.bool_], config: SampleConfig) -> Samples:
    """Cut the ``chosen`` events (bool [E]) into samples; each becomes a candidate exactly once.

    History is taken from all events of the user, chosen or not: at evaluation the earlier test
    events are known, as in serving. Works through blocks of users, so that memory is that of the
    samples.
    """
    blocks = [_cut(store, chosen, config, *rows) for rows in _user_blocks(store.user_offsets)]
    columns = zip(*blocks, strict=True)
    return Samples(*(np.concatenate(column) for column in columns))


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
    index = np.arange(len(rows)) - run
    request_start = store.request_offsets[store.column("request")[rows]]
    first = np.maximum(request_start - rows[run], 0)
    key = ORGANIZATIONS[config.organization](first, index, config)
    cuts = np.flatnonzero((np.diff(key) != 0) | (np.diff(run) != 0)) + 1
    begin = np.concatenate(([0], cuts))
    end = np.append(cuts, len(rows)) - 1
    oldest = store.user_offsets[user[begin]]
    return (
        np.maximum(oldest, request_start[begin] - config.history),
        request_start[end],
        rows[begin],
        rows[end] + 1,
    )
