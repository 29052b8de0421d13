"""The words behind a verdict: what the interval excludes, and what the users' interval does not."""

from __future__ import annotations

import math

from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.evidence import COMPATIBLE_SHARE, Statement, turned


def measured_text(statement: Statement, effect: Interval, users: Interval | None) -> str:
    """The numbers that every reason begins with."""
    unit = statement.unit
    shown = f"measured {unit.text(effect.mean)} {unit.bounds(effect)}"
    if users is not None and known(users):
        shown += f" (users {unit.bounds(users)})"
    if statement.reported is None:
        return f"{shown}, claimed {'more' if statement.direction == 'up' else 'less'}: "
    return f"{shown}, reported {unit.text(statement.reported)}: "


def why_shown(statement: Statement, effect: Interval) -> str:
    """Of a reproduced claim."""
    if statement.margin is not None:
        return "equal within the tolerance"
    low, size = turned(statement, effect).low, statement.size
    larger = ", larger than claimed" if size is not None and low > abs(size) else ""
    return f"the claimed direction{larger}, no effect is excluded"


def why_excluded(statement: Statement, effect: Interval) -> str:
    """Of a contradicted claim."""
    if statement.margin is not None:
        return "equality within the tolerance is excluded"
    interval = turned(statement, effect)
    if interval.high < 0:
        return "the effect goes the other way"
    if statement.size is None or interval.high >= COMPATIBLE_SHARE * abs(statement.size):
        return "the gain behind it goes the other way"
    if interval.low > 0:
        return "the claimed direction, but less than half of the size"
    return "no effect seen, and half of the claimed size is excluded"


def why_open(statement: Statement, effect: Interval) -> str:
    """Of a claim that is neither."""
    if statement.margin is not None:
        return "the interval reaches beyond the tolerance"
    if turned(statement, effect).low > 0:
        return "the claimed direction, but the gain behind it is not shown"
    if statement.size is None:
        return "neither direction is excluded"
    return "neither no effect nor half of the claimed size is excluded"


def left_open_by_users(statement: Statement, users: Interval | None, shown: bool) -> str | None:
    """What a finding excludes over seeds and the interval over resampled users does not.

    `shown` tells a reproduced claim from a contradicted one. Empty where the users agree, None
    where there is no interval over users.
    """
    if users is None or not known(users):
        return None
    interval, margin, size = turned(statement, users), statement.margin, statement.size
    if margin is not None:
        inside = -margin < interval.low and interval.high < margin
        outside = interval.low > margin or interval.high < -margin
        if shown:
            return "" if inside else "a difference beyond the tolerance"
        return "" if outside else "equality"
    if shown:
        return "" if interval.low > 0 else "no effect"
    if size is None:
        return "" if interval.high < 0 else "no effect"
    return "" if interval.high < COMPATIBLE_SHARE * abs(size) else "half of the claimed size"


def known(interval: Interval) -> bool:
    """Whether the interval has bounds."""
    return math.isfinite(interval.high - interval.low)
