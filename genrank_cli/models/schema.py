"""What a ranker must know of the data to be built: vocabularies, side tables, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genrank_cli.data.store import SideTable, Store


@dataclass(frozen=True)
class Schema:
    """The shape of the data.

    users, items     side tables; row = code
    context          vocabulary size of each context column, code 0 included
    actions          number of actions in the history's bitmask
    tasks            names of the predicted tasks, main first
    kinds            ``binary`` or ``regression`` for each task
    longest_history  upper bound on the events that a candidate sees; HSTU's fixed N
    """

    users: SideTable
    items: SideTable
    context: tuple[int, ...]
    actions: int
    tasks: tuple[str, ...]
    kinds: tuple[str, ...]
    longest_history: int

    @classmethod
    def of(cls, store: Store, tasks: Sequence[str], longest_history: int) -> Schema:
        """The schema of ``store`` for the given tasks."""
        kinds = {task.name: task.kind for task in store.manifest.tasks}
        return cls(
            users=store.users,
            items=store.items,
            context=tuple(store.manifest.context.values()),
            actions=len(store.manifest.actions),
            tasks=tuple(tasks),
            kinds=tuple(kinds[task] for task in tasks),
            longest_history=longest_history,
        )
