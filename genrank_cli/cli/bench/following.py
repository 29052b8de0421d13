"""Progress of a bench as tasks that follow each other, and how a bench ends."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from genrank_cli.cli.output import say
from genrank_cli.cli.progress import Progress, Task
from genrank_cli.errors import ExitCode, GenrankError

if TYPE_CHECKING:
    from genrank_cli.bench.record import BenchRecord


class Following:
    """One open task at a time; as a context it ends the last one, and words an interruption."""

    def __init__(self, shown: Progress) -> None:
        self._shown, self._name = shown, ""
        self._task: Task | None = None

    def at(self, name: str, done: float, total: float | None = None, **figures: str) -> None:
        """Say how far the task ``name`` is; a new name ends the task before it."""
        if self._task is None or name != self._name:
            self.close()
            self._name, self._task = name, self._shown.task(name, total)
        self._task.update(done, total, **figures)

    def close(self) -> None:
        """End the task that is open."""
        if self._task is not None:
            self._task.close()
            self._task = None

    def __enter__(self) -> Following:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        elif kind is KeyboardInterrupt:
            message = "interrupted before a case was finished: nothing is kept"
            raise GenrankError(message, "", ExitCode.INTERRUPTED) from error


def widest(precision: float) -> str:
    """How wide the widest interval is, for people who wait."""
    return f"±{100 * precision:.1f} %" if precision < 1 else "over ±100 %"


def finish(record: BenchRecord, output: Path | None) -> None:
    """What to type next; raises where the record is not whole, after it was written."""
    if record.interrupted:
        raise GenrankError(
            "interrupted; what was finished is kept",
            "the same command measures all of it again",
            ExitCode.INTERRUPTED,
        )
    if output is None:
        say("next: -o FILE.json keeps the record, genrank bench show FILE.json shows it again")
    else:
        say("next: genrank bench compare OLD.json NEW.json says what changed between two records")
    if record.failures:
        first = record.failures[0]
        raise GenrankError(
            f"{len(record.failures)} rows failed: {first.name}: {first.reason}",
            "the others are kept; -v shows the traceback",
            ExitCode.PARTIAL,
        )
