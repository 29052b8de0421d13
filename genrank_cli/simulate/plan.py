"""What happens to users whatever they do: when they come, what they are shown, and their dice.

Rows are requests in *rounds*: the first request of every user, then the second of those who have
one, and so on. Users are numbered by falling number of requests, so the users of a round are
0…a−1 and the state of a round is a prefix of the state of the block.

Legend: B users of a block, R requests of a block, M the most candidates of a request.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from genrank_cli.simulate.config import DAY_S, SURFACE_SHARE, FeedConfig
from genrank_cli.simulate.streams import stream
from genrank_cli.simulate.world import Catalogue, Floats, Ints

SHORT_GAP_S = 180.0
SHORT_SPREAD = 0.8
LONG_SPREAD = 1.2
MIN_GAP_S = 5.0
MOST_TIMES_MEAN = 8


@dataclass(frozen=True)
class Plan:
    """The requests of one block of users."""

    starts: Ints  # [rounds + 1] first row of each round
    user: Ints  # [R] 0…B−1 within the block
    time: Floats  # [R] seconds since the start, whole milliseconds
    gap: Floats  # [R] seconds since the user's previous request; 0 for the first
    surface: Ints  # [R] index into SURFACES
    item: Ints  # [R, M] index into the catalogue
    shown: NDArray[np.bool_]  # [R, M] the first `size` slots


@dataclass(frozen=True)
class Dice:
    """The noise behind the labels, one number for each slot."""

    click: Floats  # [R, M] uniform: clicked where below the probability
    like: Floats  # [R, M] uniform
    dwell: Floats  # [R, M] standard normal


def make_plan(config: FeedConfig, catalogue: Catalogue, block: int, users: int) -> Plan:
    """Draw the requests of a block of `users` users."""
    counts = _request_counts(config, block, users)
    rounds = np.repeat(np.arange(users), counts), np.concatenate([np.arange(n) for n in counts])
    order = np.lexsort(rounds)  # by round, then user
    time, gap = _times(config, block, counts)
    user, time, gap = rounds[0][order], time[order], gap[order]
    starts = np.concatenate([[0], np.cumsum(np.bincount(rounds[1]))])
    rng = stream(config.seed, "surface", block)
    surface = np.searchsorted(np.cumsum(SURFACE_SHARE)[:-1], rng.random(len(user)), side="right")
    fewest, most = config.candidates
    size = fewest + stream(config.seed, "size", block).binomial(most - fewest, 0.5, len(user))
    item = _candidates(config, catalogue, block, time)
    return Plan(starts, user, time, gap, surface, item, np.arange(most) < size[:, None])


def make_dice(config: FeedConfig, block: int, requests: int) -> Dice:
    """Draw the noise of a block of `requests` requests."""
    shape = (requests, config.candidates[1])
    return Dice(
        click=stream(config.seed, "click", block).random(shape),
        like=stream(config.seed, "like", block).random(shape),
        dwell=stream(config.seed, "dwell", block).standard_normal(shape),
    )


def thin(plan: Plan, dice: Dice, every: int) -> tuple[Plan, Dice]:
    """The requests of every `every`-th user: light and heavy users in their proportion."""
    keep = plan.user % every == 0
    rounds = np.repeat(np.arange(len(plan.starts) - 1), np.diff(plan.starts))
    starts = np.concatenate([[0], np.cumsum(np.bincount(rounds[keep]))])
    part = Plan(
        starts=starts,
        user=plan.user[keep] // every,
        time=plan.time[keep],
        gap=plan.gap[keep],
        surface=plan.surface[keep],
        item=plan.item[keep],
        shown=plan.shown[keep],
    )
    return part, Dice(dice.click[keep], dice.like[keep], dice.dwell[keep])


def _request_counts(config: FeedConfig, block: int, users: int) -> Ints:
    """Requests of each user [B], falling: log-normal with the configured mean, at least 2."""
    spread = config.activity_spread
    normal = stream(config.seed, "activity", block).standard_normal(users)
    mean = config.requests * np.exp(spread * normal - spread**2 / 2)
    counts = np.clip(np.rint(mean), 2, MOST_TIMES_MEAN * config.requests).astype(np.int64)
    return np.sort(counts)[::-1]


def _times(config: FeedConfig, block: int, counts: Ints) -> tuple[Floats, Floats]:
    """Moments and gaps [R], user by user.

    A request opens a session with probability 1 / `session_requests`; inside a session the gaps
    are log-normal minutes. The gaps between sessions, and those before the first and after the
    last, share what is left of the days in log-normal proportions: heavy users return sooner.
    """
    rng = stream(config.seed, "times", block)
    total = int(counts.sum())
    user = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    opens = rng.random(total) < 1 / config.session_requests
    opens[first] = True
    short = np.maximum(MIN_GAP_S, SHORT_GAP_S * np.exp(SHORT_SPREAD * rng.standard_normal(total)))
    short[opens] = 0
    long = np.where(opens, np.exp(LONG_SPREAD * rng.standard_normal(total)), 0)
    after_last = np.exp(LONG_SPREAD * rng.standard_normal(len(counts)))
    horizon = config.days * DAY_S
    in_session = np.bincount(user, short)
    squeeze = np.minimum(1, 0.5 * horizon / np.maximum(in_session, 1))
    between = np.bincount(user, long) + after_last
    scale = (horizon - squeeze * in_session) / between
    gap = squeeze[user] * short + scale[user] * long
    elapsed = np.cumsum(gap)
    time = elapsed - (elapsed[first] - gap[first])[user]
    time = np.round(time, 3)
    gap = np.diff(time, prepend=0)
    gap[first] = 0
    return time, gap


def _candidates(config: FeedConfig, catalogue: Catalogue, block: int, time: Floats) -> Ints:
    """Items [R, M] already born at `time`, drawn by exposure weight, distinct within a request."""
    rng = stream(config.seed, "candidates", block)
    born = np.searchsorted(catalogue.birth, time, side="right")
    total = catalogue.reach[born - 1]
    item = _draw(catalogue, total[:, None] * rng.random((len(time), config.candidates[1])))
    while (again := _repeats(item)).any():
        row = np.nonzero(again)[0]
        item[again] = _draw(catalogue, total[row] * rng.random(len(row)))
    return item


def _draw(catalogue: Catalogue, height: Floats) -> Ints:
    return np.searchsorted(catalogue.reach, height, side="right")


def _repeats(item: Ints) -> NDArray[np.bool_]:
    """True where the same item stands in an earlier slot of its row."""
    order = np.argsort(item, axis=1, kind="stable")
    ranked = np.take_along_axis(item, order, axis=1)
    repeated = np.zeros(item.shape, dtype=np.bool_)
    np.put_along_axis(repeated, order[:, 1:], ranked[:, 1:] == ranked[:, :-1], axis=1)
    return repeated
