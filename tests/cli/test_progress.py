"""Progress: lines in a log, bars on a terminal, nothing when quiet."""

from __future__ import annotations

import logging

import pytest

from genrank_cli.cli.output import configure_logging
from genrank_cli.cli.progress import Lines, clock_time, progress
from tests.conftest import Cli


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_lines_come_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "genrank_cli")
    clock = Clock()
    task = Lines(clock).task("train hstu", total=100)
    for second in range(1, 41):
        clock.now = float(second)
        task.update(second, loss="0.51", events_per_s="12,000")
    task.close()
    assert caplog.messages == [
        "train hstu · 10 % · loss 0.51 · 12,000 events/s · 1:30 left",
        "train hstu · 20 % · loss 0.51 · 12,000 events/s · 1:20 left",
        "train hstu · 30 % · loss 0.51 · 12,000 events/s · 1:10 left",
        "train hstu · 40 % · loss 0.51 · 12,000 events/s · 1:00 left",
        "train hstu: 0:40 · loss 0.51 · 12,000 events/s",
    ]


def test_line_without_a_total_has_no_share(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "genrank_cli")
    clock = Clock()
    task = Lines(clock).task("read")
    clock.now = 11.0
    task.update(5, rows="5")
    assert caplog.messages == ["read · rows 5"]


def test_quiet_is_silent(cli: Cli, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(-1)
    with progress() as shown:
        task = shown.task("work", 2)
        task.update(1)
        task.close()
    assert capsys.readouterr() == ("", "")


def test_bars_on_a_terminal(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    configure_logging(0)
    with progress() as shown:
        task = shown.task("train hstu", 4)
        task.update(3, loss="0.51")
        task.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "\x1b[?25l" in err  # the cursor is hidden while bars are drawn …
    assert "\x1b[?25h" in err  # … and comes back


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0:00"), (75.2, "1:15"), (59.6, "1:00"), (3700, "1:01:40")]
)
def test_clock_time(seconds: float, text: str) -> None:
    assert clock_time(seconds) == text
