"""What modules and content know that the core of a ranker does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from genrank_cli.data.batch import Events
from genrank_cli.models.modules.slots import Embedded, Seen
from genrank_cli.training.loss import candidate_loss
from tests.factory import MemoryStore
from tests.models.cases import LOG, furthest, make_model
from tests.models.module_cases import (
    CASES,
    KINDS,
    MODULES,
    RANKERS,
    SIM,
    all_scores,
    changed,
    long_batcher,
    module_log,
    whole,
    with_modules,
)

every_case = pytest.mark.parametrize(("ranker", "name"), CASES)


def _older(store: MemoryStore, row: int, change: Callable[[Any, int], None]) -> MemoryStore:
    """The log with something changed in each event from ``LONG`` to ``HISTORY`` before ``row``."""
    other = module_log()
    opening = int(store.request_offsets[store.column("request")[row]])
    for place in range(opening - 19, opening - 5):
        change(other, place)
    return other


def _flip(store: MemoryStore, place: int) -> None:
    store._columns["actions"][place] ^= 3


@every_case
def test_only_sim_looks_beyond_the_history(ranker: str, name: str) -> None:
    store, row = module_log(), 33
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, "grouped")
    after = all_scores(model, _older(store, row, _flip), "grouped")
    distance = furthest({row: before[row]}, {row: after[row]})
    assert distance > 1e-4 if name.startswith("sim") else distance == 0


@pytest.mark.parametrize("name", SIM)
@pytest.mark.parametrize("ranker", RANKERS)
def test_the_oldest_long_event_counts_and_older_ones_do_not(ranker: str, name: str) -> None:
    store, row = module_log(), 33
    settings = {"sim": MODULES[name]["sim"] | {"top": 99}}
    item = store.column("item").copy()
    item[:] = item[row]  # everything is found
    store = changed(item=item)
    model = make_model(ranker, store, modules=settings)
    before = all_scores(model, store, "grouped")
    opening = int(store.request_offsets[store.column("request")[row]])
    for place, moves in ((opening - 19, True), (opening - 20, False)):
        actions = store.column("actions").copy()
        actions[place] ^= 3
        after = all_scores(model, changed(item=item, actions=actions), "grouped")
        distance = furthest({row: before[row]}, {row: after[row]})
        assert distance > 0 if moves else distance == 0


@pytest.mark.parametrize("ranker", ["hstu", "genrank"])
def test_history_positions_are_targets_too(ranker: str) -> None:
    """They see what a candidate of their own request would see."""
    model: Any = with_modules(ranker, "sim-hard", LOG)
    batch = whole(long_batcher(LOG))
    chosen = torch.arange(0, len(batch.actions), 3)
    both = _seen(model, batch, chosen)
    found = model.extra.interest["sim"](both)
    assert len(found) == len(batch.rows) + len(chosen)
    assert torch.equal(both.events.item[len(batch.rows) :], batch.history.item[chosen])
    owner = torch.bucketize(chosen, batch.history_offsets[1:], right=True)
    assert torch.equal(both.sample[len(batch.rows) :], owner)
    for place, event in enumerate(chosen.tolist(), start=len(batch.rows)):
        begin = int(batch.history_offsets[both.sample[place]])
        stop = begin + int(both.prefix[place])
        assert bool((batch.history.time[begin:stop] < both.events.time[place]).all())
        assert both.events.time[place] <= batch.history.time[event]
    # A request that was cut by the start of the history may have begun in the long history.
    cut = both.prefix == 0
    assert cut[len(batch.rows) :].any()
    assert not found[cut].any()
    only = model.extra.interest["sim"](_seen(model, batch, None))
    torch.testing.assert_close(found[: len(batch.rows)], only)


def _seen(model: Any, batch: Any, history: Tensor | None) -> Any:
    return Seen.of(batch, model.event, model.action, history)


@pytest.mark.parametrize("item_id", [True, False])
@pytest.mark.parametrize("ranker", RANKERS)
def test_content_counts_with_and_without_ids(ranker: str, item_id: bool) -> None:
    features = {"content": True, "item_id": item_id, "item_fields": False}
    model: Any = make_model(ranker, LOG, features=features)
    batcher = long_batcher(LOG)
    batch = whole(batcher)
    with torch.no_grad():
        before = model(batch)
        model.event.item.content[int(batch.candidates.item[0])] += 1.0
        assert not torch.allclose(before[0], model(batch)[0])
    assert (model.event.item.id is not None) is item_id
    candidate_loss(model(batch), batch.labels, KINDS).backward()
    assert model.event.item.project.weight.grad.any()
    assert not model.event.item.content.requires_grad  # frozen


@pytest.mark.parametrize("ranker", RANKERS)
def test_items_of_equal_content_are_told_apart_by_their_ids_alone(ranker: str) -> None:
    def scores_of(item_id: bool) -> Tensor:
        features = {"content": True, "item_id": item_id, "item_fields": False}
        model: Any = make_model(ranker, LOG, features=features)
        model.event.item.content[:] = model.event.item.content[:1]
        batch = whole(long_batcher(LOG))
        with torch.no_grad():
            first = model(batch)
            batch.candidates.item[0] = (batch.candidates.item[0] + 1) % 30
            return torch.stack((first[0], model(batch)[0]))

    with_ids, without = scores_of(True), scores_of(False)
    assert not torch.allclose(with_ids[0], with_ids[1])
    assert torch.equal(without[0], without[1])


@pytest.mark.parametrize("name", ["din", "ppnet", "sim-hard"])
@pytest.mark.parametrize("history", [None, torch.arange(5)], ids=["candidates", "history"])
def test_events_are_embedded_once(
    name: str, history: Tensor | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the tokens; modules take them from there, and get what they would have looked up."""
    model: Any = with_modules("hstu", name, LOG)
    batch = whole(long_batcher(LOG))
    looked_up: list[int] = []
    split = model.event.split

    def counted(events: Events) -> Any:
        looked_up.append(len(events.item))
        return split(events)

    monkeypatch.setattr(model.event, "split", counted)
    with torch.no_grad():
        model(batch, history)
        assert looked_up == [len(batch.actions) + len(batch.rows)]
        known = Embedded.of(batch, model.event, model.action)
        given = Seen.of(batch, model.event, model.action, history, known)
        anew = Seen.of(batch, model.event, model.action, history)
        for part in ("target", "target_items", "acted"):
            assert torch.equal(getattr(given, part), getattr(anew, part))
