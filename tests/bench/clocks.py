"""A clock of the tests' own: what each part takes is drawn or scripted, and nothing waits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from genrank_cli.bench.timing import Subject

Part = Callable[[], object]


class FakeClock:
    """Every part says how long it took by returning it; ``now`` is the sum of all laps."""

    def __init__(self) -> None:
        self.time_s = 0.0

    def laps(self, parts: Sequence[Part]) -> list[float]:
        taken = [float(part()) for part in parts]  # type: ignore[arg-type]
        self.time_s += sum(taken)
        return taken

    def now(self) -> float:
        return self.time_s


class Machine:
    """Subjects of known speed on a machine that wanders, is noisy and is hit by disturbances.

    ``noise``: deviation of a run's logarithm; ``hits``: share of runs that take 1.3 to 3 times as
    long; ``wander``: deviation of the pace's steps.
    """

    def __init__(
        self, seed: int, *, noise: float = 0.01, hits: float = 0.0, wander: float = 0.01
    ) -> None:
        self.draw = np.random.default_rng(seed)
        self.noise, self.hits, self.wander, self.pace = noise, hits, wander, 1.0

    def subject(self, name: str, seconds: float) -> Subject:
        return Subject(name, {"run": lambda: self._run(seconds)})

    def _run(self, seconds: float) -> float:
        self.pace *= float(np.exp(self.draw.normal(0, self.wander)))
        taken = seconds * self.pace * float(np.exp(self.draw.normal(0, self.noise)))
        if self.draw.random() < self.hits:
            taken *= float(self.draw.uniform(1.3, 3))
        return taken
