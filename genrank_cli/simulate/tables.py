"""The feed as polars frames, with the columns that a dataset reader hands on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from genrank_cli.simulate.config import DURATIONS_S, SURFACES, FeedConfig
from genrank_cli.simulate.feed import BLOCK_USERS, Block, blocks, calibrate
from genrank_cli.simulate.streams import stream
from genrank_cli.simulate.world import Catalogue, make_world


@dataclass(frozen=True)
class FeedTables:
    """`events` (one row per exposure, by user, time and slot), `users` and `items`."""

    events: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame


def generate(config: FeedConfig) -> FeedTables:
    """Generate the whole feed. Holds the finished columns, about 75 bytes an exposure."""
    world = make_world(config)
    events, users, requests = [], [], 0
    for block in blocks(world, calibrate(world)):
        ids = _user_ids(config, block)
        events.append(_events(config, block, ids, requests))
        users.append(pl.DataFrame({"user": ids, "field.segment": block.users.segment + 1}))
        requests += len(block.plan.user)
    return FeedTables(
        events=pl.concat(events),
        users=pl.concat(users).sort("user"),
        items=_items(world.catalogue),
    )


def _user_ids(config: FeedConfig, block: Block) -> np.ndarray:
    """Raw ids [B]: shuffled, because a block numbers its users by falling activity."""
    rng = stream(config.seed, "user ids", block.number)
    return block.number * BLOCK_USERS + 1 + rng.permutation(len(block.users.bias))


def _events(config: FeedConfig, block: Block, ids: np.ndarray, requests: int) -> pl.DataFrame:
    plan, outcome = block.plan, block.outcome
    user = ids[plan.user]
    order = np.lexsort((plan.time, user))
    shown = plan.shown[order]
    each = shown.sum(axis=1)

    def slots(values: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
        return values[order][shown].astype(dtype)

    def rows(values: np.ndarray) -> np.ndarray:
        return np.repeat(values[order], each)

    return pl.DataFrame(
        {
            "user": np.repeat(user[order].astype(np.int64), each),
            "item": slots(plan.item + 1, np.int64),
            "timestamp": rows(np.round(config.start + plan.time, 3)),
            "request": np.repeat(requests + 1 + np.arange(len(order)), each),
            "action.click": slots(outcome.click, np.uint8),
            "action.like": slots(outcome.like, np.uint8),
            "task.click": slots(outcome.click, np.float32),
            "task.like": slots(outcome.like, np.float32),
            "task.dwell": slots(outcome.dwell, np.float32),
            "truth.click": slots(outcome.p_click, np.float32),
            "truth.like": slots(outcome.p_like, np.float32),
            "truth.dwell": slots(outcome.e_dwell, np.float32),
            "context.surface": pl.Series(SURFACES).gather(rows(plan.surface)),
        }
    )


def _items(items: Catalogue) -> pl.DataFrame:
    table = pl.DataFrame(
        {
            "item": np.arange(1, len(items.topic) + 1),
            "field.topic": items.topic + 1,
            "field.author": items.author + 1,
            "field.duration": np.asarray(DURATIONS_S)[items.duration],
        }
    )
    width = items.content.shape[1]
    if width == 0:
        return table
    content = pl.Series("content", items.content, dtype=pl.Array(pl.Float32, width))
    return table.with_columns(content)
