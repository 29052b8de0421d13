"""Who comes when and is shown what."""

from __future__ import annotations

import numpy as np
import pytest

from genrank_cli.simulate.config import DAY_S, SURFACE_SHARE
from genrank_cli.simulate.feed import play
from genrank_cli.simulate.plan import make_plan, thin
from genrank_cli.simulate.world import Users, make_world
from tests.simulate.conftest import Stage, small


def test_a_round_holds_the_next_request_of_the_users_who_have_one(stage: Stage) -> None:
    plan = stage.plan
    counts = np.bincount(plan.user)
    for number, (start, stop) in enumerate(zip(plan.starts[:-1], plan.starts[1:], strict=True)):
        assert np.array_equal(plan.user[start:stop], np.arange((counts > number).sum()))
    assert plan.starts[-1] == len(plan.user)
    assert counts.min() >= 2


def test_users_come_later_and_later_within_the_days_and_in_whole_milliseconds(
    stage: Stage,
) -> None:
    plan = stage.plan
    for user in range(stage.world.config.users):
        time = plan.time[plan.user == user]
        assert (np.diff(time) > 0).all()
        assert plan.gap[plan.user == user] == pytest.approx(np.diff(time, prepend=time[0]))
    assert plan.time.min() >= 0
    assert plan.time.max() <= stage.world.config.days * DAY_S
    assert np.array_equal(plan.time, np.round(plan.time, 3))


def test_sessions_of_minutes_lie_hours_to_days_apart() -> None:
    config = small(users=1500, requests=20, session_requests=5)
    gap = make_plan(config, make_world(config).catalogue, 0, config.users).gap
    gap = gap[gap > 0]
    inside = gap < 3600
    assert inside.mean() == pytest.approx(0.8, abs=0.03)
    assert 120 < np.median(gap[inside]) < 260
    assert 3 * 3600 < np.median(gap[~inside]) < 2 * DAY_S


def test_activity_is_spread_log_normally_around_the_configured_mean() -> None:
    config = small(users=3000, requests=12, activity_spread=0.5)
    plan = make_plan(config, make_world(config).catalogue, 0, config.users)
    counts = np.bincount(plan.user)
    assert counts.mean() == pytest.approx(12, rel=0.05)
    assert np.log(counts).std() == pytest.approx(0.5, abs=0.05)


def test_requests_show_distinct_items_of_the_configured_number(stage: Stage) -> None:
    ranked = np.sort(stage.plan.item, axis=1)
    assert (np.diff(ranked, axis=1) > 0).all()
    sizes = stage.plan.shown.sum(axis=1)
    assert (sizes.min(), sizes.max()) == (4, 12)
    assert sizes.mean() == pytest.approx(8, abs=0.2)
    assert (np.diff(stage.plan.shown.astype(int), axis=1) <= 0).all()


def test_no_item_is_shown_before_its_birth_and_new_ones_are_shown(stage: Stage) -> None:
    birth = stage.world.catalogue.birth[stage.plan.item]
    assert (birth <= stage.plan.time[:, None]).all()
    assert (birth > 0).mean() > 0.05


def test_items_are_shown_in_proportion_to_their_weight() -> None:
    config = small(users=1500, new_items=0, exposure_spread=1)
    world = make_world(config)
    plan = make_plan(config, world.catalogue, 0, config.users)
    weight = np.diff(world.catalogue.reach, prepend=0)
    seen = np.bincount(plan.item[:, 0], minlength=config.items)  # slot 0 is never redrawn
    expected = len(plan.item) * weight / weight.sum()
    z = (seen - expected) / np.sqrt(expected)
    assert np.sqrt((z**2).mean()) == pytest.approx(1, abs=0.15)


def test_surfaces_come_in_their_shares() -> None:
    config = small(users=1500)
    plan = make_plan(config, make_world(config).catalogue, 0, config.users)
    assert np.bincount(plan.surface) / len(plan.surface) == pytest.approx(SURFACE_SHARE, abs=0.02)


def test_thinning_keeps_whole_users_unchanged(stage: Stage) -> None:
    plan, dice = thin(stage.plan, stage.dice, 5)
    some = Users(stage.users.segment[::5], stage.users.bias[::5], stage.users.taste[::5])
    outcome = play(stage.world, some, plan, dice, -1.0)
    kept = stage.plan.user % 5 == 0
    assert np.array_equal(outcome.p_click, stage.outcome.p_click[kept])
    assert np.array_equal(plan.user, stage.plan.user[kept] // 5)
