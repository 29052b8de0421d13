"""Progress of long work on a dataset, one step after the other."""

from __future__ import annotations

from genrank_cli.cli.progress import Progress, Task


class TaskReport:
    """Shows the steps of a build one after the other."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._label = ""
        self._task: Task | None = None

    def __call__(self, what: str, done: float, total: float) -> None:
        if self._task is None or what != self._label:
            self.close()
            self._label, self._task = what, self._shown.task(what, total or None)
        self._task.update(done, total or None)

    def close(self) -> None:
        """End the step that is shown."""
        if self._task is not None:
            self._task.close()
            self._task = None
