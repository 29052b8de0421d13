"""The figures of an audit, counted in loops over Python rows."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from genrank_cli.data.splits import Part, Parts
from genrank_cli.data.store import Store


class Row(NamedTuple):
    """One event."""

    user: int
    item: int
    time: float
    request: int
    label: float
    part: int


def rows_of(store: Store, parts: Parts) -> list[Row]:
    """All events, in the store's order."""
    names = ("user", "item", "timestamp", "request", f"task.{store.manifest.tasks[0].name}")
    columns = [store.column(name).tolist() for name in names]
    return [Row(*values) for values in zip(*columns, parts.tolist(), strict=True)]


def slow_exposure(rows: list[Row]) -> dict[str, Any]:
    """The fields of `Exposure`."""
    train = [row for row in rows if row.part == Part.TRAIN]
    test = [row for row in rows if row.part == Part.TEST]
    counts = dict.fromkeys(
        (
            "user_future",
            "item_future",
            "cold_users",
            "cold_items",
            "repeated",
            "repeated_same_label",
            "repeated_later",
            "after_test",
            "without_history",
        ),
        0,
    )
    lags = {"user_lag": 0.0, "item_lag": 0.0}
    lengths = []
    for row in test:
        of_user = [other for other in train if other.user == row.user]
        of_item = [other for other in train if other.item == row.item]
        counts["user_future"] += any(other.time > row.time for other in of_user)
        counts["item_future"] += any(other.time > row.time for other in of_item)
        counts["cold_users"] += not of_user
        counts["cold_items"] += not of_item
        for name, late in (("user_lag", of_user), ("item_lag", of_item)):
            lags[name] = max([lags[name], *(other.time - row.time for other in late)])
        same = [other for other in of_user if other.item == row.item]
        if same:
            counts["repeated"] += 1
            counts["repeated_same_label"] += same[-1].label == row.label
            counts["repeated_later"] += any(other.time > row.time for other in same)
        asked = min(o.time for o in rows if o.request == row.request)
        history = [o for o in rows if o.user == row.user and o.time < asked]
        counts["after_test"] += any(other.part == Part.TEST for other in history)
        counts["without_history"] += not history
        lengths.append(len(history))
    lengths.sort()
    first = min(row.time for row in test)
    used: dict[int, set[int]] = {}
    for row in rows:
        if row.part <= Part.TEST:
            used.setdefault(row.request, set()).add(row.part)
    quantiles = {
        name: lengths[max(0, math.ceil(share * len(lengths)) - 1)]
        for name, share in (("p10", 0.1), ("median", 0.5), ("p90", 0.9))
    }
    valid = min((row.time for row in rows if row.part == Part.VALID), default=math.inf)
    spans: dict[int, list[float]] = {}
    for row in rows:
        spans.setdefault(row.request, []).append(row.time)
    return counts | {
        **lags,
        "longest_request": max(times[-1] - times[0] for times in spans.values()),
        "trained_after_valid": sum(row.time > valid for row in train),
        "trained_after": sum(row.time > first for row in train),
        "cut_requests": sum(len(parts) > 1 for parts in used.values()),
        "histories": quantiles,
    }


def slow_z(rows: list[Row]) -> float | None:
    """Difference of the mean labels of test and train in standard errors clustered by user."""
    if len({row.user for row in rows if row.part in (Part.TRAIN, Part.TEST)}) < 10:
        return None
    means, counts = {}, {}
    for part in (Part.TRAIN, Part.TEST):
        labels = [row.label for row in rows if row.part == part]
        means[part], counts[part] = sum(labels) / len(labels), len(labels)
    variance = 0.0
    for user in {row.user for row in rows}:
        share = 0.0
        for part, sign in ((Part.TEST, 1), (Part.TRAIN, -1)):
            own = [row.label - means[part] for row in rows if row.user == user and row.part == part]
            share += sign * sum(own) / counts[part]
        variance += share**2
    if math.sqrt(variance) <= 1e-9 * max(means.values()):  # one user, or all labels the same
        return None
    return float((means[Part.TEST] - means[Part.TRAIN]) / np.sqrt(variance))
