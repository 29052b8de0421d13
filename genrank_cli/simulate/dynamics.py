"""How a user's state moves and what it makes of an exposure.

Legend: B users, K topics, a users of the present round, M slots of a request.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from genrank_cli.simulate.config import DAY_S, DURATIONS_S, HOUR_S, FeedConfig
from genrank_cli.simulate.world import Floats, Ints, Users, World

Marks = NDArray[np.bool_]


@dataclass
class State:
    """What every user's earlier requests left behind, as of the newest of them."""

    interest: Floats  # [B, K]
    fatigue: Floats  # [B, K]
    mood: Floats  # [B]

    @classmethod
    def fresh(cls, users: int, topics: int) -> State:
        return cls(np.zeros((users, topics)), np.zeros((users, topics)), np.zeros(users))

    def fade(self, config: FeedConfig, gap: Floats) -> None:
        """Let `gap` [a] seconds pass for the first a users."""
        hours = -gap[:, None] / HOUR_S
        self.interest[: len(gap)] *= np.exp2(hours / config.interest.half_life_h)
        self.mood[: len(gap)] *= np.exp2(hours[:, 0] / config.mood.half_life_h)
        self.fatigue[: len(gap)] *= np.exp2(hours / config.fatigue.half_life_h)

    def react(
        self, config: FeedConfig, topic: Ints, shown: Marks, click: Marks, like: Marks
    ) -> None:
        """Add one request's exposures and actions, all [a, M], to the first a users."""
        surprise = click - config.click_rate * shown
        self.mood[: len(topic)] += surprise.sum(axis=1)
        gain = click + config.interest.like_gain * like
        self.fatigue[: len(topic)] += _per_topic(topic, shown, self.fatigue.shape[1])
        self.interest[: len(topic)] += _per_topic(topic, gain, self.interest.shape[1])


def _per_topic(topic: Ints, amount: Marks | Floats, topics: int) -> Floats:
    """Sums of `amount` [a, M] over the slots of each topic: [a, K]."""
    rows = len(topic)
    cell = topic + topics * np.arange(rows)[:, None]
    weight = amount.ravel().astype(np.float64)
    total = np.bincount(cell.ravel(), weight, minlength=rows * topics)
    return np.asarray(total, dtype=np.float64).reshape(rows, topics)


def click_logit(
    world: World, users: Users, state: State, item: Ints, surface: Ints, time: Floats
) -> Floats:
    """Logits [a, M] without the intercept: `item` [a, M] shown to the first a users at `time`."""
    config, items = world.config, world.catalogue
    topic = items.topic[item]
    row = np.arange(len(item))[:, None]
    turn = time[:, None] / (config.popularity_drift.period_days * DAY_S) + items.phase[item]
    return np.asarray(
        items.appeal[item]
        + users.bias[: len(item), None]
        + users.taste[row, topic]
        + world.surface_topic[surface[:, None], topic]
        + config.interest.strength * np.tanh(state.interest[row, topic])
        + config.mood.strength * np.tanh(state.mood[: len(item), None] / 2)
        - config.fatigue.strength * state.fatigue[row, topic]
        + config.popularity_drift.strength * np.sqrt(2) * np.sin(2 * np.pi * turn)
    )


def like_given_click(config: FeedConfig, click: Floats) -> Floats:
    """P(like | click) from the whole click logit, intercept included."""
    above = click - logit(config.click_rate)
    return np.asarray(expit(logit(config.like.rate) + config.like.slope * above))


def dwell_given_click(config: FeedConfig, click: Floats, duration: Ints) -> Floats:
    """Expected seconds given a click: the duration times the expected share watched."""
    above = click - logit(config.click_rate)
    share = expit(logit(config.dwell.completion) + config.dwell.slope * above)
    return np.asarray(np.asarray(DURATIONS_S)[duration] * share)
