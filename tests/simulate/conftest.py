"""Small worlds, and the pieces of one block at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from genrank_cli.simulate.config import FeedConfig
from genrank_cli.simulate.feed import Outcome, play
from genrank_cli.simulate.plan import Dice, Plan, make_dice, make_plan
from genrank_cli.simulate.world import Users, World, make_users, make_world

SMALL: dict[str, Any] = {
    "users": 120,
    "items": 240,
    "requests": 8,
    "topics": 6,
    "authors": 24,
    "content": {"width": 8},
}
STILL: dict[str, Any] = {
    "interest": {"strength": 0},
    "mood": {"strength": 0},
    "fatigue": {"strength": 0},
}
"""Nothing that the user does has an effect."""


def small(**changes: Any) -> FeedConfig:
    """A world of 120 users with some parameters changed."""
    return FeedConfig.model_validate(SMALL | changes)


@dataclass(frozen=True)
class Stage:
    """A world, its first block of users, and what they do at intercept −1."""

    world: World
    users: Users
    plan: Plan
    dice: Dice
    outcome: Outcome

    @classmethod
    def of(cls, config: FeedConfig) -> Stage:
        world = make_world(config)
        users = make_users(config, 0, config.users)
        plan = make_plan(config, world.catalogue, 0, config.users)
        dice = make_dice(config, 0, len(plan.user))
        return cls(world, users, plan, dice, play(world, users, plan, dice, -1.0))


@pytest.fixture(scope="session")
def stage() -> Stage:
    return Stage.of(small())
