"""Splits: complete, in time order where they promise it, and never through a request."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrank_cli.data.card import SplitSpec
from genrank_cli.data.splits import SPLITS, Part, Parts, assign_split
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.factory import make_store


def shuffle_time(store: Store, seed: int) -> Store:
    """The same requests, with users that overlap in time."""
    random = np.random.default_rng(seed)
    shift = random.uniform(0, 1e5, store.manifest.counts.users)
    store.column("timestamp")[:] -= store.column("timestamp")[store.user_offsets[:-1]].repeat(
        np.diff(store.user_offsets)
    )
    store.column("timestamp")[:] += 1e9 + shift[store.column("user")]
    return store


stores = st.builds(
    lambda lengths, per_request, seed: shuffle_time(
        make_store(tuple(lengths), per_request=per_request, seed=seed), seed
    ),
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 6),
    st.integers(0, 2**16),
)
specs = st.builds(
    lambda train, valid: SplitSpec(name="", train=train, valid=valid, test=1 - train - valid),
    st.floats(0.2, 0.7),
    st.floats(0.0, 0.25),
)


def parts_of(name: str, store: Store, spec: SplitSpec) -> Parts:
    """The parts, also where one of them is empty."""
    return SPLITS[name](store, spec.model_copy(update={"name": name}))


@given(stores, specs, st.sampled_from(sorted(SPLITS)))
def test_every_event_has_one_part(store: Store, spec: SplitSpec, name: str) -> None:
    parts = parts_of(name, store, spec)
    assert parts.shape == (store.manifest.counts.events,)
    assert parts.dtype == np.uint8
    assert parts.max() <= Part.TEST


@given(stores, specs, st.sampled_from(["temporal", "user-temporal", "user"]))
def test_requests_are_never_cut(store: Store, spec: SplitSpec, name: str) -> None:
    parts, offsets = parts_of(name, store, spec), store.request_offsets
    assert (parts == np.repeat(parts[offsets[:-1]], np.diff(offsets))).all()


@given(stores, specs)
def test_temporal_is_one_moment_for_all(store: Store, spec: SplitSpec) -> None:
    parts = parts_of("temporal", store, spec)
    begins = store.request_offsets[:-1]
    start, part = store.column("timestamp")[begins], parts[begins]
    bounds = [
        (start[part == number].min(initial=np.inf), start[part == number].max(initial=-np.inf))
        for number in (Part.TRAIN, Part.VALID, Part.TEST)
    ]
    for earlier, later in ((0, 1), (1, 2), (0, 2)):
        assert bounds[earlier][1] <= bounds[later][0]


@given(st.integers(50, 3000), specs, st.integers(0, 100))
def test_temporal_shares_are_exact_without_ties(count: int, spec: SplitSpec, seed: int) -> None:
    store = make_store((count,), per_request=1, seed=seed)
    found = np.bincount(parts_of("temporal", store, spec), minlength=3) / count
    assert np.abs(found - [spec.train, spec.valid, spec.test]).max() <= 2 / count


@given(stores, specs)
def test_user_temporal_is_contiguous_and_in_order(store: Store, spec: SplitSpec) -> None:
    parts, offsets = parts_of("user-temporal", store, spec), store.user_offsets
    for begin, end in pairwise(offsets):
        assert (np.diff(parts[begin:end].astype(int)) >= 0).all()


@given(st.lists(st.integers(1, 60), min_size=1), specs, st.integers(0, 100))
def test_user_temporal_shares_of_each_user(lengths: list[int], spec: SplitSpec, seed: int) -> None:
    store = make_store(tuple(lengths), per_request=1, seed=seed)
    parts, offsets = parts_of("user-temporal", store, spec), store.user_offsets
    for user, length in enumerate(lengths):
        own = parts[offsets[user] : offsets[user + 1]]
        assert abs((own == Part.TEST).sum() - spec.test * length) <= 0.5 + 1e-9
        assert abs((own == Part.TRAIN).sum() - spec.train * length) <= 0.5 + 1e-9


@given(stores, specs)
def test_user_split_keeps_users_whole(store: Store, spec: SplitSpec) -> None:
    parts, offsets = parts_of("user", store, spec), store.user_offsets
    assert (parts == np.repeat(parts[offsets[:-1]], np.diff(offsets))).all()


def test_user_split_shares_and_stability() -> None:
    spec = SplitSpec(name="user", train=0.6, valid=0.1, test=0.3)
    small, large = make_store((2,) * 1000), make_store((3,) * 4000)
    found = np.bincount(parts_of("user", large, spec)) / (3 * 4000)
    assert np.abs(found - [0.6, 0.1, 0.3]).max() < 0.03
    # A user's part does not depend on who else is in the data.
    first = parts_of("user", small, spec)[small.user_offsets[:-1]]
    assert (first == parts_of("user", large, spec)[large.user_offsets[:1000]]).all()


@given(stores)
def test_leave_one_out(store: Store) -> None:
    parts = parts_of("leave-one-out", store, SplitSpec(name="leave-one-out"))
    for begin, end in pairwise(store.user_offsets):
        own = parts[begin:end].tolist()
        tail = [Part.VALID, Part.TEST] if len(own) >= 3 else []
        assert own == [Part.TRAIN] * (len(own) - len(tail)) + tail


def test_hand_made_example() -> None:
    store = make_store((10,), per_request=1)
    spec = SplitSpec(name="user-temporal", train=0.7, valid=0.1, test=0.2)
    assert assign_split(store, spec).tolist() == [0] * 7 + [1] + [2] * 2


def test_a_request_takes_the_part_of_its_first_event() -> None:
    store = make_store((4,), per_request=1)
    store.column("request")[:] = [0, 1, 1, 1]
    store = type(store)(
        store.manifest.model_copy(
            update={"counts": store.manifest.counts.model_copy(update={"requests": 2})}
        ),
        {name: store.column(name) for name in ("user", "item", "timestamp", "request")},
        store.users,
        store.items,
    )
    for name in ("temporal", "user-temporal"):
        spec = SplitSpec(name=name, train=0.5, valid=0.0, test=0.5)
        assert parts_of(name, store, spec).tolist() == [0, 0, 0, 0]


def test_unknown_split() -> None:
    with pytest.raises(GenrankError) as caught:
        assign_split(make_store(), SplitSpec(name="temporl"))
    assert caught.value.exit_code == ExitCode.USAGE
    assert "did you mean 'temporal'?" in caught.value.hint


def test_empty_part_is_refused() -> None:
    with pytest.raises(GenrankError, match="leaves valid empty") as caught:
        assign_split(make_store((2, 2)), SplitSpec(name="leave-one-out"))
    assert caught.value.exit_code == ExitCode.DATA
    tiny = make_store((4,), per_request=1)
    spec = SplitSpec(name="user-temporal", train=0.9, valid=0.0, test=0.1)
    with pytest.raises(GenrankError, match="leaves test empty"):
        assign_split(tiny, spec)
