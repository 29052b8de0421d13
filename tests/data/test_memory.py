"""What is done with all events takes a few bytes of memory for each, whatever their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from genrank_cli.data import buckets, exposure, splits
from genrank_cli.data.audit import audit
from genrank_cli.data.describe import describe
from genrank_cli.data.split_spec import KEYS, SplitSpec
from genrank_cli.data.splits import Part, assign_split
from genrank_cli.models.schema import Schema
from genrank_cli.training import prepare
from tests.factory import MemoryStore, make_store
from tests.features import number_store

EVENTS = 1_000_000
PIECE = 1 << 12


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """As small against this log as the real ones against a log of a hundred million events."""
    for module in (buckets, exposure, prepare, splits):
        monkeypatch.setattr(module, "PIECE", PIECE)
    monkeypatch.setattr(buckets, "SAMPLE", PIECE)


def peak(work: Callable[[], object]) -> float:
    """Bytes per event that ``work`` allocates at most."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / EVENTS
    finally:
        tracemalloc.stop()


def warm(store: MemoryStore) -> MemoryStore:
    """With its offsets, which are 8 bytes a request and kept."""
    assert len(store.user_offsets) < len(store.request_offsets)
    return store


@pytest.fixture(scope="module")
def log() -> MemoryStore:
    """A thousand users in the same days, a fifth of their events apart."""
    store = make_store((EVENTS // 1000,) * 1000, per_request=6)
    time = store.column("timestamp")
    time -= (time[store.user_offsets[:-1]] - 1e9)[store.column("user")]
    store._columns["apart"] = (np.random.default_rng(0).random(EVENTS) < 0.2).astype(np.uint8)
    span = {"first": float(time.min()), "last": float(time.max())}
    manifest = store.manifest.model_copy(
        update={"apart": True, "time": store.manifest.time.model_copy(update=span)}
    )
    return warm(MemoryStore(manifest, dict(store._columns), store.users, store.items))


@pytest.mark.parametrize("name", sorted(KEYS))
def test_splitting(name: str, log: MemoryStore) -> None:
    assert 1 <= peak(lambda: assign_split(log, SplitSpec(name=name))) <= 4


def test_describing_and_auditing(log: MemoryStore) -> None:
    assert peak(lambda: describe(log)) <= 5
    assert peak(lambda: audit(log)) <= 5


def test_buckets_and_means() -> None:
    store = warm(number_store((EVENTS // 1000,) * 1000))
    part = np.random.default_rng(0).integers(0, 3, EVENTS).astype(np.uint8)
    train = part == Part.TRAIN
    assert peak(lambda: Schema.of(store, ("click",), 10, train)) <= 3
    for kind in ("binary", "regression"):
        labels = store.column("task.click")
        found: list[float] = []
        assert peak(lambda: found.append(prepare._mean(labels, train, kind))) <= 3  # noqa: B023
        expected = labels[train].astype(float)
        expected = expected if kind == "binary" else np.log1p(expected)
        assert found[0] == pytest.approx(expected.mean(), rel=1e-12)
