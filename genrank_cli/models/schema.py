"""What a ranker must know of the data to be built: vocabularies, side tables, sizes, buckets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrank_cli.data.buckets import Boundaries, code_count, coded_side, event_boundaries
from genrank_cli.data.store import SideTable, Store


@dataclass(frozen=True)
class Schema:
    """The shape of the data.

    users, items     side tables; row = code; numbers are among the fields, as codes
    context          size of each column of ``Events.context``, code 0 included: context columns,
    numbers          numbers,
    windows          window statistics, in this order
    boundaries       of the last two, by event column
    actions          number of actions in the history's bitmask
    tasks            names of the predicted tasks, main first
    kinds            ``binary`` or ``regression`` for each task
    longest_history  upper bound on the events that a candidate sees; HSTU's fixed N
    """

    users: SideTable
    items: SideTable
    context: tuple[int, ...]
    numbers: tuple[int, ...]
    windows: tuple[int, ...]
    boundaries: dict[str, Boundaries]
    actions: int
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    longest_history: int

    @classmethod
    def of(
        cls,
        store: Store,
        tasks: Sequence[str],
        longest_history: int,
        train: NDArray[np.bool_] | None = None,
    ) -> Schema:
        """The schema of ``store`` for the given tasks.

        Buckets follow from the events that ``train`` bool [E] marks, from all by default.
        """
        manifest = store.manifest
        if train is None:
            train = np.ones(manifest.counts.events, np.bool_)
        boundaries = event_boundaries(store, train)
        sizes = {name: code_count(bounds) for name, bounds in boundaries.items()}
        kinds = {task.name: task.kind for task in manifest.tasks}
        return cls(
            users=coded_side(store, "user", train),
            items=coded_side(store, "item", train),
            context=tuple(manifest.context.values()),
            numbers=tuple(n for name, n in sizes.items() if name.startswith("number.")),
            windows=tuple(n for name, n in sizes.items() if name.startswith("window.")),
            boundaries=boundaries,
            actions=len(manifest.actions),
            tasks=tuple(tasks),
            kinds=tuple(kinds[task] for task in tasks),
            longest_history=longest_history,
        )
