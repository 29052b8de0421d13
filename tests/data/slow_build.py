"""What a store must hold, event by event in plain Python: the reference for the builder."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

Event = dict[str, Any]


@dataclass
class Log:
    """A store as lists: columns [E], raw ids by code, counts."""

    columns: dict[str, list[Any]] = field(default_factory=dict)
    users: list[Any] = field(default_factory=list)
    items: list[Any] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)
    duplicates: int = 0
    odd: int = 0


def slow_build(rows: list[Event], rule: str, gap: float) -> Log | None:
    """The log that the raw events make; None where a request is not contiguous in time.

    A raw event has ``user``, ``item``, ``time`` in milliseconds, ``request``, ``like``, ``a``,
    ``b``, ``number``, ``tab``, ``apart`` and ``odd``.
    """
    log = Log(odd=sum(row["odd"] for row in rows))
    events = _without_copies(sorted(rows, key=lambda row: (row["user"], row["time"])), rule)
    requests = _requests(events, rule, gap)
    if rule == "column" and _not_contiguous(events, requests):
        return None
    log.duplicates = len(rows) - len(events)
    log.users = sorted({event["user"] for event in events})
    log.items = sorted({event["item"] for event in events})
    log.contexts = sorted({event["tab"] for event in events if event["tab"] is not None})
    tabs = [None, *log.contexts]
    log.columns = {
        "user": [log.users.index(event["user"]) for event in events],
        "item": [log.items.index(event["item"]) for event in events],
        "timestamp": [event["time"] / 1000 for event in events],
        "request": requests,
        "actions": [event["a"] + 2 * event["b"] for event in events],
        "task.like": [event["like"] for event in events],
        "number.n": [_number(event["number"]) for event in events],
        "context.tab": [tabs.index(event["tab"]) for event in events],
        "apart": [int(event["apart"]) for event in events],
    }
    return log


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _without_copies(events: list[Event], rule: str) -> list[Event]:
    """The first of every set of events that are equal in all that is kept.

    A request's id is kept only where requests come from a column.
    """
    unread = {"odd": None} | ({"request": None} if rule == "gap" else {})
    seen, kept = set(), []
    for event in events:
        number = _number(event["number"])
        values = {**event, "number": "missing" if math.isnan(number) else number, **unread}
        key = tuple(sorted(values.items()))  # whatever order the fields were given in
        if key not in seen:
            seen.add(key)
            kept.append(event)
    return kept


def _requests(events: list[Event], rule: str, gap: float) -> list[int]:
    """Number of the request of each event."""
    numbers: list[int] = []
    for before, event in zip([None, *events], events, strict=False):
        if before is None:
            numbers.append(0)
            continue
        same = before["user"] == event["user"]
        if rule == "gap":
            same &= event["time"] - before["time"] <= gap * 1000
        else:
            same &= before["request"] == event["request"]
        numbers.append(numbers[-1] + (not same))
    return numbers


def _not_contiguous(events: list[Event], requests: list[int]) -> bool:
    found: dict[tuple[Any, Any], int] = {}
    return any(
        found.setdefault((event["user"], event["request"]), number) != number
        for event, number in zip(events, requests, strict=True)
    )
