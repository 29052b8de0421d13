"""Play a plan: round by round, score, roll the dice, move the state.

Legend: R requests, M slots of a request, a users of the present round.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from genrank_cli.simulate.dynamics import (
    Marks,
    State,
    click_logit,
    dwell_given_click,
    like_given_click,
)
from genrank_cli.simulate.plan import Dice, Plan, make_dice, make_plan, thin
from genrank_cli.simulate.world import Floats, Users, World, make_users

BLOCK_USERS = 4096
"""Users drawn together. Part of the scheme: another size is another world for the same seed."""

COARSE_USERS, COARSE_REACH, COARSE_STEPS = 256, 16.0, 11
FINE_REACH, FINE_STEPS = 0.25, 6


@dataclass(frozen=True)
class Outcome:
    """What came of every slot [R, M]; slots that are not shown hold what would have come."""

    click: Marks
    like: Marks
    dwell: Floats  # seconds
    p_click: Floats  # given the state before the request
    p_like: Floats  # the same: P(click) · P(like | click)
    e_dwell: Floats  # the same: expected seconds, 0 without a click included


@dataclass(frozen=True)
class Block:
    """A block of users with all their requests."""

    number: int
    users: Users
    plan: Plan
    outcome: Outcome


def play(world: World, users: Users, plan: Plan, dice: Dice, intercept: float) -> Outcome:
    """Roll every request of `plan` with the given `dice`.

    The slots of one request see the same state and their own dice: changing a die changes that
    label and later requests of the same user, nothing else.
    """
    config = world.config
    out = _empty_outcome(plan)
    state = State.fresh(len(users.bias), config.topics)
    for start, stop in zip(plan.starts[:-1], plan.starts[1:], strict=True):
        rows = slice(start, stop)
        item, shown = plan.item[rows], plan.shown[rows]
        state.fade(config, plan.gap[rows])
        scene = plan.surface[rows], plan.time[rows]
        score = intercept + click_logit(world, users, state, item, *scene)
        p_click, p_like = expit(score), like_given_click(config, score)
        click = dice.click[rows] < p_click
        like = click & (dice.like[rows] < p_like)
        state.react(config, world.catalogue.topic[item], shown, click & shown, like & shown)
        seconds = dwell_given_click(config, score, world.catalogue.duration[item])
        spread = config.dwell.noise
        out.click[rows], out.like[rows] = click, like
        out.dwell[rows] = click * seconds * np.exp(spread * dice.dwell[rows] - spread**2 / 2)
        out.p_click[rows], out.p_like[rows] = p_click, p_click * p_like
        out.e_dwell[rows] = p_click * seconds
    return out


def _empty_outcome(plan: Plan) -> Outcome:
    shape = plan.item.shape
    return Outcome(
        click=np.empty(shape, dtype=np.bool_),
        like=np.empty(shape, dtype=np.bool_),
        dwell=np.empty(shape),
        p_click=np.empty(shape),
        p_like=np.empty(shape),
        e_dwell=np.empty(shape),
    )


def calibrate(world: World) -> float:
    """The intercept that gives the configured click rate in the first block of users.

    Bisection over a wide range on a few users, then over a narrow one on all of the block.
    """
    users, plan, dice = _draw_block(world, 0, min(world.config.users, BLOCK_USERS))
    every = -(-len(users.bias) // COARSE_USERS)
    some = Users(users.segment[::every], users.bias[::every], users.taste[::every])
    rough = _bisect(world, some, *thin(plan, dice, every), 0.0, COARSE_REACH, COARSE_STEPS)
    return _bisect(world, users, plan, dice, rough, FINE_REACH, FINE_STEPS)


def _bisect(
    world: World, users: Users, plan: Plan, dice: Dice, middle: float, reach: float, steps: int
) -> float:
    """The intercept within `reach` of `middle`, halving the range `steps` times."""
    for _ in range(steps):
        rate = play(world, users, plan, dice, middle).p_click[plan.shown].mean()
        reach /= 2
        middle += reach if rate < world.config.click_rate else -reach
    return middle


def blocks(world: World, intercept: float) -> Iterator[Block]:
    """Every block of users in turn; only one is in memory at a time."""
    total = world.config.users
    for block, first in enumerate(range(0, total, BLOCK_USERS)):
        users, plan, dice = _draw_block(world, block, min(BLOCK_USERS, total - first))
        yield Block(block, users, plan, play(world, users, plan, dice, intercept))


def _draw_block(world: World, block: int, count: int) -> tuple[Users, Plan, Dice]:
    config = world.config
    plan = make_plan(config, world.catalogue, block, count)
    return make_users(config, block, count), plan, make_dice(config, block, len(plan.user))
