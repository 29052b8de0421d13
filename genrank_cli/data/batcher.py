"""From samples to jagged batches, deterministic for a seed and resumable at any step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from genrank_cli.data.batch import Batch
from genrank_cli.data.gather import EventReader, Indices, Ranges, offsets_of
from genrank_cli.data.longhistory import check_earlier
from genrank_cli.data.prefetch import prefetched
from genrank_cli.data.samples import Samples
from genrank_cli.data.store import Store

#: Batches are formed inside pools of this many batches' worth of shuffled samples: large enough
#: to put similar lengths together, small enough to keep the order of training random.
POOL_BATCHES = 16


class Batcher:
    """Batches of ``samples``, each filled up to ``max_events`` history and candidate events.

    A sample larger than ``max_events`` is a batch of its own. The budget counts events, not tokens,
    so that every model trains on the very same batches. ``reader`` may be shared by the batchers of
    one store; by default events have no numbers. ``workers`` threads prepare batches ahead in
    `epoch`; they change nothing about the batches or their order. ``learnt`` bool [E]: the events
    whose labels may be learnt from where they are history; by default batches have no such labels.
    """

    def __init__(
        self,
        store: Store,
        samples: Samples,
        tasks: Sequence[str],
        max_events: int,
        *,
        reader: EventReader | None = None,
        workers: int = 0,
        learnt: NDArray[np.bool_] | None = None,
    ) -> None:
        self.samples = samples
        self.max_events = max_events
        self.workers = workers
        self._reader = reader or EventReader(store, {})
        self._learnt = learnt
        self._time = store.column("timestamp")
        self._actions = store.column("actions")
        self._tasks = [store.column(f"task.{task}") for task in tasks]

    def in_order(self) -> list[Indices]:
        """Sample numbers of each batch, similar lengths together, every sample once: evaluation."""
        return self._fill(np.argsort(self.samples.events, kind="stable"))

    def shuffled(self, seed: int, epoch: int) -> list[Indices]:
        """Sample numbers of each batch of an epoch; depends on nothing but the arguments."""
        random = np.random.default_rng([seed, epoch])
        if self.samples.by_time:
            batches = self._fill(np.argsort(self._time[self.samples.start], kind="stable"))
        else:
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
        return prefetched(self.batch, self.shuffled(seed, epoch)[first_step:], self.workers)

    def batch(self, chosen: NDArray[np.int64]) -> Batch:
        """The batch that holds the given samples, in the given order."""
        samples = self.samples
        first = samples.history_start[chosen]
        history = Ranges(first, samples.history_stop[chosen])
        shown = Ranges(samples.start[chosen], samples.stop[chosen])
        candidates, group, seen = self._reader.candidates(shown, first)
        labels = [shown.take(task, np.float32) for task in self._tasks]
        candidate_offsets = torch.from_numpy(offsets_of(shown.length))
        long_history = None
        if samples.long_history:
            long_history = self._reader.long_history(first, samples.long_history)
            check_earlier(long_history, candidates.time, candidate_offsets)
        return Batch(
            history=self._reader.history(history),
            candidates=candidates,
            actions=torch.from_numpy(history.take(self._actions, np.int64)),
            history_offsets=torch.from_numpy(offsets_of(history.length)),
            candidate_offsets=candidate_offsets,
            prefix=torch.from_numpy(seen - np.repeat(first, shown.length)),
            group=torch.from_numpy(group),
            labels=torch.from_numpy(np.stack(labels, axis=1)),
            rows=torch.from_numpy(shown.rows),
            long_history=long_history,
            history_labels=self._history_labels(history),
        )

    def _history_labels(self, history: Ranges) -> torch.Tensor | None:
        """float32 [n, K], NaN where the event is not learnt from."""
        if self._learnt is None:
            return None
        labels = np.stack([history.take(task, np.float32) for task in self._tasks], axis=1)
        labels[~self._learnt[history.rows]] = np.nan
        return torch.from_numpy(labels)
