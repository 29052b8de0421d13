"""Ranges of a store's rows as event tensors.

What depends on a candidate's request only is computed once per request and repeated. Picking rows
one by one from a mapped file is as fast as copying whole ranges (measured at 480 events a sample),
as long as the column is a plain array and not numpy's memmap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from genrank_cli.data.batch import Events
from genrank_cli.data.buckets import Boundaries, Coder
from genrank_cli.data.longhistory import LongHistory, long_start
from genrank_cli.data.samples import seen_until
from genrank_cli.data.store import Store

Indices = npt.NDArray[np.int64]


def concatenated_ranges(start: Indices, length: Indices) -> Indices:
    """``start[0], start[0]+1, …, start[1], …``: the rows of all ranges, one after the other."""
    ends = np.cumsum(length)
    return np.repeat(start - (ends - length), length) + np.arange(ends[-1] if len(ends) else 0)


def offsets_of(length: Indices) -> Indices:
    """Bounds of the ranges when they lie one after the other, [n + 1]."""
    offsets = np.zeros(len(length) + 1, np.int64)
    np.cumsum(length, out=offsets[1:])
    return offsets


@dataclass(frozen=True)
class Ranges:
    """Rows ``start[s]`` to ``stop[s]`` of each of S samples, int64 [S]; n rows in all."""

    start: Indices
    stop: Indices

    @cached_property
    def length(self) -> Indices:
        return self.stop - self.start

    @cached_property
    def rows(self) -> Indices:
        """Row numbers, [n]."""
        return concatenated_ranges(self.start, self.length)

    def take(self, column: npt.NDArray[Any], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """The rows of an event column as an array of its own, [n]."""
        return column[self.rows].astype(dtype, copy=False)


class EventReader:
    """The event columns that models read; one for all parts of a split."""

    def __init__(self, store: Store, boundaries: Mapping[str, Boundaries]) -> None:
        self.item = store.column("item")
        self.user = store.column("user")
        self.time = store.column("timestamp")
        self.request = store.column("request")
        self.actions = store.column("actions")
        self.request_start = store.request_offsets
        self.user_start = store.user_offsets
        self.gap = request_gaps(store)
        self._context = [store.column(f"context.{name}") for name in store.manifest.context]
        self._numbers = [store.column(name) for name in boundaries]
        self._coder = Coder(list(boundaries.values()))

    def history(self, ranges: Ranges) -> Events:
        """The events in ``ranges``, seen from the first event of each."""
        request = ranges.take(self.request, np.int64)
        time = ranges.take(self.time, np.float64)
        time -= np.repeat(self.time[ranges.start], ranges.length)
        return self._events(ranges, ranges.start, request, time, self.gap[request])

    def candidates(self, ranges: Ranges, first: Indices) -> tuple[Events, Indices, Indices]:
        """The events in ``ranges``, seen from the rows ``first`` [S] and known by their request.

        With them, [n] each: the number of each event's request inside the batch, counted anew in
        every sample, and the row at which the history ends that this request sees. Requests that
        share a moment have the number and the gap of the first: none knows of the others.
        """
        request = ranges.take(self.request, np.int64)
        begins = np.ones(len(request), np.bool_)
        np.not_equal(request[1:], request[:-1], out=begins[1:])
        begins[offsets_of(ranges.length)[:-1]] = True
        group = np.cumsum(begins) - 1
        opening = self.request_start[request[begins]]  # [requests]
        origin = np.repeat(first, ranges.length)
        seen = seen_until(self.time, origin[begins], opening)
        at_moment = self.request[seen].astype(np.int64)
        at_moment += self.request_start[at_moment] < seen  # that one began earlier and lasts
        time = self.time[opening][group] - self.time[origin]
        gap = self.gap[at_moment][group]
        events = self._events(ranges, first, at_moment[group], time, gap)
        return events, group, seen[group]

    def long_history(self, first: Indices, longest: int) -> LongHistory:
        """Up to ``longest`` events before each of the rows ``first`` [S], seen from there."""
        oldest = self.user_start[self.user[first]]
        ranges = Ranges(long_start(oldest, first, longest), first)
        time = ranges.take(self.time, np.float64) - np.repeat(self.time[first], ranges.length)
        return LongHistory(
            item=torch.from_numpy(ranges.take(self.item, np.int64)),
            actions=torch.from_numpy(ranges.take(self.actions, np.int64)),
            time=torch.from_numpy(time),
            offsets=torch.from_numpy(offsets_of(ranges.length)),
        )

    def _events(
        self,
        ranges: Ranges,
        first: Indices,
        request: Indices,
        time: npt.NDArray[np.float64],
        gap: npt.NDArray[np.float32],
    ) -> Events:
        length = ranges.length
        earliest = self.request[first].astype(np.int64)
        return Events(
            item=torch.from_numpy(ranges.take(self.item, np.int64)),
            user=torch.from_numpy(np.repeat(self.user[first].astype(np.int64), length)),
            time=torch.from_numpy(time),
            request=torch.from_numpy(request - np.repeat(earliest, length)),
            gap=torch.from_numpy(gap),
            context=torch.from_numpy(self._codes(ranges)).T,
        )

    def _codes(self, ranges: Ranges) -> Indices:
        """[C, n]: context columns, then the event's numbers in buckets."""
        size, context = len(ranges.rows), len(self._context)
        codes = np.empty((context + len(self._numbers), size), np.int64)
        for place, column in enumerate(self._context):
            codes[place] = column[ranges.rows]
        if self._numbers:
            values = np.empty((len(self._numbers), size), np.float32)
            for place, column in enumerate(self._numbers):
                # Rows are never out of bounds; the mode only spares numpy a copy.
                np.take(column, ranges.rows, out=values[place], mode="clip")
            codes[context:] = self._coder(values)
        return codes


def request_gaps(store: Store) -> npt.NDArray[np.float32]:
    """Seconds from each request's predecessor of the same user to it, −1 for the first [R]."""
    starts = store.request_offsets[:-1]
    time = store.column("timestamp")[starts]
    user = store.column("user")[starts]
    gap = np.full(len(starts), -1.0, np.float32)
    same = user[1:] == user[:-1]
    gap[1:][same] = np.diff(time)[same]
    return gap
