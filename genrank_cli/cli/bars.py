"""Progress bars drawn by rich; imported only where stderr is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from genrank_cli.cli.progress import Figures, Task, figure_texts


@contextmanager
def bars() -> Iterator[Bars]:
    """Bars on stderr; log lines are printed above them."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=False) as shown:
        yield Bars(shown)


class Bars:
    """Opens one bar per task."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown

    def task(self, label: str, total: float | None = None) -> Task:
        return Bar(self._shown, self._shown.add_task(label, total=total, figures=""))


class Bar:
    """One bar, which disappears when its task is closed."""

    def __init__(self, shown: Progress, task_id: TaskID) -> None:
        self._shown, self._id = shown, task_id
        self._figures: Figures = {}

    def update(self, done: float, total: float | None = None, **figures: str) -> None:
        self._figures.update(figures)
        text = " · ".join(figure_texts(self._figures))
        self._shown.update(self._id, completed=done, total=total, figures=text)

    def close(self) -> None:
        self._shown.remove_task(self._id)
