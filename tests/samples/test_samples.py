"""What is a candidate, what is history, and that nobody sees an outcome before its time."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import ValidationError

from genrank_cli.data import samples as samples_module
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import ORGANIZATIONS, SampleConfig, Samples, build_samples
from genrank_cli.data.splits import assign_split
from genrank_cli.errors import GenrankError
from tests.factory import MemoryStore, make_store

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[MemoryStore, NDArray[np.bool_]]:
    """A random log and a random choice of its events: all, whole requests, or any."""
    lengths = draw(st.lists(st.integers(1, 30), min_size=1, max_size=5))
    seed = draw(st.integers(0, 10_000))
    ties = draw(st.sampled_from([0.0, 0.3, 0.9]))
    store = make_store(tuple(lengths), per_request=draw(st.integers(1, 6)), seed=seed, ties=ties)
    random = np.random.default_rng(seed)
    kind = draw(st.sampled_from(["all", "requests", "events", "none"]))
    events = sum(lengths)
    if kind == "requests":
        kept = random.random(store.manifest.counts.requests) < 0.6
        chosen = kept[store.column("request")]
    else:
        chosen = random.random(events) < {"all": 1.0, "events": 0.6, "none": 0.0}[kind]
    return store, chosen


configs = st.builds(
    SampleConfig,
    organization=st.sampled_from(sorted(ORGANIZATIONS)),
    history=st.integers(1, 12),
    window=st.integers(1, 12),
    candidates=st.integers(1, 5),
)


def seen_by(store: MemoryStore, row: int) -> list[int]:
    """All that a server knows of the user when the request of ``row`` comes, event by event."""
    user, time, request = (store.column(name) for name in ("user", "timestamp", "request"))
    asked = time[request == request[row]].min()
    return [i for i in range(len(user)) if user[i] == user[row] and time[i] < asked]


def rows_of(samples: Samples) -> NDArray[np.int64]:
    ranges = [np.arange(a, b) for a, b in zip(samples.start, samples.stop, strict=True)]
    return np.concatenate([*ranges, np.zeros(0, np.int64)])


@EXAMPLES
@given(logs(), configs)
def test_every_chosen_event_is_a_candidate_exactly_once(
    log: tuple[MemoryStore, NDArray[np.bool_]], config: SampleConfig
) -> None:
    store, chosen = log
    rows = rows_of(build_samples(store, chosen, config))
    assert np.array_equal(np.sort(rows), np.flatnonzero(chosen))


@EXAMPLES
@given(logs(), configs)
def test_history_is_the_users_events_before_the_last_request(
    log: tuple[MemoryStore, NDArray[np.bool_]], config: SampleConfig
) -> None:
    store, chosen = log
    samples = build_samples(store, chosen, config)
    user = store.column("user")
    for first, last, start, stop in zip(
        samples.history_start, samples.history_stop, samples.start, samples.stop, strict=True
    ):
        assert len(set(user[first:stop])) == 1
        known = seen_by(store, stop - 1)
        assert last == first or last - 1 == known[-1]
        # The newest events, not the oldest, of all that the first request sees.
        newest = seen_by(store, start)[-config.history :]
        assert list(range(first, last))[: len(newest)] == newest
        assert len(newest) == 0 or first == newest[0]


@EXAMPLES
@given(logs(), configs)
def test_samples_stay_below_the_bound_that_models_are_built_for(
    log: tuple[MemoryStore, NDArray[np.bool_]], config: SampleConfig
) -> None:
    store, chosen = log
    samples = build_samples(store, chosen, config)
    assert ((samples.history_stop - samples.history_start) <= config.longest_history).all()


@EXAMPLES
@given(logs(), configs)
def test_organizations_cut_where_they_say(
    log: tuple[MemoryStore, NDArray[np.bool_]], config: SampleConfig
) -> None:
    store, chosen = log
    samples = build_samples(store, chosen, config)
    request = store.column("request")
    for start, stop in zip(samples.start, samples.stop, strict=True):
        _, sizes = np.unique(request[start:stop], return_counts=True)
        assert sizes.max() <= config.candidates or config.organization == "pointwise"
        if config.organization in ("pointwise", "shuffled"):
            assert stop - start == 1
        elif config.organization == "grouped":
            assert len(sizes) == 1


def test_packed_windows_hold_several_requests_and_grouped_only_one() -> None:
    store = make_store((40,), per_request=3)
    chosen = np.ones(40, bool)
    requests = store.manifest.counts.requests
    grouped = build_samples(store, chosen, SampleConfig(organization="grouped"))
    packed = build_samples(store, chosen, SampleConfig(organization="packed", window=256))
    assert len(grouped) == requests > 10
    assert len(packed) == 1
    assert packed.events.tolist() == [store.request_offsets[-2] + 40]


def test_a_request_above_the_cap_becomes_several_samples_with_one_history() -> None:
    store = make_store((30,), per_request=12, seed=1)
    config = SampleConfig(organization="grouped", candidates=4)
    samples = build_samples(store, np.ones(30, bool), config)
    sizes = np.diff(store.request_offsets)
    assert sizes.max() > 8
    expected = [min(4, n - taken) for n in sizes.tolist() for taken in range(0, n, 4)]
    assert (samples.stop - samples.start).tolist() == expected
    parts = np.repeat(store.request_offsets[:-1], -(-sizes // 4))
    assert samples.history_stop.tolist() == parts.tolist()
    assert samples.history_start.tolist() == [0] * len(parts)


def test_earlier_events_are_history_even_when_they_are_not_chosen() -> None:
    store = make_store((20,), per_request=1)
    chosen = np.zeros(20, bool)
    chosen[15:] = True
    samples = build_samples(store, chosen, SampleConfig(organization="grouped", history=4))
    assert samples.history_start.tolist() == [11, 12, 13, 14, 15]
    assert samples.history_stop.tolist() == [15, 16, 17, 18, 19]


def test_unknown_organization_names_the_nearest() -> None:
    with pytest.raises(ValidationError, match=r"unknown sample organization 'packd'.*packed"):
        SampleConfig(organization="packd")


@EXAMPLES
@given(logs(), configs)
def test_nothing_is_seen_of_a_request_or_of_what_came_later(
    log: tuple[MemoryStore, NDArray[np.bool_]], config: SampleConfig
) -> None:
    """What a candidate may see, from the batch as models get it, against the log itself."""
    store, chosen = log
    if not chosen.any():
        return
    samples = build_samples(store, chosen, config)
    request, user = store.column("request"), store.column("user")
    batch = Batcher(store, samples, ("click",), 10**9).batch(np.arange(len(samples)))
    sample = np.repeat(np.arange(len(samples)), batch.candidate_lengths.numpy())
    for row, prefix, s in zip(batch.rows.tolist(), batch.prefix.tolist(), sample, strict=True):
        seen = np.arange(samples.history_start[s], samples.history_start[s] + prefix)
        assert (request[seen] < request[row]).all()
        assert (user[seen] == user[row]).all()
        # The newest of what may be seen, without a hole, and no more than that.
        known = seen_by(store, row)
        assert seen.tolist() == known[len(known) - len(seen) :]
        assert len(seen) >= min(config.history, len(known))


@EXAMPLES
@given(logs(), configs, st.sampled_from(["temporal", "user-temporal", "user", "leave-one-out"]))
def test_splitting_and_grouping_lose_no_event(
    log: tuple[MemoryStore, NDArray[np.bool_]], config: SampleConfig, split: str
) -> None:
    store, _ = log
    with contextlib.suppress(GenrankError):  # a log too small for this split
        part = assign_split(store, store.manifest.split.named(split))
        rows = [rows_of(build_samples(store, part == number, config)) for number in range(3)]
        assert np.array_equal(np.sort(np.concatenate(rows)), np.flatnonzero(part < 3))
        assert (part < 3).all() or split == "leave-one-out"  # its first events may stay unused


@pytest.mark.parametrize("block", [1, 7, 40, 75])
@pytest.mark.parametrize("organization", sorted(ORGANIZATIONS))
def test_blocks_do_not_matter(
    organization: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store((13, 17, 1, 30, 40), per_request=4)
    chosen = np.random.default_rng(0).random(101) < 0.9
    config = SampleConfig(organization=organization, history=5, window=4, candidates=3)
    whole = build_samples(store, chosen, config)
    monkeypatch.setattr(samples_module, "BLOCK_ROWS", block)
    pieces = build_samples(store, chosen, config)
    for column in ("history_start", "history_stop", "start", "stop"):
        assert np.array_equal(getattr(whole, column), getattr(pieces, column))


def test_requests_of_one_moment_do_not_see_each_other() -> None:
    """Requests 0 | 1 2 | 3 | 4 at 0, 5 5 and 9, 9 and 9 and 12 seconds; 2 lasts until 3 begins."""
    store = make_store((7,), per_request=1)
    store._columns["timestamp"] = 1e9 + np.array([0.0, 5, 5, 9, 9, 9, 12])
    store._columns["request"] = np.array([0, 1, 2, 2, 3, 4, 5], np.uint32)
    counts = store.manifest.counts.model_copy(update={"requests": 6})
    manifest = store.manifest.model_copy(update={"counts": counts})
    store = MemoryStore(manifest, store._columns, store.users, store.items)
    for organization in sorted(ORGANIZATIONS):
        config = SampleConfig(organization=organization)
        samples = build_samples(store, np.ones(7, bool), config)
        batch = Batcher(store, samples, ("click",), 100).batch(np.arange(len(samples)))
        assert batch.prefix.tolist() == [0, 1, 1, 1, 3, 3, 6], organization
        # Of the request too, they know what the first of the moment knows.
        assert batch.candidates.request.tolist() == [0, 1, 1, 1, 3, 3, 5], organization
        assert batch.candidates.gap.tolist() == [-1, 5, 5, 5, 4, 4, 3], organization
        assert batch.candidates.time.tolist() == [0, 5, 5, 5, 9, 9, 12], organization


def test_a_moment_of_many_requests_is_cut_into_windows() -> None:
    store = make_store((60,), per_request=1, ties=1.0)
    config = SampleConfig(organization="packed", history=8, window=10, candidates=10)
    samples = build_samples(store, np.ones(60, bool), config)
    assert (samples.stop - samples.start).tolist() == [10] * 6
    assert (samples.history_stop == 0).all()
