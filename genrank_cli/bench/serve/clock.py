"""Times of single requests: no sample is the mean of several, as that would cut off the tail.

Every round serves the next user along every path, in alternating order. A round is not preceded by
runs that are not counted. Garbage collection stays on, as in a server, but what was loaded before
is frozen, as servers do: a collection then looks at the request's own objects only.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from genrank_cli.bench.peak import Probe
from genrank_cli.bench.timing import Clock, Subject, Timings, order

#: Rounds before anything counts: every user once or more would be as warm as a server is.
WARM_UP = 3

#: Rounds that are made whatever the budget says.
FEWEST = 20

#: How often the machine's pace is looked at over all rounds.
PROBES = 12


def serve(
    subjects: Sequence[Subject],
    clock: Clock,
    *,
    requests: int,
    budget_s: float,
    probe: Probe,
    turn: Callable[[int], None],
    on_round: Callable[[int], None] = lambda done: None,
    now: Callable[[], float] = time.monotonic,
) -> Timings:
    """Raw seconds of ``requests`` requests of each subject, fewer where the budget is used up.

    ``turn`` is told the number of the request before it is served. The probe has times of its own
    number, spread over the rounds.
    """
    timings = Timings(rounds_s={x.name: {part: [] for part in x.parts} for x in subjects})
    timings.repeats = {subject.name: 1 for subject in subjects}
    timings.rounds_s[probe.subject.name] = {"run": []}
    for number in range(WARM_UP):
        turn(number)
        for subject in subjects:
            clock.laps(list(subject.parts.values()))
    _pace(probe, clock)
    begun = now()
    with _frozen():
        for number in range(requests):
            elapsed = now() - begun
            if number >= FEWEST and elapsed > budget_s:
                break
            if number % max(1, requests // PROBES) == 0:
                timings.rounds_s[probe.subject.name]["run"].append(_pace(probe, clock))
            turn(number)
            for subject in order(subjects, number):
                _request(subject, clock, timings)
            on_round(number + 1)
    timings.wall_s = now() - begun
    return timings


def _request(subject: Subject, clock: Clock, timings: Timings) -> None:
    laps = clock.laps(list(subject.parts.values()))
    for part, lap in zip(subject.parts, laps, strict=True):
        timings.rounds_s[subject.name][part].append(lap)


def _pace(probe: Probe, clock: Clock) -> float:
    return sum(clock.laps(list(probe.subject.parts.values())))


@contextmanager
def _frozen() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
