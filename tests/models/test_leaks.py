"""No score moves with an outcome that was not known when the request came."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.factory import MemoryStore, make_store
from tests.models.cases import (
    COMBINATIONS,
    ISOLATED,
    MODELS,
    furthest,
    make_batcher,
    make_model,
    scores,
)

EXACT = 1e-6


def log(ties: float = 0.0) -> MemoryStore:
    return make_store((30,), per_request=4, seed=2, ties=ties)


def changed(**columns: NDArray[Any]) -> MemoryStore:
    """The log with some columns replaced."""
    store = log()
    store._columns.update({name.replace("__", "."): value for name, value in columns.items()})
    return store


def all_scores(model: nn.Module, store: MemoryStore, organization: str) -> Mapping[int, Tensor]:
    batcher = make_batcher(store, organization, history=12, window=12)
    return scores(model, batcher, np.arange(len(batcher.samples)))


def since(request: int, flip: NDArray[Any]) -> NDArray[Any]:
    """``flip`` [E] from the first event of ``request`` on, 0 before."""
    return np.where(log().column("request") >= request, flip, 0).astype(flip.dtype)


@pytest.mark.parametrize(("name", "organization"), COMBINATIONS)
def test_outcomes_of_this_and_later_requests_move_nothing(name: str, organization: str) -> None:
    store = log()
    model = make_model(name, store)
    before = all_scores(model, store, organization)
    request = store.column("request")
    # Requests of several events: within one, an outcome would leak to the next candidate.
    for r in np.flatnonzero(np.diff(store.request_offsets) > 1).tolist():
        flip = since(r, np.full(30, 3, np.uint32))
        other = changed(
            actions=store.column("actions") ^ flip,
            task__click=np.where(
                flip > 0, 1 - store.column("task.click"), store.column("task.click")
            ),
            task__dwell=np.where(flip > 0, 7, store.column("task.dwell")),
        )
        after = all_scores(model, other, organization)
        known = {row for row in before if request[row] <= r}
        assert known
        kept = {row: before[row] for row in known}
        assert furthest(kept, {row: after[row] for row in known}) <= EXACT


@pytest.mark.parametrize(("name", "organization"), COMBINATIONS)
def test_nothing_of_a_moment_moves_what_was_asked_then(name: str, organization: str) -> None:
    """Requests from a column share moments: neither outcomes nor items of the others are known."""
    store = log(ties=0.7)
    time, offsets = store.column("timestamp"), store.request_offsets
    asked = time[offsets[store.column("request")]]  # when each event's request came
    model = make_model(name, store)
    before = all_scores(model, store, organization)
    request, other = store.column("request"), log(ties=0.7)
    moments = [t for t in np.unique(asked) if len(np.unique(request[time == t])) > 1]
    assert len(moments) > 2
    for moment in moments[:4]:
        own = request[np.flatnonzero(asked == moment)[-1]]
        others = ((time >= moment) & (request != own)).astype(np.uint32)
        other._columns.update(
            actions=store.column("actions") ^ (3 * others),
            item=(store.column("item") + 11 * others) % 30,
        )
        after = all_scores(model, other, organization)
        rows = np.flatnonzero(request == own).tolist()
        assert furthest({r: before[r] for r in rows}, {r: after[r] for r in rows}) <= EXACT


@pytest.mark.parametrize("name", MODELS)
def test_items_of_later_requests_move_nothing(name: str) -> None:
    store = log()
    model = make_model(name, store)
    before = all_scores(model, store, "packed")
    request = store.column("request")
    r = store.manifest.counts.requests // 2
    later = (request > r).astype(np.uint32)
    other = changed(item=(store.column("item") + 11 * later) % 30)
    after = all_scores(model, other, "packed")
    kept = {row: score for row, score in before.items() if request[row] <= r}
    assert furthest(kept, {row: after[row] for row in kept}) <= EXACT


@pytest.mark.parametrize("name", ISOLATED)
def test_other_candidates_of_the_request_move_nothing(name: str) -> None:
    store = log()
    model = make_model(name, store)
    before = all_scores(model, store, "grouped")
    offsets = store.request_offsets
    for r in np.flatnonzero(np.diff(offsets) > 1)[:4]:
        row = int(offsets[r])
        item = store.column("item").copy()
        item[row + 1 : offsets[r + 1]] += 1
        after = all_scores(model, changed(item=item % 30), "grouped")
        assert furthest({row: before[row]}, {row: after[row]}) <= EXACT
        # The neighbour itself did change: the item does count.
        assert furthest({row + 1: before[row + 1]}, {row + 1: after[row + 1]}) > 1e-4


def test_visible_candidates_are_seen() -> None:
    store = log()
    model = make_model("hstu-visible", store)
    before = all_scores(model, store, "grouped")
    r = int(np.flatnonzero(np.diff(store.request_offsets) > 1)[2])
    row = int(store.request_offsets[r])
    item = store.column("item").copy()
    item[row + 1] = (item[row + 1] + 1) % 30
    after = all_scores(model, changed(item=item), "grouped")
    assert furthest({row: before[row]}, {row: after[row]}) > 1e-4


@pytest.mark.parametrize("column", ["actions", "item"])
@pytest.mark.parametrize("name", MODELS)
def test_visible_history_does_count(name: str, column: str) -> None:
    store = log()
    model = make_model(name, store)
    before = all_scores(model, store, "packed")
    r = store.manifest.counts.requests // 2
    last = int(store.request_offsets[r]) - 1  # the newest event before request r
    values = store.column(column).copy()
    values[last] = (values[last] + 1) % (4 if column == "actions" else 30)
    after = all_scores(model, changed(**{column: values}), "packed")
    row = last + 1
    assert furthest({row: before[row]}, {row: after[row]}) > 1e-5


@pytest.mark.parametrize(
    "name", [n for n, (_, changes) in MODELS.items() if n != "dlrm" and "window" not in changes]
)
def test_the_oldest_kept_event_counts_and_older_ones_do_not(name: str) -> None:
    store = log()
    model = make_model(name, store)
    before = all_scores(model, store, "grouped")
    request = store.column("request")
    row = 29
    opening = int(store.request_offsets[request[row]])
    for place, moves in ((opening - 12, True), (opening - 13, False)):
        actions = store.column("actions").copy()
        actions[place] ^= 3
        after = all_scores(model, changed(actions=actions), "grouped")
        distance = furthest({row: before[row]}, {row: after[row]})
        # ALiBi's slope makes twelve events away count little, but it counts.
        assert distance > 0 if moves else distance == 0
