"""Every switch removes its own term, that term only, and no other draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logit

from genrank_cli.simulate.feed import play
from genrank_cli.simulate.plan import Dice, Plan
from tests.simulate.conftest import STILL, Stage, small

Keys = tuple[NDArray[np.generic], ...]


def shown_logits(stage: Stage) -> NDArray[np.float64]:
    return np.asarray(logit(stage.outcome.p_click[stage.plan.shown]))


def per_slot(plan: Plan, values: NDArray[Any]) -> NDArray[Any]:
    """Values [R] of requests or [R, M] of slots → the shown slots."""
    wide = values[:, None] if values.ndim == 1 else values
    return np.broadcast_to(wide, plan.shown.shape)[plan.shown]


def keys(stage: Stage, names: str) -> NDArray[np.int64]:
    """The group of each shown slot by the named things, such as ``"surface topic"``."""
    items, plan = stage.world.catalogue, stage.plan
    columns = {
        "user": plan.user,
        "surface": plan.surface,
        "item": plan.item,
        "topic": items.topic[plan.item],
        "author": items.author[plan.item],
        "duration": items.duration[plan.item],
    }
    stacked = np.stack([per_slot(plan, columns[name]) for name in names.split()])
    return np.unique(stacked, axis=1, return_inverse=True)[1].ravel()


@pytest.mark.parametrize(
    ("effect", "on", "off", "depends_on"),
    [
        ("user_bias", 0.8, 0, "user"),
        ("taste", {"strength": 0.8}, {"strength": 0}, "user topic"),
        ("context", 0.8, 0, "surface topic"),
        ("author", 0.8, 0, "author"),
        ("duration", 0.8, 0, "duration"),
        ("quality", 0.8, 0, "item"),
        ("content", {"strength": 0.8}, {"strength": 0}, "item"),
    ],
)
def test_a_standing_effect_is_one_number_for_each_of_what_it_depends_on(
    effect: str, on: Any, off: Any, depends_on: str
) -> None:
    with_term, without = (Stage.of(small(**STILL, **{effect: value})) for value in (on, off))
    term = shown_logits(with_term) - shown_logits(without)
    group = keys(with_term, depends_on)
    count = np.bincount(group)
    spread = np.bincount(group, term**2) / count - (np.bincount(group, term) / count) ** 2
    assert np.abs(spread).max() < 1e-9
    assert 0.4 < term.std() < 1.3
    assert_same_plan(with_term.plan, without.plan)


def assert_same_plan(one: Plan, other: Plan) -> None:
    assert np.array_equal(one.item, other.item)
    assert np.array_equal(one.time, other.time)
    assert np.array_equal(one.surface, other.surface)
    assert np.array_equal(one.shown, other.shown)


def test_users_of_a_segment_share_their_taste_and_own_none_when_all_of_it_is_shared() -> None:
    shared = Stage.of(small(taste={"strength": 1, "segment_share": 1})).users
    own = Stage.of(small(taste={"strength": 1, "segment_share": 0})).users
    assert len(np.unique(shared.taste, axis=0)) == len(np.unique(shared.segment)) == 4
    assert len(np.unique(own.taste, axis=0)) == len(own.segment)


def test_popularity_drift_repeats_after_its_period_and_averages_out() -> None:
    drift = {"strength": 0.7, "period_days": 5}
    with_term = Stage.of(small(**STILL, popularity_drift=drift))
    without = Stage.of(small(**STILL, popularity_drift={"strength": 0}))
    term = shown_logits(with_term) - shown_logits(without)
    turn = per_slot(with_term.plan, with_term.plan.time) / (5 * 86_400)
    phase = per_slot(with_term.plan, with_term.world.catalogue.phase[with_term.plan.item])
    assert term == pytest.approx(0.7 * np.sqrt(2) * np.sin(2 * np.pi * (turn + phase)), abs=1e-6)
    assert term.std() == pytest.approx(0.7, rel=0.05)


def test_new_items_off_means_that_all_are_there_at_the_start() -> None:
    assert not Stage.of(small(new_items=0)).world.catalogue.birth.any()
    assert (Stage.of(small(new_items=0.5)).world.catalogue.birth > 0).sum() == 120


def flipped(dice: Dice, click: NDArray[np.float64]) -> Dice:
    return Dice(click, dice.like, dice.dwell)


@pytest.mark.parametrize(
    ("effect", "moves"),
    [("interest", "clicked topics"), ("mood", "everything"), ("fatigue", "nothing")],
)
def test_what_a_click_moves_later(effect: str, moves: str) -> None:
    alone = {name: off for name, off in STILL.items() if name != effect}
    stage = Stage.of(small(**alone))
    shown = stage.plan.shown[0].nonzero()[0]
    clicked, others = stage.dice.click.copy(), stage.dice.click.copy()
    clicked[0, shown], others[0, shown] = 0, 1  # all or none of the first request's slots
    results = [
        play(stage.world, stage.users, stage.plan, flipped(stage.dice, dice), -1.0).p_click
        for dice in (clicked, others)
    ]
    later = np.nonzero(stage.plan.user == stage.plan.user[0])[0][1]
    topic = stage.world.catalogue.topic
    in_first = np.isin(topic[stage.plan.item[later]], topic[stage.plan.item[0, shown]])
    higher = results[0][later] > results[1][later]
    everything = np.ones_like(higher)
    expected = {"clicked topics": in_first, "everything": everything, "nothing": ~everything}
    assert np.array_equal(higher, expected[moves])
    assert moves != "clicked topics" or 0 < in_first.sum() < len(in_first)


def test_fatigue_lowers_shown_topics_and_no_others() -> None:
    tired = Stage.of(small(**STILL | {"fatigue": {"strength": 1, "half_life_h": np.inf}}))
    rested = Stage.of(small(**STILL))
    later = np.nonzero(tired.plan.user == tired.plan.user[0])[0][1]
    topic = tired.world.catalogue.topic
    first = topic[tired.plan.item[0, tired.plan.shown[0]]]
    times = (topic[tired.plan.item[later]][:, None] == first).sum(axis=1)
    change = logit(rested.outcome.p_click[later]) - logit(tired.outcome.p_click[later])
    assert change == pytest.approx(times.astype(float), abs=1e-9)


@pytest.mark.parametrize("effect", ["interest", "mood", "fatigue"])
def test_time_heals_unless_the_half_life_is_infinite(effect: str) -> None:
    def later_logits(half_life_h: float, slower: float) -> NDArray[np.float64]:
        part = {"strength": 1.0, "half_life_h": half_life_h}
        stage: Callable[..., Stage] = Stage.of
        one = stage(small(**STILL | {effect: part}, popularity_drift={"strength": 0}))
        gap = one.plan.gap * slower
        plan = Plan(**vars(one.plan) | {"gap": gap})
        # The same clicks whatever the probability: only time can differ.
        fixed = flipped(one.dice, np.where(one.dice.click < 0.5, -1.0, 2.0))
        return np.asarray(logit(play(one.world, one.users, plan, fixed, -1.0).p_click))

    assert np.array_equal(later_logits(np.inf, 1), later_logits(np.inf, 50))
    assert not np.allclose(later_logits(2.0, 1), later_logits(2.0, 50))
    never, at_once = (
        later_logits(2.0, 1e9),
        Stage.of(small(**STILL, popularity_drift={"strength": 0})),
    )
    assert never == pytest.approx(logit(at_once.outcome.p_click), abs=1e-6)
