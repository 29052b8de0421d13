"""Numbers in buckets: boundaries from the training events alone, codes as they are declared."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrank_cli.data.buckets import (
    Coder,
    boundaries_of,
    code_count,
    coded_side,
    codes_of,
    event_boundaries,
)
from genrank_cli.data.declare import Buckets, WindowSpec
from tests.features import number_store

EXAMPLES = settings(max_examples=100, deadline=None, derandomize=True)
NAN = float("nan")

values = st.lists(
    st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6, width=32), st.just(NAN)),
    min_size=1,
    max_size=60,
).map(lambda found: np.array(found, np.float32))


def test_codes_by_hand() -> None:
    boundaries = boundaries_of(np.zeros(0), Buckets(boundaries=(0.0, 0.7, 10.0)))
    found = np.array([-1, 0, 0.5, 0.7, 9.99, 10, 1e9, NAN], np.float32)
    assert codes_of(found, boundaries).tolist() == [1, 2, 2, 3, 3, 4, 4, 0]
    assert codes_of(found, boundaries).dtype == np.int64
    assert code_count(boundaries) == 5


@pytest.mark.parametrize(
    ("found", "quantiles", "expected"),
    [
        (range(1, 17), 16, list(range(2, 17))),
        (range(1, 11), 2, [6]),
        ([5, 5, 5, 5], 4, []),
        ([NAN, NAN], 4, []),
        ([], 4, []),
        ([0] * 95 + [1, 2, 3, 4, 5], 4, [1]),  # nearly always 0: that is a bucket of its own
        ([1] + [2] * 98 + [3], 4, [2, 3]),
        ([NAN, 1, 2, NAN], 2, [2]),
    ],
    ids=["each-its-own", "half", "constant", "missing", "none", "mostly-0", "mostly-2", "gaps"],
)
def test_quantiles_by_hand(found: Any, quantiles: int, expected: list[float]) -> None:
    boundaries = boundaries_of(np.array(found, np.float32), Buckets(quantiles=quantiles))
    assert boundaries.tolist() == expected
    assert boundaries.dtype == np.float64


@EXAMPLES
@given(values, st.integers(2, 20))
def test_quantile_buckets_are_even_where_the_values_allow_it(
    found: NDArray[np.float32], quantiles: int
) -> None:
    boundaries = boundaries_of(found, Buckets(quantiles=quantiles))
    assert (np.diff(boundaries) > 0).all()
    codes = codes_of(found, boundaries)
    known = found[~np.isnan(found)]
    assert (codes[np.isnan(found)] == 0).all()
    sizes = np.bincount(codes, minlength=code_count(boundaries))[1:]
    if not len(known):
        return
    assert (sizes > 0).all()
    for code, size in enumerate(sizes.tolist(), start=1):
        inside = known[codes[~np.isnan(found)] == code]
        # No larger than its share, but for the events of its first value, which cannot be parted.
        assert (inside > inside.min()).sum() <= len(known) / quantiles
        assert size == len(inside)


@EXAMPLES
@given(values, st.integers(2, 8), st.data())
def test_a_weight_is_a_repetition(
    found: NDArray[np.float32], quantiles: int, data: st.DataObject
) -> None:
    size = len(found)
    weights = np.array(data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)))
    one = boundaries_of(found, Buckets(quantiles=quantiles), weights)
    other = boundaries_of(np.repeat(found, weights), Buckets(quantiles=quantiles))
    assert one.tolist() == other.tolist()


@EXAMPLES
@given(values, st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9, unique=True))
def test_codes_are_counts_of_boundaries_reached(
    found: NDArray[np.float32], bounds: list[float]
) -> None:
    boundaries = np.sort(np.array(bounds))
    slow = [0 if np.isnan(v) else 1 + sum(b <= v for b in boundaries) for v in found]
    assert codes_of(found, boundaries).tolist() == slow


@EXAMPLES
@given(st.lists(st.integers(0, 90), min_size=1, max_size=4), st.integers(0, 50), st.integers(0, 9))
def test_all_columns_at_once_are_the_columns_one_by_one(
    sizes: list[int], rows: int, seed: int
) -> None:
    """Few boundaries, many, and none; declared ones that single precision cannot tell apart."""
    random = np.random.default_rng(seed)
    boundaries = [np.sort(random.normal(size=size)) for size in sizes]
    boundaries.append(np.array([0.7, 0.7 + 1e-12]))
    found = random.normal(size=(len(boundaries), rows)).astype(np.float32)
    found[random.random(found.shape) < 0.2] = NAN
    for column, bounds in enumerate(boundaries):
        met = random.random(rows) < 0.3
        if len(bounds):
            found[column, met] = random.choice(bounds, int(met.sum()))
    codes = Coder(boundaries)(found)
    assert codes.dtype == np.int64
    for column, bounds in enumerate(boundaries):
        assert np.array_equal(codes[column], codes_of(found[column], bounds))


def test_events_outside_training_move_no_boundary() -> None:
    store = number_store()
    train = np.arange(store.manifest.counts.events) % 3 > 0
    before = event_boundaries(store, train)
    assert list(before) == ["number.price", "number.age", "window.user_1h_count"]
    assert before["number.age"].tolist() == [18.0, 40.0]  # declared
    assert len(before["number.price"]) == 3  # quartiles
    for name in before:
        store.column(name)[~train] += 1e6
    assert all(
        np.array_equal(before[name], now) for name, now in event_boundaries(store, train).items()
    )
    store.column("number.price")[train] *= 2
    after = event_boundaries(store, train)
    assert np.allclose(after["number.price"], 2 * before["number.price"])


def test_rows_that_training_never_meets_do_not_count() -> None:
    store = number_store()
    train = store.column("user") < 2
    met = np.unique(store.column("item")[train])
    before = coded_side(store, "item", train)
    assert set(before.fields) == {"topic", "tags", "number:length", "statistic:plays"}
    assert before.sizes["number:length"] == 6
    never = np.setdiff1d(np.arange(store.manifest.counts.items), met)
    assert len(never)
    store.items.numbers["length"][never] += 1e6
    after = coded_side(store, "item", train)
    assert np.array_equal(before.fields["number:length"][met], after.fields["number:length"][met])
    assert (after.fields["number:length"][never] == 5).all()


def test_a_side_row_counts_as_often_as_training_meets_it() -> None:
    store = number_store()
    train = np.ones(store.manifest.counts.events, bool)
    coded = coded_side(store, "item", train).fields["number:length"]
    per_event = np.bincount(coded[store.column("item")])[1:]
    assert per_event.max() < 1.6 * per_event.min()


def test_a_table_without_numbers_is_left_as_it_is() -> None:
    store = number_store()
    assert coded_side(store, "user", np.ones(len(store.column("user")), bool)) is store.users


def test_a_sample_of_the_events_gives_about_the_same_quantiles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = number_store((4000,))
    train = np.ones(4000, bool)
    exact = event_boundaries(store, train)["number.price"]
    monkeypatch.setattr("genrank_cli.data.buckets.SAMPLE", 1000)
    sampled = event_boundaries(store, train)["number.price"]
    prices = store.column("number.price")
    prices = prices[~np.isnan(prices)]
    shares = [(prices < bound).mean() for bound in sampled]
    assert shares == pytest.approx([0.25, 0.5, 0.75], abs=0.05)
    assert not np.array_equal(exact, sampled)


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_pieces_of_events_do_not_matter(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    store = number_store((300, 211))
    train = np.random.default_rng(0).random(511) < 0.7
    monkeypatch.setattr("genrank_cli.data.buckets.SAMPLE", 100)
    rows = np.flatnonzero(train)
    rows = rows[:: -(-len(rows) // 100)]
    monkeypatch.setattr("genrank_cli.data.buckets.PIECE", piece)
    prices = store.column("number.price")[rows]
    expected = boundaries_of(prices, store.manifest.event_numbers["price"])
    assert event_boundaries(store, train)["number.price"].tolist() == expected.tolist()
    met = np.bincount(store.column("item")[train], minlength=len(store.items.ids))
    info = store.manifest.item_numbers["length"]
    lengths = store.items.numbers["length"]
    codes = codes_of(lengths, boundaries_of(lengths, info.buckets, met))
    assert coded_side(store, "item", train).fields["number:length"].tolist() == codes.tolist()


def test_spec_of_windows_is_what_the_store_says() -> None:
    assert number_store().manifest.windows == WindowSpec(spans=("1h",), keys=("user",), tasks=())
