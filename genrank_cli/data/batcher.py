"""From samples to jagged batches, deterministic for a seed and resumable at any step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from genrank_cli.data.batch import Batch, Events
from genrank_cli.data.samples import Indices, Samples
from genrank_cli.data.store import Store

#: Batches are formed inside pools of this many batches' worth of shuffled samples: large enough
#: to put similar lengths together, small enough to keep the order of training random.
POOL_BATCHES = 16


def concatenated_ranges(start: Indices, length: Indices) -> Indices:
    """``start[0], start[0]+1, …, start[1], …``: the rows of all ranges, one after the other."""
    ends = np.cumsum(length)
    return np.repeat(start - (ends - length), length) + np.arange(ends[-1] if len(ends) else 0)


def _offsets(length: Indices) -> Indices:
    return np.concatenate((np.zeros(1, np.int64), np.cumsum(length)))


def _runs(*keys: Indices) -> Indices:
    """Number of the run of equal keys that each place belongs to, counted from 0."""
    new = np.zeros(len(keys[0]), dtype=np.int64)
    for key in keys:
        new[1:] |= key[1:] != key[:-1]
    return np.cumsum(new)


class Batcher:
    """Batches of ``samples``, each filled up to ``max_events`` history and candidate events.

    A sample larger than ``max_events`` is a batch of its own. The budget counts events, not tokens,
    so that every model trains on the very same batches.
    """

    def __init__(
        self, store: Store, samples: Samples, tasks: Sequence[str], max_events: int
    ) -> None:
        self.samples = samples
        self.max_events = max_events
        self._columns = {
            name: store.column(name) for name in ("user", "item", "timestamp", "request", "actions")
        }
        self._tasks = [store.column(f"task.{task}") for task in tasks]
        self._context = [store.column(f"context.{name}") for name in store.manifest.context]
        self._user_start = store.user_offsets
        self._request_start = store.request_offsets
        self._gap = request_gaps(store)

    def in_order(self) -> list[Indices]:
        """Sample numbers of each batch, similar lengths together, every sample once: evaluation."""
        return self._fill(np.argsort(self.samples.events, kind="stable"))

    def shuffled(self, seed: int, epoch: int) -> list[Indices]:
        """Sample numbers of each batch of an epoch; depends on nothing but the arguments."""
        random = np.random.default_rng([seed, epoch])
        order = random.permutation(len(self.samples))
        events = self.samples.events[order]
        pool = np.cumsum(events) // (self.max_events * POOL_BATCHES)
        batches = self._fill(order[np.lexsort((events, pool))])
        return [batches[i] for i in random.permutation(len(batches))]

    def _fill(self, order: Indices) -> list[Indices]:
        total = 0
        cuts = []
        for place, events in enumerate(self.samples.events[order].tolist()):
            if total and total + events > self.max_events:
                cuts.append(place)
                total = 0
            total += events
        return [part for part in np.split(order, cuts) if len(part)]

    def epoch(self, seed: int, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The training batches of an epoch from ``first_step`` on."""
        for chosen in self.shuffled(seed, epoch)[first_step:]:
            yield self.batch(chosen)

    def batch(self, chosen: NDArray[np.int64]) -> Batch:
        """The batch that holds the given samples, in the given order."""
        samples = self.samples
        first = samples.history_start[chosen]
        history_length = samples.history_stop[chosen] - first
        candidate_length = samples.stop[chosen] - samples.start[chosen]
        history = concatenated_ranges(first, history_length)
        rows = concatenated_ranges(samples.start[chosen], candidate_length)
        request = self._columns["request"][rows].astype(np.int64)
        sample = np.repeat(np.arange(len(chosen)), candidate_length)
        group = _runs(sample, request)
        labels = np.stack([task[rows] for task in self._tasks], axis=1)
        visible = self._request_start[request] - np.repeat(first, candidate_length)
        return Batch(
            history=self._events(history, np.repeat(first, history_length)),
            candidates=self._events(rows, np.repeat(first, candidate_length), at_request=True),
            actions=torch.from_numpy(self._columns["actions"][history].astype(np.int64)),
            history_offsets=torch.from_numpy(_offsets(history_length)),
            candidate_offsets=torch.from_numpy(_offsets(candidate_length)),
            prefix=torch.from_numpy(visible),
            group=torch.from_numpy(group),
            labels=torch.from_numpy(labels.astype(np.float32)),
            rows=torch.from_numpy(rows),
        )

    def _events(self, rows: Indices, first: Indices, *, at_request: bool = False) -> Events:
        columns = self._columns
        request = columns["request"][rows].astype(np.int64)
        shown = self._request_start[request] if at_request else rows
        context = [column[rows].astype(np.int64) for column in self._context]
        stacked = np.stack(context, axis=1) if context else np.zeros((len(rows), 0), np.int64)
        return Events(
            item=torch.from_numpy(columns["item"][rows].astype(np.int64)),
            user=torch.from_numpy(columns["user"][rows].astype(np.int64)),
            time=torch.from_numpy(columns["timestamp"][shown] - columns["timestamp"][first]),
            request=torch.from_numpy(request - columns["request"][first].astype(np.int64)),
            gap=torch.from_numpy(self._gap[request]),
            context=torch.from_numpy(stacked),
        )


def request_gaps(store: Store) -> NDArray[np.float32]:
    """Seconds from each request's predecessor of the same user to it, −1 for the first [R]."""
    starts = store.request_offsets[:-1]
    time = store.column("timestamp")[starts]
    user = store.column("user")[starts]
    gap = np.full(len(starts), -1.0, np.float32)
    same = user[1:] == user[:-1]
    gap[1:][same] = np.diff(time)[same]
    return gap
