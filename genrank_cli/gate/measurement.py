"""What one run of the suite found. A baseline is such a measurement, kept in a file."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from genrank_cli.data.declare import Frozen

MEASUREMENT_VERSION = 1


class Quality(Frozen):
    """Test AUC of one model by seed, ``auc[i]`` of ``seeds[i]``, on data of that hash."""

    part: str
    model: str
    data_hash: str
    seeds: tuple[int, ...]
    auc: tuple[float, ...]

    @property
    def id(self) -> str:
        """Name of its check."""
        return f"auc/{self.part}/{self.model}"

    def by_seed(self) -> dict[int, float]:
        """Seed → AUC."""
        return dict(zip(self.seeds, self.auc, strict=True))


class Pace(Frozen):
    """Seconds by subject and round; ``yardstick`` is the fixed work, timed in the same rounds.

    ``disturbed``: what else the machine did meanwhile, where that was too much to judge times.
    """

    data_hash: str
    yardstick: str
    rounds_s: dict[str, tuple[float, ...]]
    disturbed: str = ""

    @property
    def subjects(self) -> list[str]:
        """What was timed beside the yardstick."""
        return [name for name in self.rounds_s if name != self.yardstick]

    def relative(self, name: str) -> list[float]:
        """Time of the subject in units of the yardstick's, round by round."""
        pairs = zip(self.rounds_s[name], self.rounds_s[self.yardstick], strict=True)
        return [seconds / unit for seconds, unit in pairs]

    def joined(self, other: Pace) -> Pace:
        """Rounds of both and of their common subjects; of one where the other was disturbed."""
        if self.disturbed or other.disturbed:
            return other if self.disturbed else self
        common = {name: s + other.rounds_s[name] for name, s in self.rounds_s.items()
                  if name in other.rounds_s}  # fmt: skip
        return self.model_copy(update={"rounds_s": common})


class Benchmark(Frozen):
    """One row of a pytest-benchmark file: quartiles of its times in seconds."""

    low_s: float
    median_s: float
    high_s: float
    rounds: int


class Benchmarks(Frozen):
    """The rows of one pytest-benchmark file, by full name, and the machine that ran them."""

    cpu: str
    rows: dict[str, Benchmark]


class Failure(Frozen):
    """What could not be measured, and why. ``skipped``: it need not be there."""

    id: str
    reason: str
    skipped: bool = False


class Measurement(Frozen):
    """See the module's docstring. ``parts``: what was asked for."""

    version: int = MEASUREMENT_VERSION
    suite_version: int
    suite_hash: str
    parts: tuple[str, ...] = ("auc", "speed")
    quality: tuple[Quality, ...] = ()
    pace: Pace | None = None
    benchmarks: Benchmarks | None = None
    failures: tuple[Failure, ...] = ()
    environment: dict[str, Any] = Field(default_factory=dict)
    wall_s: float = 0.0
