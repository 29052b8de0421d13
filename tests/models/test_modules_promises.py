"""Every module in every ranker keeps what a ranker promises."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from genrank_cli.data.samples import ORGANIZATIONS
from genrank_cli.training.loss import candidate_loss
from tests.factory import MemoryStore
from tests.models.cases import LOG, TIED, furthest, scores
from tests.models.module_cases import (
    CASES,
    KINDS,
    RANKERS,
    all_scores,
    alone,
    changed,
    long_batcher,
    module_log,
    whole,
    with_modules,
)

TOLERANCE, EXACT = 1e-5, 1e-6

every_case = pytest.mark.parametrize(("ranker", "name"), CASES)


@pytest.mark.parametrize("organization", sorted(ORGANIZATIONS))
@every_case
def test_order_and_company_change_no_score(ranker: str, name: str, organization: str) -> None:
    model, batcher = with_modules(ranker, name, LOG), long_batcher(LOG, organization)
    everyone = np.arange(len(batcher.samples))
    together = scores(model, batcher, everyone)
    assert torch.stack(list(together.values())).std(dim=0).min() > 1e-3
    shuffled = scores(model, batcher, np.random.default_rng(0).permutation(everyone))
    assert furthest(together, shuffled) <= TOLERANCE
    by_sample: dict[int, Tensor] = {}
    for sample in everyone:
        by_sample |= scores(model, batcher, np.array([sample]))
    assert furthest(together, by_sample) <= TOLERANCE


@pytest.mark.parametrize("store", [LOG, TIED], ids=["log", "tied"])
@pytest.mark.parametrize("window", [4, 12, 256])
@every_case
def test_packed_and_alone_score_the_same(
    ranker: str, name: str, window: int, store: MemoryStore
) -> None:
    model, packed = with_modules(ranker, name, store), long_batcher(store, window=window)
    single = alone(store, packed)
    together = scores(model, packed, np.arange(len(packed.samples)))
    by_sample: dict[int, Tensor] = {}
    for sample in range(len(single.samples)):
        by_sample |= scores(model, single, np.array([sample]))
    assert furthest(together, by_sample) <= TOLERANCE


@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
@every_case
def test_outcomes_of_this_and_later_requests_move_nothing(
    ranker: str, name: str, organization: str
) -> None:
    store = module_log()
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, organization)
    request, click = store.column("request"), store.column("task.click")
    for r in np.flatnonzero(np.diff(store.request_offsets) > 1)[::3].tolist():
        late = request >= r
        other = changed(
            actions=store.column("actions") ^ np.where(late, 3, 0).astype(np.uint32),
            task__click=np.where(late, 1 - click, click),
            task__dwell=np.where(late, 7, store.column("task.dwell")).astype(np.float32),
        )
        after = all_scores(model, other, organization)
        known = [row for row in before if request[row] <= r]
        assert furthest({i: before[i] for i in known}, {i: after[i] for i in known}) <= EXACT


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@every_case
def test_items_of_later_requests_move_nothing(ranker: str, name: str, organization: str) -> None:
    store = module_log()
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, organization)
    request = store.column("request")
    for r in range(3, store.manifest.counts.requests, 4):
        later = (request > r).astype(np.uint32)
        after = all_scores(
            model, changed(item=(store.column("item") + 11 * later) % 30), organization
        )
        known = [row for row in before if request[row] <= r]
        assert furthest({i: before[i] for i in known}, {i: after[i] for i in known}) <= EXACT


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@every_case
def test_nothing_of_a_moment_moves_what_was_asked_then(
    ranker: str, name: str, organization: str
) -> None:
    store, other = module_log(ties=0.7), module_log(ties=0.7)
    time, request = store.column("timestamp"), store.column("request")
    asked = time[store.request_offsets[request]]
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, organization)
    moments = [t for t in np.unique(asked) if len(np.unique(request[time == t])) > 1]
    for moment in moments[-3:]:
        own = request[np.flatnonzero(asked == moment)[-1]]
        others = ((time >= moment) & (request != own)).astype(np.uint32)
        other._columns.update(
            actions=store.column("actions") ^ (3 * others),
            item=(store.column("item") + 11 * others) % 30,
        )
        after = all_scores(model, other, organization)
        rows = np.flatnonzero(request == own).tolist()
        assert furthest({r: before[r] for r in rows}, {r: after[r] for r in rows}) <= EXACT


@every_case
def test_other_candidates_of_the_request_move_nothing(ranker: str, name: str) -> None:
    store = module_log()
    model = with_modules(ranker, name, store)
    before = all_scores(model, store, "grouped")
    offsets = store.request_offsets
    for r in np.flatnonzero(np.diff(offsets) > 1)[-3:]:
        row, item = int(offsets[r]), store.column("item").copy()
        item[row + 1 : offsets[r + 1]] += 1
        after = all_scores(model, changed(item=item % 30), "grouped")
        assert furthest({row: before[row]}, {row: after[row]}) <= EXACT
        assert furthest({row + 1: before[row + 1]}, {row + 1: after[row + 1]}) > 1e-5


@pytest.mark.parametrize("name", ["sim-soft", "sim-ple-ppnet"])
@pytest.mark.parametrize("ranker", RANKERS)
def test_large_tables_get_the_gradient_of_small_ones(
    ranker: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grads = []
    weights = with_modules(ranker, name, LOG).state_dict()
    for rows in (100_000, 3):
        monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", rows)
        model, batch = with_modules(ranker, name, LOG), whole(long_batcher(LOG))
        model.load_state_dict(weights)
        candidate_loss(model(batch), batch.labels, KINDS).backward()
        grads.append({path: p.grad for path, p in model.named_parameters() if p.grad is not None})
    dense, sparse = grads
    gated = [path for path in sparse if path.startswith("extra.gate.ppnet.user")]
    assert all(sparse[path].is_sparse for path in [*gated, "event.item.id.weight"])
    for path, grad in dense.items():
        torch.testing.assert_close(sparse[path].to_dense(), grad, rtol=1e-4, atol=1e-6)


@every_case
def test_a_batch_without_any_history_is_scored(ranker: str, name: str) -> None:
    batcher = long_batcher(LOG, "grouped")
    empty = np.flatnonzero(batcher.samples.history_stop == batcher.samples.history_start)
    found = scores(with_modules(ranker, name, LOG), batcher, empty)
    assert len(found) >= len(empty) == 4
    assert all(torch.isfinite(score).all() for score in found.values())
