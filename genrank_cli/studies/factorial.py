"""A 2×2 study: two changes alone and together, and what the papers' figures predict for both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.studies.measure import Measurements
from genrank_cli.studies.study import Factorial


def predicted_speed(first: float, second: float, share: float) -> float:
    """Speed-up of both changes, from those of each alone.

    In units of the base's time the first change leaves 1 / first. The second one saves 1 − 1 /
    second of the base; beside the first, ``share`` of that (PAPER section 4: 1.787 and 1.25 with a
    quarter give 1.96). nan where nothing would be left.
    """
    left = 1 / first - share * (1 - 1 / second)
    return 1 / left if left > 0 else float("nan")


def auc_interaction(found: Measurements, base: str, plan: Factorial) -> Interval | None:
    """(both − second) − (first − base) over the seeds that all four rows have."""
    names = (plan.both, plan.second, plan.first, base)
    both, second, first, none = (found.metric(name, "auc") for name in names)
    seeds = [seed for seed in both if seed in second and seed in first and seed in none]
    if not seeds:
        return None
    return paired_t([both[s] - second[s] - first[s] + none[s] for s in seeds])


def speeds(found: Measurements, base: str, plan: Factorial) -> tuple[Interval, Interval] | None:
    """Measured and predicted speed-up of both changes, each from the same rounds."""
    speed, names = found.speed, (plan.first, plan.second, plan.both)
    if speed is None or any(name not in speed.round_s for name in (base, *names)):
        return None
    first, second, both = (speed.ratios(base, name) for name in names)
    predicted = _predictions(first, second, plan.share)
    return geometric_ratio(both), geometric_ratio(predicted)


def _predictions(first: Sequence[float], second: Sequence[float], share: float) -> list[float]:
    values = [predicted_speed(a, b, share) for a, b in zip(first, second, strict=True)]
    return [value for value in values if np.isfinite(value)]
