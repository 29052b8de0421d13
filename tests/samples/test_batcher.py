"""Batches: the right values in the right places, the same for the same seed, resumable."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from genrank_cli.data.batch import Batch, Events
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.gather import concatenated_ranges, request_gaps
from genrank_cli.data.samples import ORGANIZATIONS, SampleConfig, build_samples
from tests.factory import MemoryStore, make_store

EXAMPLES = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
TASKS = ("click", "dwell")
NAMES = sorted(ORGANIZATIONS)


def make_batcher(store: MemoryStore, organization: str = "packed", max_events: int = 60) -> Batcher:
    config = SampleConfig(organization=organization, history=8, window=10, candidates=4)
    chosen = np.ones(store.manifest.counts.events, bool)
    return Batcher(store, build_samples(store, chosen, config), TASKS, max_events)


def assert_same(one: Batch, other: Batch) -> None:
    for field in fields(Batch):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if a is None or b is None:
            assert a is b, field.name
            continue
        if isinstance(a, Events):
            for part in fields(Events):
                assert torch.equal(getattr(a, part.name), getattr(b, part.name)), part.name
        else:
            assert torch.equal(a, b), field.name


@EXAMPLES
@given(
    lengths=st.lists(st.integers(1, 25), min_size=1, max_size=5),
    organization=st.sampled_from(NAMES),
    seed=st.integers(0, 1000),
    max_events=st.integers(1, 80),
    ties=st.sampled_from([0.0, 0.5]),
)
def test_a_batch_holds_what_the_log_says(
    lengths: list[int], organization: str, seed: int, max_events: int, ties: float
) -> None:
    store = make_store(tuple(lengths), seed=seed, ties=ties)
    batcher = make_batcher(store, organization, max_events)
    samples = batcher.samples
    seen = []
    for chosen in batcher.shuffled(seed, 0):
        batch = batcher.batch(chosen)
        seen.append(batch.rows.numpy())
        total = len(batch.actions) + len(batch.rows)
        assert total == samples.events[chosen].sum()
        assert total <= max_events or len(chosen) == 1
        assert batch.samples == len(chosen)
        assert int(batch.history_offsets[-1]) == len(batch.actions) == len(batch.history.item)
        assert int(batch.candidate_offsets[-1]) == len(batch.rows) == len(batch.candidates.item)
        for place, sample in enumerate(chosen):
            _check_sample(store, batch, place, int(samples.history_start[sample]))
    assert np.array_equal(np.sort(np.concatenate(seen)), np.arange(sum(lengths)))


def _check_sample(store: MemoryStore, batch: Batch, place: int, first: int) -> None:
    request, time = store.column("request"), store.column("timestamp")
    begin, end = batch.history_offsets[place : place + 2].tolist()
    for i in range(begin, end):
        row = first + i - begin
        assert batch.history.item[i] == store.column("item")[row]
        assert batch.actions[i] == store.column("actions")[row]
        assert batch.history.time[i] == time[row] - time[first]
        assert batch.history.request[i] == request[row] - request[first]
        assert batch.history.context[i, 0] == store.column("context.surface")[row]
    for i in range(*batch.candidate_offsets[place : place + 2].tolist()):
        row = int(batch.rows[i])
        opening = int(store.request_offsets[request[row]])
        prefix = int(batch.prefix[i])
        # No event of the candidate's own request or of its moment, and none after it.
        own = np.flatnonzero(store.column("user") == store.column("user")[row])
        assert first + prefix == own[time[own] >= time[opening]][0] <= row
        assert 0 <= prefix <= end - begin
        assert (batch.history.time[begin : begin + prefix] < batch.candidates.time[i]).all()
        # A server knows when the request came, not when its fifth card was looked at.
        assert batch.candidates.time[i] == time[opening] - time[first]
        assert batch.candidates.item[i] == store.column("item")[row]
        starts = [int(store.request_offsets[r]) for r in np.unique(request[own])]
        now = next(start for start in starts if time[start] == time[opening])
        assert batch.candidates.request[i] == request[now] - request[first]
        assert batch.candidates.context[i, 0] == store.column("context.surface")[row]
        assert batch.candidates.user[i] == store.column("user")[row]
        assert batch.labels[i, 0] == store.column("task.click")[row]
        assert batch.labels[i, 1] == store.column("task.dwell")[row]
        earlier = [start for start in starts if time[start] < time[opening]]
        expected = time[opening] - time[earlier[-1]] if earlier else -1
        assert batch.candidates.gap[i] == pytest.approx(expected)


@pytest.mark.parametrize("organization", NAMES)
def test_the_same_seed_and_epoch_give_the_same_batches(organization: str) -> None:
    store = make_store((40, 30, 20, 35))
    one = list(make_batcher(store, organization).epoch(3, 5))
    other = list(make_batcher(store, organization).epoch(3, 5))
    assert len(one) == len(other) > 2
    for a, b in zip(one, other, strict=True):
        assert_same(a, b)


@pytest.mark.parametrize(("seed", "epoch"), [(3, 6), (4, 5)])
@pytest.mark.parametrize("organization", NAMES)
def test_another_seed_or_epoch_gives_another_order(
    organization: str, seed: int, epoch: int
) -> None:
    batcher = make_batcher(make_store((40, 30, 20, 35)), organization)
    first = np.concatenate(batcher.shuffled(3, 5))
    other = np.concatenate(batcher.shuffled(seed, epoch))
    assert not np.array_equal(first, other)
    assert np.array_equal(np.sort(first), np.sort(other))


def test_pointwise_batches_hold_neighbours_in_time_and_shuffled_ones_do_not() -> None:
    store = make_store((40, 30, 20, 35))
    store._columns["timestamp"] = 1e9 + np.concatenate([np.arange(n) for n in (40, 30, 20, 35)])
    time = store.column("timestamp")
    spans = {}
    for name in ("pointwise", "shuffled"):
        batcher = make_batcher(store, name)
        batches = [time[batcher.samples.start[chosen]] for chosen in batcher.shuffled(0, 0)]
        spans[name] = np.mean([np.ptp(times) for times in batches])
        assert np.array_equal(np.sort(np.concatenate(batches)), np.sort(time))
        if name == "pointwise":  # side by side, an epoch is the log; batches come in random order
            first = [times.min() for times in batches]
            ordered = np.concatenate([batches[i] for i in np.argsort(first, kind="stable")])
            assert (np.diff(ordered) >= 0).all()
            assert first != sorted(first)
    assert spans["pointwise"] < 3 < 15 < spans["shuffled"]


@pytest.mark.parametrize("first_step", [0, 1, 3])
def test_an_epoch_can_be_taken_up_at_any_step(first_step: int) -> None:
    batcher = make_batcher(make_store((40, 30, 20, 35)))
    whole = list(batcher.epoch(1, 2))
    rest = list(batcher.epoch(1, 2, first_step=first_step))
    assert len(rest) == len(whole) - first_step
    for a, b in zip(whole[first_step:], rest, strict=True):
        assert_same(a, b)
    assert list(batcher.epoch(1, 2, first_step=len(whole))) == []


def test_evaluation_takes_every_sample_once_and_similar_lengths_together() -> None:
    batcher = make_batcher(make_store((40, 7, 1, 23, 30)), "grouped")
    order = np.concatenate(batcher.in_order())
    assert np.array_equal(np.sort(order), np.arange(len(batcher.samples)))
    assert (np.diff(batcher.samples.events[order]) >= 0).all()


@pytest.mark.parametrize("organization", NAMES)
def test_groups_are_the_requests_of_one_sample(organization: str) -> None:
    """Candidates of one request in two samples are not peers: one cannot see the other."""
    store = make_store((30,), per_request=8)
    batcher = make_batcher(store, organization)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    sample = np.repeat(np.arange(batch.samples), batch.candidate_lengths.numpy())
    request = store.column("request")[batch.rows.numpy()]
    pairs = list(zip(sample.tolist(), request.tolist(), strict=True))
    groups = batch.group.tolist()
    assert len(set(groups)) == len(set(pairs)) == len(set(zip(groups, pairs, strict=True)))


def test_gaps_are_between_requests_of_one_user() -> None:
    store = make_store((5, 3), per_request=1)
    time = store.column("timestamp")
    expected = np.concatenate(([-1], np.diff(time[:5]), [-1], np.diff(time[5:])))
    assert request_gaps(store) == pytest.approx(expected, rel=1e-6)


def test_concatenated_ranges() -> None:
    start, length = np.array([5, 0, 9]), np.array([2, 0, 3])
    assert concatenated_ranges(start, length).tolist() == [5, 6, 9, 10, 11]
    assert concatenated_ranges(start[:0], length[:0]).tolist() == []
