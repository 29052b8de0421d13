"""The words behind a verdict: what the interval excludes, and what the users' interval does not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.evidence import no_gain, turned, weigh
from genrank_cli.studies.statement import Statement

LOSS = "a loss beyond the tolerance"

#: A p-value from here on shows nothing.
SHOWN = 0.05


def measured_text(
    statement: Statement, effect: Interval, users: Interval | None, gains: Sequence[Interval] = ()
) -> str:
    """The numbers that every reason begins with."""
    unit = statement.unit
    shown = f"measured {unit.text(effect.mean)} {unit.bounds(effect)}"
    if users is not None and known(users):
        shown += f" (users {unit.bounds(users)})"
    if gains:
        both = " and ".join(f"{unit.text(gain.mean)} {unit.bounds(gain)}" for gain in gains)
        shown += f", the gains {both}"
    if statement.reported is None:
        return f"{shown}, claimed {'more' if statement.direction == 'up' else 'less'}: "
    if statement.bound == "no_loss":
        return f"{shown}, claimed no loss: "
    least = "more than " if statement.bound == "at_least" else ""
    return f"{shown}, reported {least}{unit.text(statement.reported)}: "


def why_shown(statement: Statement, effect: Interval, gains: Sequence[Interval] = ()) -> str:
    """Of a reproduced claim."""
    if statement.bound == "no_loss":
        return f"{LOSS} is excluded"
    if statement.margin is not None:
        return "equal within the tolerance"
    if statement.bound == "at_least":
        return "the claimed direction, and less than the claimed size is excluded"
    interval, size = turned(statement, effect), statement.size
    beside = ""
    if size is not None and interval.low > abs(size):
        beside = ", larger than claimed"
    elif size is not None and interval.high < abs(size):
        beside = ", smaller than claimed"
    return f"the claimed direction{beside}, no effect is excluded"


def why_excluded(statement: Statement, effect: Interval, gains: Sequence[Interval] = ()) -> str:
    """Of a contradicted claim."""
    if statement.bound == "no_loss":
        return LOSS
    if statement.margin is not None:
        return "equality within the tolerance is excluded"
    interval, least = turned(statement, effect), statement.bound == "at_least"
    if interval.high < 0:
        return "the effect goes the other way"
    if statement.size is None or interval.high >= statement.compatible:
        return "the gain behind it goes the other way"
    if interval.low > 0:
        return f"the claimed direction, but less than {'' if least else 'half of '}the size"
    return f"no effect seen, and {_least(statement)} is excluded"


def why_open(statement: Statement, effect: Interval, gains: Sequence[Interval] = ()) -> str:
    """Of a claim that is neither."""
    interval = turned(statement, effect)
    if statement.margin is not None:
        equal = weigh(statement, effect).support < SHOWN
        if equal and gains and no_gain(statement, gains) >= SHOWN:
            return "no gain is shown on either side, so there is nothing to compare"
        return "the interval reaches beyond the tolerance"
    if interval.low > statement.needed:
        return "the claimed direction, but the gain behind it is not shown"
    if statement.size is None:
        return "neither direction is excluded"
    if statement.bound == "at_least":
        seen = "the claimed direction, but " if interval.low > 0 else ""
        return f"{seen}neither less nor more than the claimed size is excluded"
    return "neither no effect nor half of the claimed size is excluded"


def left_open_by_users(statement: Statement, users: Interval | None, shown: bool) -> str | None:
    """What a finding excludes over seeds and the interval over resampled users does not.

    `shown` tells a reproduced claim from a contradicted one. Empty where the users agree, None
    where there is no interval over users.
    """
    if users is None or not known(users):
        return None
    interval, margin = turned(statement, users), statement.margin
    if margin is not None and statement.bound == "no_loss":
        if shown:
            return "" if interval.low > -margin else LOSS
        return "" if interval.high < -margin else "a smaller loss"
    if margin is not None:
        inside = -margin < interval.low and interval.high < margin
        outside = interval.low > margin or interval.high < -margin
        if shown:
            return "" if inside else "a difference beyond the tolerance"
        return "" if outside else "equality"
    if shown:
        less = "less than the claimed size" if statement.needed else "no effect"
        return "" if interval.low > statement.needed else less
    return "" if interval.high < statement.compatible else _least(statement)


def _least(statement: Statement) -> str:
    """What a contradiction excludes, in words."""
    if statement.size is None:
        return "no effect"
    return "the claimed size" if statement.bound == "at_least" else "half of the claimed size"


def known(interval: Interval) -> bool:
    """Whether the interval has bounds."""
    return math.isfinite(interval.high - interval.low)
