"""Progress on stderr: bars for a person at a terminal, a line now and then in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from genrank_cli.cli.output import log

LINE_EVERY_S = 10.0

Figures = dict[str, str]


class Task(Protocol):
    """Something that takes a while and can say how far it is."""

    def update(self, done: float, total: float | None = None, **figures: str) -> None:
        """Say how much is done, and figures worth reading (``loss="0.51"``)."""

    def close(self) -> None:
        """Say that it ended."""


class Progress(Protocol):
    """Opens tasks; several may be open at once (a study, and the run it is at)."""

    def task(self, label: str, total: float | None = None) -> Task: ...


@contextmanager
def progress() -> Iterator[Progress]:
    """Bars on a terminal, otherwise a line per task every 10 seconds; nothing with ``-q``."""
    if not log.isEnabledFor(logging.INFO):
        yield Silent()
    elif sys.stderr.isatty():
        from genrank_cli.cli.bars import bars

        with bars() as shown:
            yield shown
    else:
        yield Lines()


class Silent:
    """Shows nothing."""

    def task(self, label: str, total: float | None = None) -> Task:
        return self

    def update(self, done: float, total: float | None = None, **figures: str) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


class Lines:
    """Writes a line per task now and then, so that a log shows life."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock

    def task(self, label: str, total: float | None = None) -> Task:
        return LineTask(label, total, self._clock)


class LineTask:
    """A task shown as lines: label, share done, figures, time left."""

    def __init__(self, label: str, total: float | None, clock: Callable[[], float]) -> None:
        self.label, self.total, self._clock = label, total, clock
        self._started = self._shown = clock()
        self._figures: Figures = {}

    def update(self, done: float, total: float | None = None, **figures: str) -> None:
        self.total = total or self.total
        self._figures.update(figures)
        now = self._clock()
        if now - self._shown >= LINE_EVERY_S:
            self._shown = now
            log.info(self._line(done, now - self._started))

    def close(self) -> None:
        elapsed = self._clock() - self._started
        log.info(" · ".join([f"{self.label}: {clock_time(elapsed)}", *self._texts()]))

    def _line(self, done: float, elapsed_s: float) -> str:
        parts = [self.label, *self._texts()]
        if self.total and done > 0:
            left_s = elapsed_s * max(0.0, self.total - done) / done
            parts.insert(1, f"{100 * done / self.total:.0f} %")
            parts.append(f"{clock_time(left_s)} left")
        return " · ".join(parts)

    def _texts(self) -> list[str]:
        return figure_texts(self._figures)


def figure_texts(figures: Figures) -> list[str]:
    """``{"loss": "0.51", "events_per_s": "12,000"}`` as ``loss 0.51``, ``12,000 events/s``."""
    rates = {name: name.removesuffix("_per_s") for name in figures if name.endswith("_per_s")}
    return [
        f"{value} {rates[name]}/s" if name in rates else f"{name} {value}"
        for name, value in figures.items()
    ]


def clock_time(seconds: float) -> str:
    """``75.2`` as ``1:15``, ``3700`` as ``1:01:40``."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"
