"""Logs of any size in the layout of KuaiRand-Pure, to measure with: shape and quirks, no content.

Users come in bursts, items are met by Zipf's law, feedback depends on user, item and page, and the
files have the peculiarities of the real ones: exact copies of rows, no order, an hour that is off
in a sixth of the rows, durations and play times of 0, special values, several tags in one cell. All
numbers that say how often are those of the published files. Rows are drawn in blocks of users with
random streams of their own, so that memory does not grow with the number of events (but with the
number of items: 16 bytes each).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import Field, model_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.simulate.streams import stream

BLOCK_ROWS = 500_000
FEWEST = 1000  # rows of the standard logs
DAY_MS = 86_400_000
HOUR_MS = 3_600_000
FIRST_DAY_MS = 1_649_347_200_000  # 2022-04-08 00:00 in China
PERIOD_SHARE = 14 / 31  # of the days, in the first of the two logs
COPIES = 0.0239  # share of the rows that repeat another one
HOUR_OFF = 0.175  # share of the rows whose date and hour are one hour late
NO_DURATION = 0.0156
SAME_MOMENT = 0.02  # share of the events at the very time of the one before
BURST_GAP_S = (15.0, 1.2)  # median and log-deviation of the seconds between two events of a burst
HEAD = 50  # items that are about equally popular; from there on popularity falls as 1 / rank

#: events by hour of the day, and by tab (page) from 0 on, in shares
HOURS = (
    36, 23, 15, 9, 8, 10, 18, 27, 34, 40, 46, 52, 59, 56, 51, 52, 56, 60, 56, 55, 57, 61, 64, 58,
)  # fmt: skip
TABS = (89, 758, 30, 1.5, 60, 2.9, 49, 0.6, 4.7, 0.65, 0.27, 1.1, 2.3, 0.33, 0.08)
#: click rate by tab
CLICK = (
    0.086, 0.494, 0.481, 0.3, 0.596, 0.254, 0.149, 0.3, 0.042, 0.3, 0.3, 0.3, 0.126, 0.3, 0.3,
)  # fmt: skip
#: rate of the other feedback among clicked rows
RATES = {"is_like": 0.037, "is_follow": 0.003, "is_comment": 0.0055, "is_forward": 0.0019,
         "is_hate": 0.0005, "is_profile_enter": 0.04}  # fmt: skip
#: events, users and items of the published versions with 27,285 users
PURE, LARGE = (1_436_609, 7_551), (322_278_385, 32_038_725)
USERS = 27_285

Values = npt.NDArray[Any]


class Shape(Frozen):
    """How large the log is: rows of the standard logs, users, items, days.

    ``random_share``: rows of the log of random exposures, as a share of ``events``; 0: no such log.
    """

    events: int = Field(ge=FEWEST)
    users: int = Field(ge=1)
    items: int = Field(ge=1)
    days: int = Field(31, ge=2, le=366)
    seed: int = Field(0, ge=0)
    random_share: float = Field(0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _enough_events(self) -> Shape:
        if self.distinct < self.users:
            raise ValueError(
                f"{self.events} are too few for {self.users} users: each has one or more"
            )
        return self

    @classmethod
    def of_events(cls, events: int, **given: Any) -> Shape:
        """A shape between those of the published versions; ``given`` replaces single values.

        Users as in KuaiRand-Pure, at most those of all versions; items by the power of the events
        that leads from Pure to 27K.
        """
        power = np.log(LARGE[1] / PURE[1]) / np.log(LARGE[0] / PURE[0])
        items = round(PURE[1] * (events / PURE[0]) ** power)
        users = round(USERS * events / PURE[0])
        sizes = {"users": min(USERS, max(10, users)), "items": max(100, items)}
        return cls(events=events, **(sizes | given))

    @property
    def copies(self) -> int:
        """Rows of the standard logs that repeat another one; chance may add one in 50,000."""
        return round(COPIES * self.events)

    @property
    def distinct(self) -> int:
        return self.events - self.copies

    @property
    def random_events(self) -> int:
        return round(self.random_share * self.events)

    @property
    def first_days(self) -> int:
        """Days of the first log."""
        return min(self.days - 1, max(1, round(PERIOD_SHARE * self.days)))


@dataclass(frozen=True)
class World:
    """What stands while events are drawn.

    ``order`` uint32 [I]: items by popularity; ``quality`` f32 [I] and ``bias`` f32 [U] move the
    click rate; ``duration`` int32 [I] ms; ``events`` int64 [U] rows of each user; ``ids`` [U].
    """

    order: Values
    quality: Values
    duration: Values
    bias: Values
    events: Values
    ids: Values


def make_world(shape: Shape) -> World:
    """The users and items of ``shape``."""

    def normal(name: str, size: int) -> Values:
        return stream(shape.seed, name).standard_normal(size, dtype=np.float32)

    activity = np.exp(0.9 * normal("activity", shape.users).astype(np.float64))
    draw = stream(shape.seed, "events of users")
    further = draw.multinomial(shape.distinct - shape.users, activity / activity.sum())
    return World(
        order=stream(shape.seed, "order").permutation(np.arange(shape.items, dtype=np.uint32)),
        quality=0.8 * normal("quality", shape.items),
        duration=(np.exp(11.16 + 1.0 * normal("duration", shape.items))).astype(np.int32) + 3000,
        bias=0.8 * normal("bias", shape.users),
        events=further + 1,
        ids=stream(shape.seed, "ids").permutation(shape.users),
    )


@dataclass(frozen=True)
class Block:
    """Rows of the standard logs and of the random one, of some users."""

    standard: pl.DataFrame
    random: pl.DataFrame


def blocks(shape: Shape, world: World) -> Iterator[Block]:
    """All rows, in blocks of about `BLOCK_ROWS`."""
    ends = np.cumsum(world.events)
    first = number = 0
    while first < shape.users:
        before = int(ends[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(ends, before + BLOCK_ROWS, side="right")))
        draw = stream(shape.seed, "block", number)
        user = np.repeat(np.arange(first, last), world.events[first:last])
        standard = _rows(shape, world, draw, user, at_random=False)
        copies = _share(shape.copies, before, ends[last - 1], shape.distinct)
        again = draw.integers(0, len(user), copies)
        exposed = _share(shape.random_events, before, ends[last - 1], shape.distinct)
        yield Block(
            pl.concat([standard, standard[again]]),
            _rows(shape, world, draw, np.sort(draw.choice(user, exposed)), at_random=True),
        )
        first, number = last, number + 1


def _share(total: int, start: int, stop: int, whole: int) -> int:
    """How many of ``total`` fall to the rows from ``start`` to ``stop`` of ``whole``."""
    return total * int(stop) // whole - total * int(start) // whole


def _rows(
    shape: Shape, world: World, draw: np.random.Generator, user: Values, *, at_random: bool
) -> pl.DataFrame:
    """One row for each entry of ``user`` (ascending), in random order; columns as in the files."""
    first_day = shape.first_days if at_random else 0
    time = _moments(draw, user, first_day, shape.days)
    mixed = draw.permutation(len(user))
    user, time = user[mixed], time[mixed]
    item = _items(world, draw, len(user), at_random)
    tab = _by_share(draw, TABS, len(user))
    rate = np.log(np.divide(CLICK, np.subtract(1, CLICK))).astype(np.float32)
    logit = rate[tab] + world.quality[item] + world.bias[user]
    clicked = draw.random(len(user), np.float32) < 1 / (1 + np.exp(-logit))
    duration = world.duration[item] * (draw.random(len(user), np.float32) >= NO_DURATION)
    play = _play_ms(draw, clicked)
    feedback = {name: _rare(draw, clicked, share) for name, share in RATES.items()}
    late = time + HOUR_MS * (draw.random(len(user), np.float32) < HOUR_OFF)
    return pl.DataFrame(
        {
            "user_id": world.ids[user],
            "video_id": item,
            "date": _dates(shape.days)[late // DAY_MS],
            "hourmin": (late % DAY_MS // HOUR_MS * 100).astype(np.int32),
            "time_ms": FIRST_DAY_MS + time,
            "is_click": clicked.view(np.uint8),
            **{name: feedback[name] for name in list(RATES)[:5]},
            "long_view": (clicked & ((play >= 18_000) | (play >= duration))).view(np.uint8),
            "play_time_ms": play,
            "duration_ms": duration,
            "profile_stay_time": _stay_ms(draw, len(user), 0.00008),
            "comment_stay_time": _stay_ms(draw, len(user), 0.044),
            "is_profile_enter": feedback["is_profile_enter"],
            "is_rand": np.full(len(user), at_random, np.uint8),
            "tab": tab,
        }
    )


def _moments(draw: np.random.Generator, user: Values, first_day: int, days: int) -> Values:
    """Milliseconds since the first day [n], in bursts of each user."""
    size = len(user)
    arrives = np.ones(size, np.bool_)
    np.not_equal(user[1:], user[:-1], out=arrives[1:])
    events_each = size / max(1, int(arrives.sum()))
    length = np.clip(np.sqrt(events_each), 2, 40)  # of a burst
    begins = arrives | (draw.random(size, np.float32) < 1 / length)
    burst = np.cumsum(begins) - 1
    bursts = int(begins.sum())
    start = draw.integers(first_day, days, bursts) * DAY_MS
    start += _by_share(draw, HOURS, bursts) * np.int64(HOUR_MS)
    start += draw.integers(0, HOUR_MS, bursts)
    median, deviation = BURST_GAP_S
    gap = 1000 * median * np.exp(deviation * draw.standard_normal(size, np.float32))
    gap[draw.random(size, np.float32) < SAME_MOMENT] = 0
    passed = np.cumsum(gap.astype(np.int64))
    time = start[burst] + (passed - passed[begins][burst]) % (4 * HOUR_MS)
    return np.asarray(np.minimum(time, days * DAY_MS - 1))


def _items(world: World, draw: np.random.Generator, size: int, at_random: bool) -> Values:
    items = len(world.order)
    if at_random:
        return draw.integers(0, items, size, dtype=np.uint32)
    # The inverse of the distribution function of a density that falls as 1 / (HEAD + rank).
    rank = HEAD * ((1 + items / HEAD) ** draw.random(size)) - HEAD
    return np.asarray(world.order[np.minimum(rank.astype(np.int64), items - 1)])


def _play_ms(draw: np.random.Generator, clicked: Values) -> Values:
    """Milliseconds [n]: seconds where it was passed over, half a minute where it was clicked."""
    spread = draw.standard_normal(len(clicked), np.float32)
    play = np.where(clicked, 7000 + 19_000 * np.exp(1.1 * spread), 2150 * np.exp(0.8 * spread))
    never = draw.random(len(clicked), np.float32) < np.where(clicked, 0.005, 0.171)
    return np.where(never, 0, np.minimum(play, 900_000)).astype(np.int32)


def _rare(draw: np.random.Generator, clicked: Values, share: float) -> Values:
    return (clicked & (draw.random(len(clicked), np.float32) < share)).view(np.uint8)


def _stay_ms(draw: np.random.Generator, size: int, share: float) -> Values:
    stay = np.zeros(size, np.int32)
    some = draw.random(size, np.float32) < share
    stay[some] = np.minimum(draw.exponential(10_000, int(some.sum())), 300_000)
    return stay


def _by_share(draw: np.random.Generator, shares: tuple[float, ...], size: int) -> Values:
    """Indices [size], each as often as its share: one look into a table of 2^16 entries."""
    bounds = np.rint(np.cumsum(shares) / np.sum(shares) * 2**16).astype(np.int64)
    table = np.repeat(np.arange(len(shares), dtype=np.uint8), np.diff(bounds, prepend=0))
    return table[draw.integers(0, 2**16, size, dtype=np.uint16)]


def _dates(days: int) -> Values:
    """``YYYYMMDD`` of each day, and of the one that a late hour may reach."""
    first = np.datetime64("2022-04-08")
    return np.array([int(str(first + day).replace("-", "")) for day in range(days + 1)], np.int32)
