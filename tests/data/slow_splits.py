"""The definitions of the splits, in slow loops over requests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import groupby

import numpy as np

from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.store import Store

Rows = list[list[int]]


def day_of(seconds: float, offset: float) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, hours=offset)
    return moment.date().isoformat()


def usual_of(store: Store) -> list[bool]:
    """Whether each event takes part; those apart do not."""
    events = store.manifest.counts.events
    return (store.column("apart") == 0).tolist() if store.manifest.apart else [True] * events


def slow_parts(store: Store, spec: SplitSpec) -> list[int]:
    """The part of every event."""
    rows = list(range(store.manifest.counts.events))
    request, user = store.column("request").tolist(), store.column("user").tolist()
    time, usual = store.column("timestamp").tolist(), usual_of(store)
    requests = [list(group) for _, group in groupby(rows, key=lambda row: request[row])]
    rule = {"temporal": slow_temporal, "date": slow_date, "user-temporal": slow_user_temporal}
    if spec.name in rule:
        of_request = rule[spec.name](requests, user, time, usual, spec)
    elif spec.name == "user":
        of_request = []
        for group in requests:
            digest = blake2b(str(user[group[0]]).encode(), digest_size=8).digest()
            share = int.from_bytes(digest, "big") / 2**64
            train, valid, _ = spec.shares
            of_request.append((share >= train) + (share >= train + valid))
    else:
        return slow_leave_one_out(requests, user, usual)
    parts = [0] * len(rows)
    for group, part in zip(requests, of_request, strict=True):
        for row in group:
            parts[row] = part if usual[row] else (4 if part == 2 else 3)
    return parts


def slow_temporal(
    requests: Rows, user: list[int], time: list[float], usual: list[bool], spec: SplitSpec
) -> list[int]:
    bounds = list(spec.bounds)
    if not bounds:
        ordered = sorted(t for t, counts in zip(time, usual, strict=True) if counts)
        train, valid, _ = spec.shares
        bounds = [ordered[round(s * (len(ordered) - 1))] for s in (train, train + valid)]
    if len(bounds) == 1:
        bounds *= 2
    return [sum(time[group[0]] >= bound for bound in bounds) for group in requests]


def slow_date(
    requests: Rows, user: list[int], time: list[float], usual: list[bool], spec: SplitSpec
) -> list[int]:
    offset = spec.utc_offset_hours or 0.0
    days = [day_of(time[group[0]], offset) for group in requests]
    if spec.test_from is not None:
        valid_from = spec.valid_from or spec.test_from
        return [(day >= valid_from) + (day >= spec.test_from) for day in days]
    counts: dict[str, int] = {}
    for day, group in zip(days, requests, strict=True):
        counts[day] = counts.get(day, 0) + sum(usual[row] for row in group)
    filled = sorted(day for day, count in counts.items() if count)
    total = sum(counts.values())

    def share_before(day: str) -> float:
        return sum(count for other, count in counts.items() if other < day) / total

    train, valid, _ = spec.shares
    last = len(filled) - (1 if valid else 0)
    begin = min(filled[1:last], key=lambda day: abs(share_before(day) - train))
    later = [day for day in filled if day > begin]
    end = min(later, key=lambda day: abs(share_before(day) - train - valid)) if valid else begin
    return [(day >= begin) + (day >= end) for day in days]


def slow_user_temporal(
    requests: Rows, user: list[int], time: list[float], usual: list[bool], spec: SplitSpec
) -> list[int]:
    train, valid, _ = spec.shares
    parts = []
    for group in requests:
        own = [row for row in range(len(user)) if user[row] == user[group[0]] and usual[row]]
        rank = sum(row < group[0] for row in own)
        bounds = [np.rint(train * len(own)), np.rint((train + valid) * len(own))]
        parts.append(sum(rank >= bound for bound in bounds))
    return parts


def slow_leave_one_out(requests: Rows, user: list[int], usual: list[bool]) -> list[int]:
    parts = [0 if counts else 3 for counts in usual]
    for owner in sorted(set(user)):
        own = [group for group in requests if user[group[0]] == owner]
        taking = [group for group in own if any(usual[row] for row in group)]
        if len(taking) < 3:
            continue
        for group, part in ((taking[-1], 2), (taking[-2], 1)):
            *siblings, last = [row for row in group if usual[row]]
            parts[last] = part
            for row in siblings:
                parts[row] = 3
        for row in range(taking[-1][0], own[-1][-1] + 1):
            parts[row] = parts[row] if usual[row] else 4
    return parts
