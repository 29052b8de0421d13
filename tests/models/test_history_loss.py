"""Loss on history: which events, as what they are asked, and that no label shows itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import SampleConfig, Samples, build_samples
from genrank_cli.models.history_loss import as_asked, chosen_events, with_copies, with_history
from tests.factory import MemoryStore, make_store
from tests.models.cases import LOG, TASKS, TIED, make_batcher, make_model
from tests.models.visible import make_layout, reached

EVENTS = LOG.manifest.counts.events


def batch_of(store: MemoryStore, learnt: Any = None, organization: str = "grouped") -> Batch:
    """All requests of the log, each with its whole history."""
    config = SampleConfig(organization=organization, history=50, candidates=50)
    everything = np.ones(store.manifest.counts.events, bool)
    samples = build_samples(store, everything, config)
    batcher = Batcher(store, samples, TASKS, 10**9, learnt=everything if learnt is None else learnt)
    return batcher.batch(np.arange(len(samples)))


def rows_of_history(batch: Batch, samples: Samples) -> np.ndarray[Any, Any]:
    return np.concatenate(
        [np.arange(a, b) for a, b in zip(samples.history_start, samples.history_stop, strict=True)]
    )


@pytest.mark.parametrize("log", [LOG, TIED], ids=["apart", "tied"])
def test_a_history_event_is_asked_as_it_was_as_a_candidate(log: MemoryStore) -> None:
    """Number, gap, time and prefix are those of the very same event as a candidate."""
    batch = batch_of(log)
    config = SampleConfig(organization="grouped", history=50, candidates=50)
    samples = build_samples(log, np.ones(EVENTS, bool), config)
    rows = rows_of_history(batch, samples)
    known = as_asked(batch)
    place = {int(row): i for i, row in enumerate(batch.rows.tolist())}
    assert len(rows) == len(batch.actions) > 200
    as_candidate = torch.tensor([place[int(row)] for row in rows])
    for found, expected in (
        (known.prefix, batch.prefix),
        (known.request, batch.candidates.request),
        (known.gap, batch.candidates.gap),
        (known.time, batch.candidates.time),
    ):
        assert torch.equal(found, expected[as_candidate])


def test_copies_stand_behind_the_candidates_of_their_sample() -> None:
    batch = batch_of(LOG)
    chosen = torch.arange(0, len(batch.actions), 3)
    more = with_copies(batch, chosen)
    is_copy = more.rows < 0
    assert int(is_copy.sum()) == len(chosen)
    assert torch.equal(more.labels[is_copy], batch.history_labels[chosen])  # type: ignore[index]
    assert torch.equal(more.candidates.item[is_copy], batch.history.item[chosen])
    assert torch.equal(more.prefix[is_copy], as_asked(batch).prefix[chosen])
    sample = torch.arange(batch.samples)
    owner = sample.repeat_interleave(batch.history_lengths)[chosen]
    assert torch.equal(sample.repeat_interleave(more.candidate_lengths)[is_copy], owner)
    # What was there stays as it was, before the copies.
    for name in ("prefix", "group", "labels", "rows"):
        assert torch.equal(getattr(more, name)[~is_copy], getattr(batch, name))
    for place in range(batch.samples):
        inside = is_copy[more.candidate_offsets[place] : more.candidate_offsets[place + 1]]
        assert not inside[: int(batch.candidate_lengths[place])].any()
    assert len(more.group.unique_consecutive()) == len(more.group.unique())
    assert len(more.group[is_copy].unique()) == len(chosen)


@pytest.mark.parametrize("name", ["hstu", "hstu-meta", "softmax", "genrank", "genrank-context"])
def test_candidates_score_the_same_beside_supervised_history(name: str) -> None:
    model, batch = make_model(name, LOG), batch_of(LOG)
    chosen = torch.arange(0, len(batch.actions), 2)
    with torch.no_grad():
        output, labels = with_history(model, batch, chosen)
        alone = model(batch)
    assert len(output) == len(labels) == len(batch.rows) + len(chosen)
    first = labels_first(model, batch, chosen)
    assert (output[first] - alone).abs().max() <= 1e-5
    assert torch.equal(labels[first], batch.labels)


def labels_first(model: Any, batch: Batch, chosen: torch.Tensor) -> torch.Tensor:
    """Which outputs are those of the candidates."""
    if model.organization.masks_actions:
        return with_copies(batch, chosen).rows >= 0
    return torch.arange(len(batch.rows))


def test_a_copy_scores_as_the_event_did_as_a_candidate() -> None:
    model, batch = make_model("genrank", LOG), batch_of(LOG)
    config = SampleConfig(organization="grouped", history=50, candidates=50)
    samples = build_samples(LOG, np.ones(EVENTS, bool), config)
    rows = rows_of_history(batch, samples)
    more = with_copies(batch, torch.arange(len(rows)))
    with torch.no_grad():
        alone, together = model(batch), model(more)
    found = dict(zip(batch.rows.tolist(), alone, strict=True))
    # Copies are grouped by sample, in the order of the histories.
    for row, score in zip(rows.tolist(), together[more.rows < 0], strict=True):
        assert (found[row] - score).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["hstu", "hstu-context", "hstu-double", "genrank"])
def test_no_supervised_event_is_told_its_own_or_a_later_label(name: str) -> None:
    """Flip the action of one event: what is trained on up to it does not move."""
    model, batch = make_model(name, LOG), batch_of(LOG)
    everything = torch.arange(len(batch.actions))
    action_oriented = model.organization.masks_actions  # type: ignore[union-attr]
    with torch.no_grad():
        before, _ = with_history(model, batch, everything)
        lengths, offsets = batch.history_lengths, batch.history_offsets
        sample = int(lengths.argmax())
        event = int(offsets[sample]) + int(lengths[sample]) // 2
        flipped = batch.actions.clone()
        flipped[event] ^= 3
        after, _ = with_history(model, replace(batch, actions=flipped), everything)
    moved = (before - after).abs().amax(dim=1) > 1e-6
    of_history = moved[with_copies(batch, everything).rows < 0] if action_oriented else None
    if of_history is None:
        of_history = moved[len(batch.rows) :]
    assert not of_history[: event + 1].any()
    assert of_history[event + 1 : int(offsets[sample + 1])].any()
    if action_oriented:  # not even the events of its own request
        prefix = as_asked(batch).prefix + offsets[:-1].repeat_interleave(lengths)
        assert not of_history[prefix <= event].any()


@pytest.mark.parametrize("double", [False, True])
def test_item_tokens_of_the_history_are_not_reached_by_their_label(double: bool) -> None:
    batch = batch_of(make_store((12, 5), per_request=3))
    layout = make_layout("interleaved", batch, double=double, context=1)
    known = reached(layout, "interleaved")
    for event, token in enumerate(layout.history[::2].tolist()):
        assert (event, "item") in known[token]
        assert (event, "label") not in known[token]


def test_a_share_is_drawn_for_the_seed_and_all_are_all() -> None:
    batch = batch_of(LOG)
    half = chosen_events(batch, 0.5, np.random.default_rng(1))
    assert torch.equal(half, chosen_events(batch, 0.5, np.random.default_rng(1)))
    assert not torch.equal(half, chosen_events(batch, 0.5, np.random.default_rng(2)))
    assert 0.4 < len(half) / len(batch.actions) < 0.6
    everything = chosen_events(batch, 1.0, np.random.default_rng(1))
    assert torch.equal(everything, torch.arange(len(batch.actions)))


def test_only_events_that_are_learnt_from_are_drawn() -> None:
    learnt = np.zeros(EVENTS, bool)
    learnt[::2] = True
    batch = batch_of(LOG, learnt)
    config = SampleConfig(organization="grouped", history=50, candidates=50)
    rows = rows_of_history(batch, build_samples(LOG, np.ones(EVENTS, bool), config))
    chosen = chosen_events(batch, 1.0, np.random.default_rng(0))
    assert np.array_equal(chosen.numpy(), np.flatnonzero(learnt[rows]))
    assert not batch.history_labels[chosen].isnan().any()  # type: ignore[index]
    for k, task in enumerate(TASKS):
        column = LOG.column(f"task.{task}")[rows]
        found = batch.history_labels[:, k].numpy()  # type: ignore[index]
        assert np.array_equal(found, np.where(learnt[rows], column, np.nan), equal_nan=True)


def test_a_batch_without_labels_of_its_history_says_so() -> None:
    batch = make_batcher(LOG, "grouped").batch(np.array([1]))
    assert batch.history_labels is None
    with pytest.raises(ValueError, match="without the labels of its history"):
        chosen_events(batch, 1.0, np.random.default_rng(0))


def test_packed_samples_would_train_on_each_event_twice() -> None:
    """Why they are refused: there, a history event is a candidate of the very same sample."""
    batch = batch_of(LOG, organization="packed")
    config = SampleConfig(organization="packed", history=50, candidates=50)
    rows = rows_of_history(batch, build_samples(LOG, np.ones(EVENTS, bool), config))
    assert np.isin(rows, batch.rows.numpy()).all()
    assert len(rows) > 0.8 * EVENTS
