"""Labels come from the truth, the truth from the past, the base rate from calibration."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError
from sklearn.metrics import roc_auc_score

from genrank_cli.simulate import feed
from genrank_cli.simulate.config import FeedConfig
from genrank_cli.simulate.plan import Dice
from genrank_cli.simulate.tables import FeedTables, generate
from genrank_cli.simulate.world import make_world
from tests.simulate.conftest import STILL, Stage, small


@pytest.fixture(scope="module")
def tables() -> FeedTables:
    return generate(small(users=700))


def test_the_same_seed_gives_the_same_feed_and_another_seed_another() -> None:
    one, again, other = (generate(small(seed=seed)) for seed in (3, 3, 4))
    assert one.events.equals(again.events)
    assert one.users.equals(again.users)
    assert one.items.equals(again.items)
    assert not one.events.head(50).equals(other.events.head(50))


def test_a_block_does_not_depend_on_how_many_users_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BLOCK_USERS", 40)
    few, many = (list(feed.blocks(make_world(small(users=n)), -1.0)) for n in (80, 110))
    assert [len(block.users.bias) for block in many] == [40, 40, 30]
    for one, other in zip(few, many, strict=False):
        assert np.array_equal(one.plan.time, other.plan.time)
        assert np.array_equal(one.outcome.dwell, other.outcome.dwell)
    assert not np.array_equal(many[0].users.bias, many[1].users.bias)


def test_users_of_several_blocks_have_distinct_ids_and_requests(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "BLOCK_USERS", 50)
    monkeypatch.setattr("genrank_cli.simulate.tables.BLOCK_USERS", 50)
    made = generate(small(users=120))
    assert made.users["user"].to_list() == list(range(1, 121))
    requests = made.events.group_by("request").agg(pl.col("user").n_unique())
    assert requests["user"].max() == 1
    assert made.events["request"].to_numpy()[-1] == len(requests)


@pytest.mark.parametrize("rate", [0.08, 0.3, 0.6])
@pytest.mark.parametrize(
    "changes",
    [{}, STILL, {"interest": {"strength": 5}}, {"fatigue": {"strength": 2}}, {"author": 2}],
    ids=["default", "still", "interest", "fatigue", "author"],
)
def test_the_click_rate_is_calibrated_whatever_the_effects(
    rate: float, changes: dict[str, Any]
) -> None:
    events = generate(small(click_rate=rate, **changes)).events
    assert events["truth.click"].mean() == pytest.approx(rate, abs=0.004)


def test_labels_match_their_truth_in_every_decile(tables: FeedTables) -> None:
    for task in ("click", "like"):
        truth = tables.events[f"truth.{task}"].to_numpy().astype(float)
        label = tables.events[f"task.{task}"].to_numpy()
        for part in np.array_split(np.argsort(truth), 10):
            error = np.sqrt((truth[part] * (1 - truth[part])).sum())
            assert abs(label[part].sum() - truth[part].sum()) < 4 * error
    truth, label = (tables.events[f"{kind}.dwell"].to_numpy() for kind in ("truth", "task"))
    for part in np.array_split(np.argsort(truth), 5):
        error = (label[part] - truth[part]).std() / np.sqrt(len(part))
        assert abs(label[part].mean() - truth[part].mean()) < 4 * error


def test_no_score_beats_the_truth(tables: FeedTables) -> None:
    truth = tables.events["truth.click"].to_numpy()
    label = tables.events["task.click"].to_numpy()
    rng = np.random.default_rng(0)
    oracle = roc_auc_score(label, truth)
    logit = np.log(truth / (1 - truth))
    worse = [roc_auc_score(label, logit + rng.normal(0, s, len(logit))) for s in (0.3, 1, 3)]
    assert roc_auc_score(label, rng.permutation(truth)) == pytest.approx(0.5, abs=0.01)
    assert oracle > worse[0] > worse[1] > worse[2] > 0.5


def test_a_label_moves_later_requests_of_its_user_and_nothing_else(stage: Stage) -> None:
    row = int(np.nonzero(stage.plan.user == 7)[0][2])
    click = stage.dice.click.copy()
    was = stage.outcome.click[row, 0]
    click[row, 0] = 2.0 if was else -1.0
    dice = Dice(click, stage.dice.like, stage.dice.dwell)
    moved = feed.play(stage.world, stage.users, stage.plan, dice, -1.0)
    changed = (moved.p_click != stage.outcome.p_click).any(axis=1)
    assert moved.click[row, 0] != was
    same_user = stage.plan.user == 7
    assert changed[same_user & (np.arange(len(changed)) > row)].all()
    assert not changed[~same_user].any()
    assert not changed[: row + 1].any()
    assert np.array_equal(moved.click[row, 1:], stage.outcome.click[row, 1:])


def test_slots_that_are_not_shown_leave_no_trace(stage: Stage) -> None:
    hidden = np.where(stage.plan.shown, stage.dice.click, 0.0)
    dice = Dice(hidden, stage.dice.like, stage.dice.dwell)
    again = feed.play(stage.world, stage.users, stage.plan, dice, -1.0)
    assert np.array_equal(again.p_click, stage.outcome.p_click)


def test_tables_say_what_was_played(tables: FeedTables) -> None:
    events = tables.events
    assert events.equals(events.sort("user", "timestamp", "request", maintain_order=True))
    per_request = events.group_by("request").agg(
        pl.col("user", "timestamp", "context.surface").n_unique(), pl.len().alias("size")
    )
    assert per_request.select("user", "timestamp", "context.surface").max().row(0) == (1, 1, 1)
    assert per_request["size"].is_between(4, 12).all()
    assert set(events["item"].unique()) <= set(tables.items["item"])
    assert set(events["user"].unique()) == set(tables.users["user"])
    assert (events["task.click"] == events["action.click"]).all()
    assert (events["task.like"] == events["action.like"]).all()
    assert ((events["task.dwell"] > 0) == (events["task.click"] == 1)).all()
    assert (events["task.like"] <= events["task.click"]).all()
    assert (events["timestamp"] >= FeedConfig().start).all()
    assert tables.items.schema["content"] == pl.Array(pl.Float32, 8)


def test_a_world_without_content_vectors_has_no_content_column() -> None:
    assert "content" not in generate(small(content={"width": 0})).items.columns


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"candidates": (5, 3)}, "candidates must be"),
        ({"items": 50, "new_items": 0.5}, "25 at the start"),
        ({"authors": 3}, "too few for 6 topics"),
        ({"interest": {"half_life_h": 0}}, "greater than 0"),
        ({"quality": float("nan")}, "quality"),
        ({"speed": 3}, "Extra inputs"),
    ],
)
def test_impossible_worlds_are_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        small(**changes)
