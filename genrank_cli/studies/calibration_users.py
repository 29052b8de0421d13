"""Coverage of the intervals over users: many small test sets cut from one large one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from genrank_cli.metrics.arrays import FloatArray, IntArray
from genrank_cli.metrics.auc import auc
from genrank_cli.metrics.bootstrap import bootstrap_users
from genrank_cli.metrics.delong import delong
from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.calibration import Bound, Rate, rate

GROUP_USERS = 100


@dataclass(frozen=True)
class Scored:
    """Test events of all users: labels and users [n], scores [seeds, n] of both variants."""

    labels: FloatArray
    user: IntArray
    base: FloatArray
    variant: FloatArray


def user_rates(scored: Scored, repetitions: int, group_users: int = GROUP_USERS) -> list[Rate]:
    """How often intervals over users hold the difference over all users.

    DeLong's are of the first seed's pair of models, since they compare two models only.
    """
    groups = _groups(scored.user, repetitions, group_users)
    everyone = _difference(scored.labels, scored.base, scored.variant)
    first = _difference(scored.labels, scored.base[:1], scored.variant[:1])
    seeds = len(scored.base)
    covered: dict[str, list[bool]] = {
        f"bootstrap over users, {seeds} seeds": [],
        "DeLong by users, 1 seed": [],
        "DeLong by events, 1 seed": [],
    }
    for number, rows in enumerate(groups):
        labels, user = scored.labels[rows], scored.user[rows]
        base, variant = scored.base[:, rows], scored.variant[:, rows]
        intervals = [
            (bootstrap_users(labels, list(base), list(variant), user, seed=number), everyone),
            (delong(labels, base[0], variant[0], user).difference, first),
            (delong(labels, base[0], variant[0]).difference, first),
        ]
        for hits, (interval, truth) in zip(covered.values(), intervals, strict=True):
            hits.append(_holds(interval, truth))
    truth_text = f"{group_users} users a test set"
    return [
        rate(f"interval covers ({name})", truth_text, _bound(name), 0.95, hits)
        for name, hits in covered.items()
    ]


def _bound(name: str) -> Bound:
    return "for comparison" if "by events" in name else "about"


def _groups(user: IntArray, repetitions: int, group_users: int) -> list[IntArray]:
    """Rows of each group: users in random order, cut into groups that share nobody."""
    users, codes = np.unique(user, return_inverse=True)
    place = np.random.default_rng(0).permutation(len(users)) // group_users
    group = place[codes]
    count = min(repetitions, len(users) // group_users)
    order = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[order], np.arange(count + 1))
    return [order[bounds[i] : bounds[i + 1]] for i in range(count)]


def _difference(labels: FloatArray, base: FloatArray, variant: FloatArray) -> float:
    """Mean AUC of the variant's seeds less that of the base's."""
    means = [np.mean([auc(labels, scores) for scores in side]) for side in (base, variant)]
    return float(means[1] - means[0])


def _holds(interval: Interval, truth: float) -> bool:
    return interval.low <= truth <= interval.high
