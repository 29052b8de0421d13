"""The vectorised feed against the formulas of the package docstring, one exposure at a time."""

from __future__ import annotations

import math
from collections import defaultdict

import numpy as np
import pytest

from genrank_cli.simulate.config import DURATIONS_S
from tests.simulate.conftest import Stage, small


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def log_odds(p: float) -> float:
    return math.log(p / (1 - p))


class PlainUser:
    """Interest and fatigue by topic, and mood, kept in dictionaries."""

    def __init__(self) -> None:
        self.interest: dict[int, float] = defaultdict(float)
        self.fatigue: dict[int, float] = defaultdict(float)
        self.mood = 0.0

    def fade(self, stage: Stage, hours: float) -> None:
        config = stage.world.config
        for topic in range(config.topics):
            self.interest[topic] *= 0.5 ** (hours / config.interest.half_life_h)
            self.fatigue[topic] *= 0.5 ** (hours / config.fatigue.half_life_h)
        self.mood *= 0.5 ** (hours / config.mood.half_life_h)

    def logit(self, stage: Stage, row: int, slot: int) -> float:
        config, items = stage.world.config, stage.world.catalogue
        user, item = stage.plan.user[row], stage.plan.item[row, slot]
        topic = int(items.topic[item])
        days = stage.plan.time[row] / 86_400
        wave = math.sin(
            2 * math.pi * (days / config.popularity_drift.period_days + items.phase[item])
        )
        return float(
            -1.0
            + items.appeal[item]
            + stage.users.bias[user]
            + stage.users.taste[user, topic]
            + stage.world.surface_topic[stage.plan.surface[row], topic]
            + config.popularity_drift.strength * math.sqrt(2) * wave
            + config.interest.strength * math.tanh(self.interest[topic])
            + config.mood.strength * math.tanh(self.mood / 2)
            - config.fatigue.strength * self.fatigue[topic]
        )

    def react(self, stage: Stage, row: int, slot: int, click: bool, like: bool) -> None:
        config = stage.world.config
        topic = int(stage.world.catalogue.topic[stage.plan.item[row, slot]])
        self.interest[topic] += click + config.interest.like_gain * like
        self.fatigue[topic] += 1
        self.mood += click - config.click_rate


def test_play_equals_the_formulas_exposure_by_exposure(stage: Stage) -> None:
    config, plan, outcome = stage.world.config, stage.plan, stage.outcome
    people: dict[int, PlainUser] = defaultdict(PlainUser)
    before: dict[int, float] = {}
    checked = 0
    for row in range(len(plan.user)):
        user, now = int(plan.user[row]), float(plan.time[row])
        person = people[user]
        person.fade(stage, (now - before.get(user, now)) / 3600)
        before[user] = now
        done = []
        for slot in range(int(plan.shown[row].sum())):
            x = person.logit(stage, row, slot)
            above = x - log_odds(config.click_rate)
            like = sigmoid(log_odds(config.like.rate) + config.like.slope * above)
            share = sigmoid(log_odds(config.dwell.completion) + config.dwell.slope * above)
            seconds = DURATIONS_S[stage.world.catalogue.duration[plan.item[row, slot]]] * share
            at = row, slot
            assert outcome.p_click[at] == pytest.approx(sigmoid(x), rel=1e-9)
            assert outcome.p_like[at] == pytest.approx(sigmoid(x) * like, rel=1e-9)
            assert outcome.e_dwell[at] == pytest.approx(sigmoid(x) * seconds, rel=1e-9)
            clicked = stage.dice.click[at] < sigmoid(x)
            liked = clicked and stage.dice.like[at] < like
            assert (outcome.click[at], outcome.like[at]) == (clicked, liked)
            assert (outcome.dwell[at] > 0) == clicked
            done.append((slot, clicked, liked))
            checked += 1
        for slot, clicked, liked in done:
            person.react(stage, row, slot, clicked, liked)
    assert checked == plan.shown.sum() > 5000


def test_content_vectors_show_the_content_term_beside_the_topic() -> None:
    with_term, without = (Stage.of(small(content={"strength": s, "width": 8})) for s in (1.0, 0.0))
    revealed = with_term.world.catalogue.appeal - without.world.catalogue.appeal
    items = with_term.world.catalogue
    inputs = np.hstack([items.content, np.eye(with_term.world.config.topics)[items.topic]])
    train, test = np.arange(0, 160), np.arange(160, 240)
    weights, *_ = np.linalg.lstsq(inputs[train], revealed[train], rcond=None)
    assert np.corrcoef(inputs[test] @ weights, revealed[test])[0, 1] > 0.95
    assert np.array_equal(items.content, without.world.catalogue.content)
