"""Planted slowdowns and busy machines through the command, on a clock that is made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrank_cli.gate import compare as comparing
from genrank_cli.gate import pace as pacing
from genrank_cli.gate import run as running
from genrank_cli.gate.baseline import read_baseline
from genrank_cli.gate.judge import Outcome, judge
from genrank_cli.gate.measurement import Failure, Measurement, Pace
from genrank_cli.training.loop import Trainer
from tests.gate.cases import small_suite
from tests.gate.conftest import Check

SPEED = ("--only", "speed")
BUSY = ["other processes used 40 % of the machine's 2 cores meanwhile: stop them"]


class Clock:
    """Processor time that passes only where it is told to, with 2 % of noise."""

    def __init__(self) -> None:
        self.now, self.slower, self.draw = 0.0, 1.0, np.random.default_rng(0)

    def process_time(self) -> float:
        return self.now

    def taking(self, seconds: float, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            model = type(getattr(args[0], "model", None)).__name__ if args else ""
            factor = self.slower if "Dlrm" in model else 1.0
            self.now += seconds * factor * float(np.exp(self.draw.normal(0, 0.02)))
            return work(*args)

        return run


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Steps are really trained; what they take is the clock's."""
    clock = Clock()
    monkeypatch.setattr(pacing, "time", clock)
    monkeypatch.setattr(Trainer, "train_step", clock.taking(0.05, Trainer.train_step))
    monkeypatch.setattr(pacing, "yardstick", lambda: clock.taking(0.02, lambda: None))
    monkeypatch.setattr(pacing, "_attention", lambda name: clock.taking(0.03, lambda: None))
    return clock


def test_a_planted_slowdown_of_a_quarter_ends_with_3_and_is_named(
    check: Check, clock: Clock, tmp_path: Path
) -> None:
    file = tmp_path / "speed.json"
    assert check(*SPEED, "--update", file=file).code == 0
    unchanged = check(*SPEED, file=file)
    assert unchanged.code == 0, unchanged.err
    clock.slower = 1.25
    done = check(*SPEED, file=file)
    assert done.code == 3
    assert "regressed: speed/dlrm step: time 1.2" in done.err
    assert "genrank step" not in done.err


def test_a_busy_machine_judges_no_speed_and_makes_no_baseline_of_it(
    check: Check, clock: Clock, baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "speed.json"
    assert check(*SPEED, "--update", file=file).code == 0
    before = file.read_text()
    monkeypatch.setattr(pacing, "load_warnings", lambda begin, end: BUSY)
    clock.slower = 1.25
    done = check(*SPEED, file=file)
    assert done.code == 4
    assert "speed: the machine was not quiet: other processes used 40 %" in done.err
    assert "stop them" not in done.err
    done = check(*SPEED, "--update", file=file)
    assert done.code == 4
    assert "not quiet" in done.err
    assert "--only auc" in done.err
    assert file.read_text() == before
    assert read_baseline(baseline).pace is not None


def test_a_disturbed_measurement_is_replaced_by_a_quiet_one(made: Path) -> None:
    quiet = read_baseline(made).pace
    assert quiet is not None
    loud = quiet.model_copy(update={"disturbed": "x"})
    assert loud.joined(quiet) == quiet.joined(loud) == quiet
    assert loud.joined(loud).disturbed == "x"
    assert len(quiet.joined(quiet).rounds_s["yardstick"]) == 16


def told(monkeypatch: pytest.MonkeyPatch, *paces: tuple[Pace, list[Failure]]) -> list[int]:
    """Let the suite measure these times, one after the other."""
    calls: list[int] = []

    def pace_of(*args: Any) -> tuple[Pace, list[Failure]]:
        calls.append(1)
        return paces[len(calls) - 1]

    monkeypatch.setattr(running, "pace_of", pace_of)
    monkeypatch.setattr(comparing, "pace_of", pace_of)
    return calls


def repeating(made: Path) -> tuple[Any, Measurement, Pace, Pace]:
    """A suite that repeats twice, its baseline, its times, and those with one 12 % slower."""
    chosen = small_suite(pace=small_suite().pace.model_dump() | {"repeat": 2})
    old = read_baseline(made).model_copy(update={"suite_hash": chosen.hash})
    assert old.pace is not None
    slow = {
        name: tuple(1.12 * t for t in times) if name == "dlrm step" else times
        for name, times in old.pace.rounds_s.items()
    }
    return chosen, old, old.pace, old.pace.model_copy(update={"rounds_s": slow})


def test_doubtful_times_are_measured_again_and_judged_together(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, old, same, slow = repeating(made)
    calls = told(monkeypatch, (slow, []), (same, []), (same, []))
    now = comparing.measure_against(chosen, old, ["speed"])
    assert 2 <= len(calls) <= 3
    assert now.pace is not None
    assert len(now.pace.rounds_s["yardstick"]) == 8 * len(calls)


def test_what_fails_in_a_repeat_cannot_be_judged_and_says_why(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen, old, same, slow = repeating(made)
    left = {name: times for name, times in same.rounds_s.items() if name != "dlrm step"}
    failure = Failure(id="speed/dlrm step", reason="in round 3: out of memory")
    told(monkeypatch, (slow, []), *[(same.model_copy(update={"rounds_s": left}), [failure])] * 2)
    now = comparing.measure_against(chosen, old, ["speed"])
    [found] = [check for check in judge(chosen, old, now) if check.id == "speed/dlrm step"]
    assert found.outcome is Outcome.CANNOT_JUDGE
    assert "out of memory" in found.reason


def test_nothing_is_timed_where_the_baseline_has_no_times(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = told(monkeypatch)
    old = read_baseline(made).model_copy(update={"pace": None})
    now = comparing.measure_against(small_suite(), old, ["speed"])
    assert not calls
    assert [check.reason for check in judge(small_suite(), old, now)] == [
        "the baseline has no times; add them with --update"
    ]
