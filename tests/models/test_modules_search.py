"""What SIM finds, against a search event by event; and the long history that it searches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from genrank_cli.data.batcher import Batcher
from genrank_cli.data.longhistory import LongHistory, check_earlier
from genrank_cli.data.samples import ORGANIZATIONS, SampleConfig, build_samples
from genrank_cli.models.modules import search
from genrank_cli.models.modules.search import hard_search, soft_search
from tests.factory import MemoryStore, make_store
from tests.models.cases import LOG, make_model
from tests.models.module_cases import LONG, long_batcher, seen_by, whole

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


# The long history


@EXAMPLES
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    organization=st.sampled_from(sorted(ORGANIZATIONS)),
    history=st.integers(1, 9),
    long=st.integers(1, 20),
    seed=st.integers(0, 1000),
    ties=st.sampled_from([0.0, 0.5]),
)
def test_a_long_history_is_what_lies_before_the_history(
    lengths: list[int], organization: str, history: int, long: int, seed: int, ties: float
) -> None:
    store = make_store(tuple(lengths), seed=seed, ties=ties)
    config = SampleConfig(
        organization=organization, history=history, window=7, candidates=4, long_history=long
    )
    samples = build_samples(store, np.ones(sum(lengths), bool), config)
    batcher = Batcher(store, samples, ("click",), 60)
    for chosen in batcher.shuffled(seed, 0):
        batch = batcher.batch(chosen)
        assert batch.long_history is not None
        first_candidate = 0
        for place, sample in enumerate(chosen):
            _check_sample(
                store, batch.long_history, place, int(samples.history_start[sample]), long
            )
            candidates = int(batch.candidate_lengths[place])
            rows = batch.rows[first_candidate : first_candidate + candidates].numpy()
            begin, end = batch.long_history.offsets[place : place + 2].tolist()
            times = batch.long_history.time[begin:end]
            asked = batch.candidates.time[first_candidate : first_candidate + candidates]
            assert not len(times) or bool((times.max() < asked).all())
            assert (store.column("user")[rows] == store.column("user")[rows[0]]).all()
            first_candidate += candidates


def _check_sample(
    store: MemoryStore, long: LongHistory, place: int, first: int, longest: int
) -> None:
    user, time = store.column("user"), store.column("timestamp")
    older = [row for row in range(first) if user[row] == user[first]][-longest:]
    cut = slice(*long.offsets[place : place + 2].tolist())
    assert long.item[cut].tolist() == store.column("item")[older].tolist()
    assert long.actions[cut].tolist() == store.column("actions")[older].tolist()
    assert long.time[cut].tolist() == [time[row] - time[first] for row in older]


def test_without_a_long_history_a_batch_has_none() -> None:
    batch = whole(long_batcher(LOG, long_history=0))
    assert batch.long_history is None
    assert batch.to("cpu").long_history is None


def test_a_long_history_goes_where_its_batch_goes() -> None:
    long = whole(long_batcher(LOG)).to("meta").long_history
    assert long is not None
    assert {x.device.type for x in (long.item, long.actions, long.time, long.offsets)} == {"meta"}


def test_the_budget_of_a_batch_does_not_count_the_long_history() -> None:
    one, other = long_batcher(LOG, long_history=0), long_batcher(LOG)
    assert np.array_equal(one.samples.events, other.samples.events)
    for a, b in zip(one.shuffled(0, 0), other.shuffled(0, 0), strict=True):
        assert np.array_equal(a, b)


def test_a_long_history_that_reaches_a_request_is_refused() -> None:
    batch = whole(long_batcher(LOG))
    long = batch.long_history
    assert long is not None
    check_earlier(long, batch.candidates.time, batch.candidate_offsets)
    sample = int(long.offsets.diff().argmax())
    first = int(batch.candidate_offsets[sample])
    for late in (0.0, 5.0):  # at the very moment of the first request, and after it
        time = long.time.clone()
        time[long.offsets[sample + 1] - 1] = batch.candidates.time[first] + late
        with pytest.raises(ValueError, match=f"candidate {first} is not earlier than its request"):
            check_earlier(replace(long, time=time), batch.candidates.time, batch.candidate_offsets)


def test_a_batch_with_a_planted_long_history_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    batcher: Any = long_batcher(LOG, "grouped")
    honest: Callable[..., LongHistory] = batcher._reader.long_history

    def planted(first: Any, longest: int) -> LongHistory:
        found = honest(first, longest)
        return replace(found, time=found.time + 1e6)

    monkeypatch.setattr(batcher._reader, "long_history", planted)
    with pytest.raises(ValueError, match="not earlier than its request"):
        whole(batcher)


# The searches, event by event


def _offsets(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *np.cumsum(lengths)])


def _rows(found: tuple[Tensor, Tensor]) -> list[list[int]]:
    return [rows[valid].tolist() for rows, valid in zip(*found, strict=True)]


searches = {
    "lengths": st.lists(st.integers(0, 40), min_size=1, max_size=5),
    "targets": st.integers(1, 45),
    "top": st.integers(1, 50),
    "seed": st.integers(0, 10_000),
}


@EXAMPLES
@given(fields=st.integers(1, 4), **searches)
def test_hard_search_finds_the_newest_of_the_category(
    lengths: list[int], targets: int, top: int, seed: int, fields: int
) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(0, 5, (sum(lengths), fields))
    wanted = random.integers(0, 5, (targets, fields))
    sample = random.integers(0, len(lengths), targets)
    offsets = _offsets(lengths)
    w, c, s = (torch.from_numpy(x) for x in (wanted, codes, sample))
    found = _rows(hard_search(w, c, s, offsets, top))
    for t in range(targets):
        first, stop = offsets[sample[t]], offsets[sample[t] + 1]
        shared = [
            row
            for row in range(first, stop)
            if {*codes[row].tolist()} & {*wanted[t].tolist()} - {0}
        ]
        assert found[t] == shared[::-1][:top]


@EXAMPLES
@given(block=st.sampled_from([1, 7, 256]), tile=st.sampled_from([1, 3, 32]), **searches)
def test_soft_search_finds_the_largest_products(
    lengths: list[int], targets: int, top: int, seed: int, block: int, tile: int
) -> None:
    random = np.random.default_rng(seed)
    # Whole numbers: many products are equal, some are 0, and all are exact.
    vectors = torch.from_numpy(random.integers(-2, 3, (12, 3))).float()
    wanted = random.integers(0, 12, targets)
    held = random.integers(0, 12, sum(lengths))
    sample = random.integers(0, len(lengths), targets)
    offsets = _offsets(lengths)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BLOCK", block)
        patch.setattr(search, "TARGETS", tile)
        w, h, s = (torch.from_numpy(x) for x in (wanted, held, sample))
        found = _rows(soft_search(vectors, w, h, s, offsets, top))
    for t in range(targets):
        rows = range(offsets[sample[t]], offsets[sample[t] + 1])
        product = {row: float(vectors[wanted[t]] @ vectors[held[row]]) for row in rows}
        assert found[t] == sorted(rows, key=lambda row: (-product[row], -row))[:top]


def test_products_are_compared_in_float32_whatever_their_sign() -> None:
    products = [0.0, -1e-60, 1e-30, -1e-30, 2.5, -2.5, 1e30, -1e30, 0.0]
    vectors = torch.tensor([[1.0], *([p] for p in products)], dtype=torch.float64)
    held = torch.arange(1, len(products) + 1)
    zero = torch.tensor([0])
    (found,) = _rows(soft_search(vectors, zero, held, zero, torch.tensor([0, len(held)]), 9))
    assert found == [6, 4, 2, 8, 1, 0, 3, 5, 7]


def test_equal_vectors_of_other_items_are_ordered_by_time() -> None:
    """Products are taken in float64: a tile's place must not break a tie."""
    torch.manual_seed(0)
    vectors = torch.randn(1, 64).repeat(400, 1)
    target = torch.randn(37, 64)
    both = torch.cat((target, vectors))
    held = 37 + torch.randperm(400)
    sample = torch.zeros(37, dtype=torch.int64)
    rows, valid = soft_search(both, torch.arange(37), held, sample, torch.tensor([0, 400]), 300)
    assert valid.all()
    assert (rows == torch.arange(399, 99, -1)).all()


def test_nothing_asked_or_nothing_held_is_nothing_found() -> None:
    none = torch.zeros(0, dtype=torch.int64)
    two, vectors = torch.tensor([0, 1]), torch.randn(2, 3)
    for wanted, held, sample, offsets in (
        (none, two, none, torch.tensor([0, 2])),
        (two, none, torch.tensor([0, 0]), torch.tensor([0, 0])),
    ):
        rows, valid = soft_search(vectors, wanted, held, sample, offsets, 4)
        assert rows.shape == valid.shape == (len(wanted), 4)
        assert not valid.any()
        asked, codes = wanted.unsqueeze(1) + 1, held.unsqueeze(1) + 1
        rows, valid = hard_search(asked, codes, sample, offsets, 4)
        assert rows.shape == valid.shape == (len(wanted), 4)
        assert not valid.any()


# In a model


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@pytest.mark.parametrize("field", ["topic", "tags"])
def test_hard_search_in_a_model_compares_the_field(field: str, organization: str) -> None:
    model: Any = make_model("genrank", LOG, modules={"sim": {"field": field, "top": 3}})
    batch = whole(long_batcher(LOG, organization))
    assert batch.long_history is not None
    seen = seen_by(model, batch)
    found = _rows(model.extra.interest["sim"].search(seen, batch.long_history))
    table = LOG.items.fields[field]
    met = 0
    for t, row in enumerate(batch.rows.tolist()):
        values = {*np.atleast_1d(table[LOG.column("item")[row]]).tolist()} - {0}
        expected = [
            e
            for e in _reach(batch, int(seen.sample[t]))
            if values & {*np.atleast_1d(table[int(batch.long_history.item[e])]).tolist()}
        ]
        assert found[t] == expected[::-1][:3]
        met += len(expected) > 3
    assert met > 5


def _reach(batch: Any, sample: int) -> range:
    begin, end = batch.long_history.offsets[sample : sample + 2].tolist()
    return range(begin, end)


def test_hard_search_takes_the_first_category_where_none_is_named() -> None:
    model: Any = make_model("genrank", LOG, modules={"sim": {}})
    codes = model.extra.interest["sim"].codes
    assert torch.equal(codes.squeeze(1), torch.from_numpy(LOG.items.fields["topic"]))


@pytest.mark.parametrize("organization", ["packed", "grouped"])
def test_soft_search_in_a_model_compares_what_it_knows_of_items(organization: str) -> None:
    model: Any = make_model("genrank", LOG, modules={"sim": {"kind": "soft", "top": 4}})
    batch = whole(long_batcher(LOG, organization))
    assert batch.long_history is not None
    seen = seen_by(model, batch)
    sim = model.extra.interest["sim"]
    found = _rows(sim.search(seen, batch.long_history))
    with torch.no_grad():
        table = seen.items(torch.arange(30)).double()
    full = 0
    for t, item in enumerate(batch.candidates.item.tolist()):
        reach = _reach(batch, int(seen.sample[t]))
        product = {
            e: float((table[item] @ table[int(batch.long_history.item[e])]).float()) for e in reach
        }
        expected = sorted(reach, key=lambda e: (-product[e], -e))[:4]
        assert found[t] == expected
        full += len(reach) == LONG
    assert full > 10


def test_no_gradient_comes_from_the_search() -> None:
    """The search picks rows; only what is then attended to is learnt from."""
    model: Any = make_model("genrank", LOG, modules={"sim": {"kind": "soft", "top": 4}})
    batch = whole(long_batcher(LOG))
    found = model.extra.interest["sim"].search(seen_by(model, batch), batch.long_history)
    assert not any(x.requires_grad for x in found)
