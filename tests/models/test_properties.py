"""What every ranker promises, with every part that can be added to it (`property_cases.CASES`).

The other files of this folder ask the same of more forms of fewer parts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrank_cli.data.batcher import Batcher
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.training.loss import candidate_loss, start_levels
from tests.factory import MemoryStore
from tests.models.cases import furthest, scores
from tests.models.module_cases import alone
from tests.models.property_cases import (
    CASES,
    INTERLEAVED,
    KINDS,
    fresh,
    ready,
    small_batcher,
    small_log,
)

EXACT, TOLERANCE = 1e-6, 1e-5

every_case = pytest.mark.parametrize(("ranker", "part"), CASES)


def everyone(batcher: Batcher) -> np.ndarray[Any, Any]:
    return np.arange(len(batcher.samples))


def all_scores(model: Any, store: MemoryStore, organization: str) -> dict[int, Tensor]:
    batcher = small_batcher(store, organization)
    return dict(scores(model, batcher, everyone(batcher)))


def one_by_one(model: Any, batcher: Batcher) -> dict[int, Tensor]:
    found: dict[int, Tensor] = {}
    for sample in everyone(batcher):
        found |= scores(model, batcher, np.array([sample]))
    return found


@every_case
def test_packed_together_and_alone_score_the_same(ranker: str, part: str) -> None:
    store = small_log()
    model, packed = ready(ranker, part, store), small_batcher(store)
    together = scores(model, packed, everyone(packed))
    assert len(together) == store.manifest.counts.events
    assert torch.stack(list(together.values())).std(dim=0).min() > 1e-3
    assert furthest(together, scores(model, packed, everyone(packed)[::-1])) <= TOLERANCE
    assert furthest(together, one_by_one(model, packed)) <= TOLERANCE
    assert furthest(together, one_by_one(model, alone(store, packed))) <= TOLERANCE


def _changed(store: MemoryStore, late: np.ndarray[Any, Any], *names: str) -> MemoryStore:
    """The log with other values of some columns in the events ``late``."""
    other = small_log()
    flip = {
        "item": lambda x: (x + 11) % 30,
        "actions": lambda x: x ^ 3,
        "task.click": lambda x: 1 - x,
        "task.dwell": lambda x: x + 7,
        "context.surface": lambda x: (x + 1) % 4,
    }
    for name in names:
        column = store.column(name)
        other._columns[name] = np.where(late, flip[name](column), column).astype(column.dtype)
    return other


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@every_case
def test_nothing_of_this_request_or_later_moves_a_score(
    ranker: str, part: str, organization: str
) -> None:
    """Outcomes of the own request, all of later ones: a masked action shows no label."""
    store = small_log()
    model = ready(ranker, part, store)
    before = all_scores(model, store, organization)
    request = store.column("request")
    for r in _several(store):
        outcomes = _changed(store, request >= r, "actions", "task.click", "task.dwell")
        shown = _changed(store, request > r, "item", "actions", "context.surface")
        known = [row for row in before if request[row] <= r]
        for other in (outcomes, shown):
            after = all_scores(model, other, organization)
            assert furthest({i: before[i] for i in known}, {i: after[i] for i in known}) <= EXACT
        later = [row for row in before if request[row] > r]
        assert furthest({i: before[i] for i in later}, {i: after[i] for i in later}) > 1e-4


def _several(store: MemoryStore) -> Iterator[int]:
    """An early and a late request of several candidates, each with history and events after it."""
    several = np.flatnonzero(np.diff(store.request_offsets) > 1)
    inside = several[(several > 0) & (store.request_offsets[several + 1] < 22)]
    assert len(inside) > 1
    yield from (int(inside[0]), int(inside[-1]))


@every_case
def test_candidates_of_a_request_are_independent(ranker: str, part: str) -> None:
    store = small_log()
    model = ready(ranker, part, store)
    before = all_scores(model, store, "grouped")
    for r in _several(store):
        first, stop = (int(row) for row in store.request_offsets[r : r + 2])
        rows = np.arange(store.manifest.counts.events)
        after = all_scores(
            model, _changed(store, (rows > first) & (rows < stop), "item"), "grouped"
        )
        assert furthest({first: before[first]}, {first: after[first]}) <= EXACT
        assert furthest({first + 1: before[first + 1]}, {first + 1: after[first + 1]}) > 1e-4


@every_case
def test_a_gradient_reaches_every_weight_that_is_used(ranker: str, part: str) -> None:
    store = small_log()
    model, batcher = ready(ranker, part, store).train(), small_batcher(store)
    batch = batcher.batch(everyone(batcher))
    candidate_loss(model(batch), batch.labels, KINDS).backward()
    untouched = {
        path
        for path, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.to_dense().any()
    }
    # Interleaved candidates hold no masked action: doubled or not, nothing sees a token of it.
    assert untouched == ({"masked"} if ranker in INTERLEAVED else set())


@every_case
def test_saved_and_loaded_scores_the_same(ranker: str, part: str, tmp_path: Path) -> None:
    store = small_log()
    model, other = ready(ranker, part, store), fresh(ranker, part, store).eval()
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    before = all_scores(model, store, "packed")
    assert furthest(before, all_scores(other, store, "packed")) > 1e-3
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert furthest(before, all_scores(other, store, "packed")) == 0


@every_case
def test_both_tasks_of_a_batch_are_learnt_by_heart(ranker: str, part: str) -> None:
    """The loss falls from about 1.1 below 0.25, on labels that nothing explains."""
    store = small_log()
    model: Any = fresh(ranker, part, store)
    batcher = small_batcher(store, "grouped")
    batch = batcher.batch(everyone(batcher))
    means = [float(batch.labels[:, 0].mean()), float(batch.labels[:, 1].log1p().mean())]
    model.output.start_at(start_levels(means, KINDS))
    optimizer = torch.optim.Adam(model.parameters(), lr=1.5e-2)
    losses = []
    for _ in range(45):
        optimizer.zero_grad()
        loss = candidate_loss(model(batch), batch.labels, KINDS)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.9
    assert min(losses[-5:]) < 0.25


@pytest.mark.parametrize("part", ["hashed", "ppnet"])
def test_ids_are_hashed_everywhere(part: str) -> None:
    """Users and items that share all their rows are the same to gates, too."""
    store = small_log()
    hashed = {"item_hash": 3, "user_hash": 2, "item_fields": False, "content": False}
    modules = {"ppnet": {"ids": 4, "hidden": 8}} if part == "ppnet" else {}
    model: Any = fresh("genrank", "plain", store, features=hashed, modules=modules)
    assert isinstance(model.config, GenerativeConfig)
    tables = {path: len(p) for path, p in model.named_parameters() if path.endswith(_IDS)}
    gates = {"extra.gate.ppnet.item.weight": 3, "extra.gate.ppnet.user.weight": 2}
    ids = {"event.item.id.weight": 3, "event.user.id.weight": 2}
    assert tables == ids | (gates if part == "ppnet" else {})


_IDS = ("id.weight", "ppnet.item.weight", "ppnet.user.weight")
