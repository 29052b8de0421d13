"""Times of several subjects in alternating rounds, as many rounds as the ratios need.

Machines change pace while they measure. So every round runs every subject once, and a ratio is
taken inside a round. In no two rounds does a subject run behind the same one, whose freed memory it
would find. Inputs are built before, every subject runs first without being counted, and every time
is kept.
"""

from __future__ import annotations

import gc
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any, Protocol

from genrank_cli.bench.statistics import FEWEST_ROUNDS, half_width, ratio_interval
from genrank_cli.errors import GenrankError

#: A sample shorter than this is made of several runs: clocks and interrupts have a grain.
SHORTEST_SAMPLE_S = 0.01

MOST_REPEATS = 100

#: A run shorter than this is preceded by one that is not counted: what the one before it left, or
#: gave back to the system, would be a part of its time that matters.
SETTLED_S = 0.25
MOST_ROUNDS = 200

#: Rounds stop where a stricter interval than the one shown is narrow enough, and they look for that
#: at these numbers only: who looks every time catches the moment at which an interval happens to be
#: too narrow. (Simulated: the 95 % intervals of such measurements cover 94 to 96 %.)
STOPPING_CONFIDENCE = 0.97
LOOKS = frozenset(round(FEWEST_ROUNDS * 1.5**step) for step in range(14))

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """Something to time: ``parts`` run in their order, each is timed apart."""

    name: str
    parts: Mapping[str, Callable[[], object]]


class Clock(Protocol):
    """Runs the parts of one subject and tells the seconds of each."""

    def laps(self, parts: Sequence[Callable[[], object]]) -> list[float]: ...


class CpuClock:
    """``time.perf_counter``: calls return when their work is done."""

    def laps(self, parts: Sequence[Callable[[], object]]) -> list[float]:
        stamps = [time.perf_counter()]
        for part in parts:
            part()
            stamps.append(time.perf_counter())
        return [end - begin for begin, end in pairwise(stamps)]


class CudaClock:
    """Events on the device's current stream; calls return before their work is done."""

    def laps(self, parts: Sequence[Callable[[], object]]) -> list[float]:
        import torch

        event: Any = partial(torch.cuda.Event, enable_timing=True)
        events = [event() for _ in range(len(parts) + 1)]
        torch.cuda.synchronize()
        events[0].record()
        try:
            for part, after in zip(parts, events[1:], strict=True):
                part()
                after.record()
            torch.cuda.synchronize()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()  # what it took so far is not the next subject's loss
            raise
        return [begin.elapsed_time(end) / 1e3 for begin, end in pairwise(events)]


def clock_for(device: str) -> Clock:
    """The clock of a device's type."""
    return CudaClock() if device == "cuda" else CpuClock()


@dataclass(frozen=True)
class Plan:
    """How many rounds.

    ``rounds``: so many; None: until the interval of every pair's ratio is within ± ``precision``
    (a share), or until ``budget_s`` seconds of rounds are used up, but never fewer than
    `FEWEST_ROUNDS`.
    """

    rounds: int | None = None
    precision: float = 0.03
    budget_s: float = 60.0


@dataclass
class Timings:
    """Raw seconds per run: ``rounds_s[subject][part][round]``, and who could not run, and why.

    ``repeats``: runs that one sample of a subject is the mean of; ``settled``: subjects that ran
    once more before each sample. ``wall_s``: of all rounds.
    """

    rounds_s: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    repeats: dict[str, int] = field(default_factory=dict)
    settled: set[str] = field(default_factory=set)
    left_out: dict[str, str] = field(default_factory=dict)
    wall_s: float = 0.0

    @property
    def rounds(self) -> int:
        return min((len(x) for parts in self.rounds_s.values() for x in parts.values()), default=0)

    def total(self, name: str) -> list[float]:
        """Seconds of all parts together, round by round."""
        return [sum(laps) for laps in zip(*self.rounds_s[name].values(), strict=True)]


def measure(
    subjects: Sequence[Subject],
    clock: Clock,
    plan: Plan,
    *,
    pairs: Sequence[tuple[str, str]] = (),
    on_warm: Callable[[str], None] = lambda name: None,
    on_round: Callable[[int, float], None] = lambda done, precision: None,
    now: Callable[[], float] = time.monotonic,
) -> Timings:
    """Warm every subject up, then time all of them in rounds.

    ``pairs``: (subject, base) whose ratios shall become precise. A subject that raises while it
    warms up, or in any round, is left out with the reason; the others go on.
    ``on_round`` hears how many rounds are done and how wide (±, a share) the widest interval is.
    """
    timings = Timings()
    running = [subject for subject in subjects if _warm(subject, clock, timings, on_warm)]
    pairs = _of_running(pairs, running)
    begun = now()
    with _without_garbage_collection():
        while running and not _enough(timings, plan, pairs, now() - begun):
            ran = [one for one in order(running, timings.rounds) if _ran(one, clock, timings)]
            if len(ran) < len(running):
                running = [subject for subject in running if subject in ran]
                pairs = _of_running(pairs, running)
            gc.collect()
            on_round(timings.rounds, widest(timings, pairs))
    timings.wall_s = now() - begun
    return timings


def order(subjects: Sequence[Subject], number: int) -> list[Subject]:
    """Those of round ``number``: 0, n−1, 1, n−2, … all moved on by the number (Williams' square).

    In n rounds everybody takes every place once and, for even n, runs behind everybody else once;
    for odd n that takes the n rounds after them, which run from the end.
    """
    n = len(subjects)
    places = [n - 1 - step // 2 if step % 2 else step // 2 for step in range(n)]
    turned = [subjects[(place + number) % n] for place in places]
    return turned[::-1] if number // n % 2 else turned


def widest(timings: Timings, pairs: Sequence[tuple[str, str]], confidence: float = 0.95) -> float:
    """The largest half-width of the pairs' ratios, as a share; inf before there are intervals."""
    ratios = (
        ratio_interval(timings.total(name), timings.total(base), confidence) for name, base in pairs
    )
    return max((half_width(ratio) for ratio in ratios), default=0.0)


def _warm(subject: Subject, clock: Clock, timings: Timings, on_warm: Callable[[str], None]) -> bool:
    """Run twice (the first time compiles, tunes and plans), then choose the runs of a sample."""
    on_warm(subject.name)
    parts = list(subject.parts.values())
    try:
        clock.laps(parts)
        once = sum(clock.laps(parts))
    except Exception as error:  # whatever a kernel, a compiler or a peer may raise
        log.debug("%s cannot run", subject.name, exc_info=True)
        timings.left_out[subject.name] = _reason(error)
        return False
    repeats = math.ceil(SHORTEST_SAMPLE_S / max(once, 1e-9))
    timings.repeats[subject.name] = max(1, min(repeats, MOST_REPEATS))
    if once < SETTLED_S:
        timings.settled.add(subject.name)
    timings.rounds_s[subject.name] = {part: [] for part in subject.parts}
    return True


def _reason(error: Exception) -> str:
    """The first line that says something, without the framework's pages below it."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    if isinstance(error, GenrankError):
        return text
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _of_running(
    pairs: Sequence[tuple[str, str]], running: Sequence[Subject]
) -> list[tuple[str, str]]:
    names = {subject.name for subject in running}
    return [pair for pair in pairs if names.issuperset(pair)]


def _ran(subject: Subject, clock: Clock, timings: Timings) -> bool:
    """Take a sample; where it raises, forget the subject: rounds must fit the others'."""
    try:
        _sample(subject, clock, timings)
    except Exception as error:  # such as memory that another process took meanwhile
        log.debug("%s cannot run any longer", subject.name, exc_info=True)
        timings.left_out[subject.name] = f"in round {timings.rounds + 1}: {_reason(error)}"
        del timings.rounds_s[subject.name]
        return False
    return True


def _sample(subject: Subject, clock: Clock, timings: Timings) -> None:
    repeats, parts = timings.repeats[subject.name], list(subject.parts.values())
    if subject.name in timings.settled:
        clock.laps(parts)
    runs = [clock.laps(parts) for _ in range(repeats)]
    for part, laps in zip(subject.parts, zip(*runs, strict=True), strict=True):
        timings.rounds_s[subject.name][part].append(math.fsum(laps) / repeats)


def _enough(
    timings: Timings, plan: Plan, pairs: Sequence[tuple[str, str]], elapsed_s: float
) -> bool:
    done = timings.rounds
    if plan.rounds is not None:
        return done >= plan.rounds
    if done < FEWEST_ROUNDS:
        return False
    another_s = elapsed_s / done
    if done >= MOST_ROUNDS or elapsed_s + another_s > plan.budget_s:
        return True
    return done in LOOKS and widest(timings, pairs, STOPPING_CONFIDENCE) <= plan.precision


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """A collection in the middle of a run would be somebody's time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
