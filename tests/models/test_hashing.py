"""Hashed ids: the hash itself, which ids share rows, and tables that use it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genrank_cli.models.embeddings import HashedEmbedding, id_table, zero_table
from genrank_cli.models.hashing import count_collisions, hashed_row, mix64
from tests.factory import make_store
from tests.models.cases import LOG, make_model, make_schema

MASK = 2**64 - 1


def splitmix64(state: int) -> int:
    """The published generator's next output, in Python's own whole numbers."""
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def test_the_hash_gives_the_published_outputs() -> None:
    # The first three outputs of SplitMix64 from the state 0.
    known = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert [int(mix64(torch.tensor([0]), salt)) & MASK for salt in range(3)] == known


@pytest.mark.parametrize("salt", [0, 1])
def test_the_hash_is_splitmix64_of_every_code(salt: int) -> None:
    codes = [0, 1, 2, 77, 2**31 - 1, 2**31, 29_999_999, 2**40 + 3]
    weyl = 0x9E3779B97F4A7C15 * salt
    expected = [splitmix64((code + weyl) & MASK) for code in codes]
    assert [int(x) & MASK for x in mix64(torch.tensor(codes), salt)] == expected
    rows = hashed_row(torch.tensor(codes), 1_000_003, salt).tolist()
    assert rows == [(word >> 1) % 1_000_003 for word in expected]


def test_rows_are_even_and_the_two_hashes_independent() -> None:
    codes, rows = torch.arange(200_000), 64
    one, other = (hashed_row(codes, rows, salt) for salt in (0, 1))
    both = torch.bincount(one * rows + other, minlength=rows**2).double()
    expected = len(codes) / rows**2
    chi2 = float(((both - expected) ** 2 / expected).sum())
    freedom = rows**2 - 1
    assert abs(chi2 - freedom) < 5 * math.sqrt(2 * freedom)


def naive(rows: int, hashes: int, ids: int) -> list[int]:
    """Ids that have the same rows as another, one by one."""
    codes = torch.arange(ids)
    own = [
        sorted(t)
        for t in zip(*(hashed_row(codes, rows, s).tolist() for s in range(hashes)), strict=True)
    ]
    return [i for i in range(ids) if own.count(own[i]) > 1]


@pytest.mark.parametrize(("rows", "hashes"), [(50, 1), (300, 1), (1, 1), (9, 2), (40, 2)])
def test_collisions_are_counted_one_by_one(rows: int, hashes: int) -> None:
    met = np.random.default_rng(0).integers(0, 9, 200)
    found = count_collisions(rows, hashes, met)
    shared = naive(rows, hashes, 200)
    assert 0 < len(shared) <= 200
    assert found.shared_ids == len(shared)
    assert found.shared_events == met[shared].sum()
    assert (found.ids, found.events) == (200, met.sum())
    record = found.record()
    assert record["shared_ids_share"] == len(shared) / 200
    assert record["shared_events_share"] == met[shared].sum() / met.sum()


def test_pieces_change_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    met = np.ones(1000, np.int64)
    whole = count_collisions(700, 2, met), count_collisions(700, 1, met)
    monkeypatch.setattr("genrank_cli.models.hashing.PIECE", 7)
    assert (count_collisions(700, 2, met), count_collisions(700, 1, met)) == whole


def test_the_share_is_near_its_formula() -> None:
    n, rows = 200_000, 300_000
    one = count_collisions(rows, 1, np.ones(n, np.int64)).record()["shared_ids_share"]
    assert one == pytest.approx(1 - math.exp(-n / rows), abs=0.005)
    n, rows = 100_000, 1000
    two = count_collisions(rows, 2, np.ones(n, np.int64)).record()["shared_ids_share"]
    assert two == pytest.approx(1 - math.exp(-2 * n / rows**2), abs=0.005)


def test_no_ids_no_collisions() -> None:
    found = count_collisions(5, 1, np.zeros(0, np.int64))
    assert found.record()["shared_ids_share"] == found.record()["shared_events_share"] == 0


@pytest.mark.parametrize("hashes", [1, 2])
def test_a_hashed_id_is_the_sum_of_its_rows(hashes: int) -> None:
    table = HashedEmbedding(11, 3, hashes)
    assert not table.weight.any()
    nn.init.normal_(table.weight)
    codes = torch.tensor([0, 5, 1000, 5])
    rows = torch.stack([hashed_row(codes, 11, salt) for salt in range(hashes)])  # [h, n]
    assert torch.equal(table(codes), table.weight[rows].sum(dim=0))
    table(codes).sum().backward()
    assert table.weight.grad is not None
    assert float(table.weight.grad.sum()) == hashes * len(codes) * 3


def test_tables_are_hashed_where_rows_are_given() -> None:
    side = make_schema(LOG).items
    plain, hashed = id_table(side, 4), id_table(side, 4, 7, 2)
    assert type(plain) is nn.Embedding
    assert plain.num_embeddings == len(side.ids)
    assert isinstance(hashed, HashedEmbedding)
    assert (hashed.num_embeddings, hashed.hashes) == (7, 2)


def test_large_tables_have_sparse_gradients_and_start_at_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", 10)
    for table in (zero_table(11, 4), HashedEmbedding(11, 4)):
        assert table.sparse
        assert not table.weight.any()
    assert not zero_table(10, 4).sparse
    assert not HashedEmbedding(10, 4).sparse


@pytest.mark.parametrize("name", ["genrank", "dlrm"])
def test_a_ranker_with_hashed_ids(name: str) -> None:
    """Items that share a row and all their fields cannot be told apart; others can."""
    store = make_store((20, 9), items=30)
    features: dict[str, Any] = {"item_hash": 5, "user_hash": 2, "hashes": 2, "user_id": True}
    model: Any = make_model(name, store, features=features)
    assert model.event.item.id.weight.shape == (5, 16)
    assert model.event.user.id.weight.shape == (2, 16)
    ids = model.event.item.id(torch.arange(30))
    key = torch.stack([hashed_row(torch.arange(30), 5, s) for s in (0, 1)]).sort(dim=0).values
    same = (key[:, :, None] == key[:, None]).all(dim=0)
    equal = (ids[:, None] - ids[None]).abs().amax(dim=-1) < 1e-6
    assert torch.equal(same, equal)
    assert int(same.sum()) > 30
