"""Splits: complete, in time order where they promise it, and never through a request."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from genrank_cli.data import splits
from genrank_cli.data.split_spec import KEYS, SplitSpec
from genrank_cli.data.splits import SPLITS, Part, Parts, split_events
from genrank_cli.data.store import Store, TimeRange
from genrank_cli.errors import GenrankError
from tests.data.slow_splits import day_of, slow_parts, usual_of
from tests.factory import MemoryStore, make_store

USED = (Part.TRAIN, Part.VALID, Part.TEST)


def changed(store: MemoryStore, *, apart: float = 0.0, seed: int = 0, span: float = 1e5) -> Store:
    """The same requests, of users that overlap in time, with a share of events apart."""
    random = np.random.default_rng(seed)
    columns = {name: store.column(name) for name in ("user", "item", "timestamp", "request")}
    shift = 1e9 + random.uniform(0, span, store.manifest.counts.users)
    first = columns["timestamp"][store.user_offsets[:-1]]
    columns["timestamp"] = columns["timestamp"] + (shift - first)[columns["user"]]
    if apart:
        flags = random.random(len(shift[columns["user"]])) < apart
        flags[random.integers(len(flags))] = False  # one usual event at least
        columns["apart"] = flags.astype(np.uint8)
    time = columns["timestamp"]
    manifest = store.manifest.model_copy(
        update={
            "apart": bool(apart),
            "time": TimeRange(first=float(time.min()), last=float(time.max())),
        }
    )
    return MemoryStore(manifest, columns, store.users, store.items)


stores: st.SearchStrategy[Store] = st.builds(
    lambda lengths, per_request, apart, seed, span: changed(
        make_store(tuple(lengths), per_request=per_request, seed=seed),
        apart=apart,
        seed=seed,
        span=span,
    ),
    st.lists(st.integers(1, 40), min_size=1, max_size=12),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.2, 0.7]),
    st.integers(0, 2**16),
    st.sampled_from([0.0, 1e5, 1e6]),
)


shares = st.builds(
    lambda train, valid: {"train": train, "valid": valid, "test": 1 - train - valid},
    st.floats(0.2, 0.7),
    st.floats(0.0, 0.25),
)


@st.composite
def logs(draw: st.DrawFn, name: str | None = None) -> tuple[Store, SplitSpec]:
    """A store, and a split with shares or with bounds somewhere around its events."""
    store = draw(stores)
    name = name or draw(st.sampled_from(sorted(KEYS)))
    if name == "leave-one-out":
        return store, SplitSpec(name=name)
    if name in {"temporal", "date"} and draw(st.booleans()):
        return store, bounded(store, name, draw)
    if name == "date":
        offset = draw(st.sampled_from([-11.5, 0, 8]))
        return store, SplitSpec(name=name, utc_offset_hours=offset, **draw(shares))
    return store, SplitSpec(name=name, **draw(shares))


def bounded(store: Store, name: str, draw: st.DrawFn) -> SplitSpec:
    time = store.manifest.time
    test = draw(st.floats(time.first - 1e5, time.last + 1e5))
    valid = draw(st.none() | st.floats(test - 3e5, test - 90_000))
    if name == "temporal":
        return SplitSpec.model_validate({"name": name, "valid_from": valid, "test_from": test})
    offset = draw(st.sampled_from([-11.5, 0, 8]))
    bounds = {"valid_from": valid and day_of(valid, offset), "test_from": day_of(test, offset)}
    return SplitSpec.model_validate({"name": name, "utc_offset_hours": offset, **bounds})


def parts_of(store: Store, spec: SplitSpec) -> Parts:
    """The parts, also where one of them is empty; a log of too few days is no example."""
    try:
        return split_events(store, spec)
    except GenrankError as error:
        assume("split date needs" not in error.message)
        raise


# --- what holds for every split ---


def test_every_split_has_keys_and_a_rule() -> None:
    assert set(SPLITS) == set(KEYS)


@given(logs())
def test_every_event_has_one_part(log: tuple[Store, SplitSpec]) -> None:
    store, spec = log
    parts = parts_of(store, spec)
    assert parts.shape == (store.manifest.counts.events,)
    assert parts.dtype == np.uint8
    assert set(parts.tolist()) <= set(Part)
    if spec.name != "leave-one-out":
        usual = parts[np.array(usual_of(store))]
        assert set(usual.tolist()) <= set(USED)


@given(logs())
def test_requests_are_never_cut(log: tuple[Store, SplitSpec]) -> None:
    store, spec = log
    parts = parts_of(store, spec)
    for begin, end in pairwise(store.request_offsets):
        found = set(parts[begin:end].tolist())
        assert len(found & set(USED)) <= 1
        # What is evaluated apart was never near training.
        assert not {Part.RANDOM, Part.TRAIN} <= found


@given(logs())
def test_apart_events_are_in_no_usual_part(log: tuple[Store, SplitSpec]) -> None:
    store, spec = log
    parts = parts_of(store, spec)
    if not store.manifest.apart:
        assert Part.RANDOM not in parts
        return
    apart = store.column("apart") == 1
    assert set(parts[apart].tolist()) <= {Part.RANDOM, Part.UNUSED}
    assert Part.RANDOM not in parts[~apart]


@given(logs("temporal") | logs("date"))
def test_one_moment_for_all(log: tuple[Store, SplitSpec]) -> None:
    store, spec = log
    parts = parts_of(store, spec)
    starts = np.repeat(
        store.column("timestamp")[store.request_offsets[:-1]], np.diff(store.request_offsets)
    )
    for earlier, later in pairwise(USED):
        assert starts[parts <= earlier].max(initial=0) <= starts[
            (parts >= later) & (parts <= Part.TEST)
        ].min(initial=np.inf)
    usual_end = starts[parts <= Part.VALID].max(initial=0)
    assert (starts[parts == Part.RANDOM] > usual_end).all()


@given(logs("user-temporal") | logs("leave-one-out"))
def test_users_are_in_time_order(log: tuple[Store, SplitSpec]) -> None:
    store, spec = log
    parts, usual = parts_of(store, spec), usual_of(store)
    for begin, end in pairwise(store.user_offsets):
        used = [parts[row] for row in range(begin, end) if usual[row] and parts[row] in USED]
        assert used == sorted(used)
        trained = np.flatnonzero(parts[begin:end] == Part.TRAIN)
        apart = np.flatnonzero(parts[begin:end] == Part.RANDOM)
        assert apart.min(initial=end) > trained.max(initial=-1)


# --- against a slow reference ---


@pytest.mark.parametrize("name", sorted(KEYS))
def test_parts_equal_a_slow_reference(name: str) -> None:
    """However few events are looked at together."""

    @given(logs(name), st.sampled_from([1, 3, 20, splits.PIECE]))
    def check(log: tuple[Store, SplitSpec], piece: int) -> None:
        store, spec = log
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(splits, "PIECE", piece)
            parts = parts_of(store, spec).tolist()
        assert parts == slow_parts(store, spec)

    check()


# --- shares ---


@given(st.integers(50, 3000), shares, st.integers(0, 100))
def test_temporal_shares_are_exact_without_ties(
    count: int, given: dict[str, float], seed: int
) -> None:
    store = make_store((count,), per_request=1, seed=seed)
    spec = SplitSpec(name="temporal", **given)
    found = np.bincount(split_events(store, spec), minlength=3) / count
    assert np.abs(found - spec.shares).max() <= 2 / count


@given(st.lists(st.integers(1, 60), min_size=1), shares, st.integers(0, 100))
def test_user_temporal_shares_of_each_user(
    lengths: list[int], given: dict[str, float], seed: int
) -> None:
    store = make_store(tuple(lengths), per_request=1, seed=seed)
    spec = SplitSpec(name="user-temporal", **given)
    parts, offsets = split_events(store, spec), store.user_offsets
    for user, length in enumerate(lengths):
        own = parts[offsets[user] : offsets[user + 1]]
        assert abs((own == Part.TEST).sum() - given["test"] * length) <= 0.5 + 1e-9
        assert abs((own == Part.TRAIN).sum() - given["train"] * length) <= 0.5 + 1e-9


def test_user_split_shares_and_stability() -> None:
    spec = SplitSpec(name="user", train=0.6, valid=0.1, test=0.3)
    small, large = make_store((2,) * 1000), make_store((3,) * 4000)
    found = np.bincount(split_events(large, spec)) / (3 * 4000)
    assert np.abs(found - [0.6, 0.1, 0.3]).max() < 0.03
    # A user's part does not depend on who else is in the data.
    first = split_events(small, spec)[small.user_offsets[:-1]]
    assert (first == split_events(large, spec)[large.user_offsets[:1000]]).all()


def test_shares_count_the_usual_events_only() -> None:
    store = changed(make_store((400,), per_request=1), apart=0.7)
    usual = store.column("apart") == 0
    for name in ("temporal", "user-temporal"):
        parts = split_events(store, SplitSpec(name=name, train=0.5, valid=0.2, test=0.3))[usual]
        assert np.bincount(parts) / usual.sum() == pytest.approx([0.5, 0.2, 0.3], abs=0.02)
