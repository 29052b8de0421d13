"""Alternating rounds on a clock of the tests' own: order, warm-up, stopping, simulations."""

from __future__ import annotations

import gc
import math
import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import pytest

from genrank_cli.bench.statistics import FEWEST_ROUNDS, differs, half_width, ratio_interval
from genrank_cli.bench.timing import (
    LOOKS,
    MOST_REPEATS,
    CpuClock,
    Plan,
    Subject,
    Timings,
    measure,
    order,
)
from genrank_cli.errors import GenrankError
from tests.bench.clocks import FakeClock, Machine

PAIR = [("b", "a")]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of rounds: collecting garbage after each would take minutes."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


def fixed(name: str, seconds: float, calls: list[str] | None = None) -> Subject:
    def run() -> float:
        if calls is not None:
            calls.append(name)
        return seconds

    return Subject(name, {"run": run})


def rounds_of(machine: Machine, true: float, plan: Plan) -> Timings:
    clock = FakeClock()
    subjects = [machine.subject("a", 1.0), machine.subject("b", true)]
    return measure(subjects, clock, plan, pairs=PAIR, now=clock.now)


def test_every_round_runs_every_subject_in_turning_order() -> None:
    calls: list[str] = []
    subjects = [fixed(name, 1.0, calls) for name in "abc"]
    timings = measure(subjects, FakeClock(), Plan(rounds=4))
    warm, rounds = calls[:6], "".join(calls[6:])
    assert warm == ["a", "a", "b", "b", "c", "c"]
    assert rounds == "acb" + "bac" + "cba" + "bca"
    assert timings.rounds == 4
    assert timings.rounds_s["a"] == {"run": [1.0] * 4}


@pytest.mark.parametrize(("names", "rounds"), [("abcd", 4), ("abcde", 10), ("a", 1)])
def test_everybody_runs_behind_everybody_else_equally_often(names: str, rounds: int) -> None:
    subjects = [fixed(name, 1.0) for name in names]
    pairs, firsts = Counter[tuple[str, str]](), Counter[str]()
    for number in range(rounds):
        turn = [subject.name for subject in order(subjects, number)]
        assert sorted(turn) == list(names)
        pairs.update(pairwise(turn))
        firsts[turn[0]] += 1
    assert len(pairs) == len(names) * (len(names) - 1)
    assert len(set(pairs.values())) <= 1
    assert set(firsts.values()) == {rounds // len(names)}


def test_the_parts_of_a_subject_are_timed_apart() -> None:
    both = Subject("a", {"forward": lambda: 1.0, "backward": lambda: 2.5})
    timings = measure([both], FakeClock(), Plan(rounds=2))
    assert timings.rounds_s["a"] == {"forward": [1.0, 1.0], "backward": [2.5, 2.5]}
    assert timings.total("a") == [3.5, 3.5]


def test_the_warm_up_is_not_counted() -> None:
    times = iter([100.0, 50.0, 1.0, 2.0])
    timings = measure([Subject("a", {"run": lambda: next(times)})], FakeClock(), Plan(rounds=2))
    assert timings.rounds_s["a"]["run"] == [1.0, 2.0]


def test_a_run_settles_before_its_sample_unless_it_is_long() -> None:
    times = iter([9.0, 0.2, 0.9, 0.3, 0.9, 0.4])
    timings = measure([Subject("a", {"run": lambda: next(times)})], FakeClock(), Plan(rounds=2))
    assert timings.rounds_s["a"]["run"] == [0.3, 0.4]
    long = iter([9.0, 0.25, 0.3, 0.4])
    timings = measure([Subject("a", {"run": lambda: next(long)})], FakeClock(), Plan(rounds=2))
    assert timings.rounds_s["a"]["run"] == [0.3, 0.4]


def test_short_runs_are_repeated_and_averaged() -> None:
    times = iter([9.0, 0.004, 8.0, 0.004, 0.005, 0.006])
    timings = measure([Subject("a", {"run": lambda: next(times)})], FakeClock(), Plan(rounds=1))
    assert timings.repeats["a"] == 3
    assert timings.rounds_s["a"]["run"] == [pytest.approx(0.005)]
    quick = measure([fixed("a", 1e-7)], FakeClock(), Plan(rounds=1))
    assert quick.repeats["a"] == MOST_REPEATS
    assert measure([fixed("a", 3.0)], FakeClock(), Plan(rounds=1)).repeats["a"] == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("\nCUDA out of memory\npages of advice"), "RuntimeError: CUDA out of memory"),
        (NotImplementedError(), "NotImplementedError"),
        (GenrankError("no compiler", "install one"), "no compiler"),
    ],
    ids=["first-line", "no-words", "our-own"],
)
def test_who_cannot_run_is_left_out_with_the_reason(error: Exception, reason: str) -> None:
    def fail() -> float:
        raise error

    subjects = [fixed("a", 1.0), Subject("b", {"run": fail})]
    timings = measure(subjects, FakeClock(), Plan(rounds=1), pairs=PAIR)
    assert timings.left_out == {"b": reason}
    assert list(timings.rounds_s) == ["a"]


def test_who_fails_in_a_round_is_left_out_and_the_others_go_on() -> None:
    runs = iter([1.0] * 4)

    def run() -> float:
        taken = next(runs, None)
        if taken is None:
            raise RuntimeError("the device is full")
        return taken

    subjects = [fixed("a", 1.0), Subject("b", {"run": run}), fixed("c", 1.0)]
    timings = measure(subjects, FakeClock(), Plan(rounds=5), pairs=[("b", "a"), ("c", "a")])
    assert timings.left_out == {"b": "in round 3: RuntimeError: the device is full"}
    assert {name: len(parts["run"]) for name, parts in timings.rounds_s.items()} == {"a": 5, "c": 5}


def test_a_quiet_machine_needs_few_rounds_a_noisy_one_more() -> None:
    plan = Plan(precision=0.03, budget_s=1e9)
    quiet = rounds_of(Machine(0, noise=0.002, wander=0), 1.0, plan)
    noisy = rounds_of(Machine(0, noise=0.05, wander=0), 1.0, plan)
    assert quiet.rounds == FEWEST_ROUNDS
    assert noisy.rounds >= 18
    for timings in (quiet, noisy):
        assert half_width(ratio_interval(timings.total("b"), timings.total("a"))) <= 0.03
        assert timings.rounds in LOOKS


def test_the_budget_ends_the_rounds_but_eight_are_made() -> None:
    noisy = {"noise": 0.3, "wander": 0.0}
    short = rounds_of(Machine(0, **noisy), 1.0, Plan(budget_s=1.0))
    assert short.rounds == FEWEST_ROUNDS
    longer = rounds_of(Machine(0, **noisy), 1.0, Plan(budget_s=60.0))
    assert FEWEST_ROUNDS < longer.rounds <= 30
    assert longer.wall_s <= 60.0


def test_rounds_that_were_asked_for_are_made_whatever_the_precision() -> None:
    timings = rounds_of(Machine(0, noise=0.0001), 1.0, Plan(rounds=15, budget_s=0.1))
    assert timings.rounds == 15


def test_observers_hear_of_warming_and_rounds() -> None:
    warmed: list[str] = []
    heard: list[tuple[int, float]] = []
    measure(
        [fixed("a", 1.0), fixed("b", 2.0)],
        FakeClock(),
        Plan(rounds=6),
        pairs=PAIR,
        on_warm=warmed.append,
        on_round=lambda done, width: heard.append((done, width)),
    )
    assert warmed == ["a", "b"]
    assert [done for done, _ in heard] == [1, 2, 3, 4, 5, 6]
    assert heard[0][1] == math.inf
    assert heard[1][1] == 0.0
    assert heard[-1][1] == 0.0


def test_garbage_is_not_collected_inside_a_run() -> None:
    seen: list[bool] = []

    def run() -> float:
        seen.append(gc.isenabled())
        return 1.0

    assert gc.isenabled()
    measure([Subject("a", {"run": run})], FakeClock(), Plan(rounds=2))
    assert seen == [True, True, False, False]
    assert gc.isenabled()


def test_nothing_that_runs_gives_no_rounds() -> None:
    assert measure([], FakeClock(), Plan()).rounds == 0


def different(machine: Callable[[int], Machine], true: float, repetitions: int) -> float:
    """Share of whole measurements, stopping rule included, that find a difference."""
    found = 0
    for seed in range(repetitions):
        timings = rounds_of(machine(seed), true, Plan(budget_s=80.0))
        found += differs(ratio_interval(timings.total("b"), timings.total("a"), 0.99))
    return found / repetitions


@pytest.mark.parametrize(
    ("noise", "hits"), [(0.01, 0.0), (0.04, 0.0), (0.02, 0.1)], ids=["quiet", "noisy", "disturbed"]
)
def test_the_same_against_itself_is_not_called_different(noise: float, hits: float) -> None:
    def machine(seed: int) -> Machine:
        return Machine(seed, noise=noise, hits=hits)

    assert different(machine, 1.0, 200) <= 0.05


def test_a_planted_slowdown_is_found() -> None:
    assert different(lambda seed: Machine(seed, noise=0.02, hits=0.05), 1.2, 100) >= 0.95


def test_intervals_of_adaptive_measurements_cover() -> None:
    covered = 0
    for seed in range(400):
        timings = rounds_of(Machine(seed, noise=0.03, wander=0.0), 1.2, Plan(budget_s=88.0))
        found = ratio_interval(timings.total("b"), timings.total("a"))
        covered += found.low <= 1.2 <= found.high
    assert covered / 400 >= 0.92


def test_the_real_clock_measures_sleep() -> None:
    laps = CpuClock().laps([lambda: time.sleep(0.01), lambda: None])
    assert 0.01 <= laps[0] < 0.2
    assert 0 <= laps[1] < 0.01
