"""Token layouts, literally, on one user with three events and two candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import SampleConfig, build_samples
from genrank_cli.models.config import AttentionConfig
from genrank_cli.models.organization import ORGANIZATIONS
from tests.factory import MemoryStore, make_store
from tests.models.cases import LOG, TIED, make_batcher
from tests.models.visible import knowable, make_layout, reached

#: Requests e1 | e2 e3 | c1 c2, at 0, 100 (and 103 for e3) and 500 seconds (501 for c2).
TIMES = [0.0, 100.0, 103.0, 500.0, 501.0]


def five_events() -> MemoryStore:
    store = make_store((5,))
    store._columns.update(
        timestamp=1e9 + np.array(TIMES),
        request=np.array([0, 1, 1, 2, 2], np.uint32),
        item=np.arange(5, dtype=np.uint32),
    )
    counts = store.manifest.counts.model_copy(update={"requests": 3})
    manifest = store.manifest.model_copy(update={"counts": counts})
    return MemoryStore(manifest, store._columns, store.users, store.items)


def batch_of(organization: str, first: int) -> Batch:
    """The events from row ``first`` on are candidates, in one sample."""
    store = five_events()
    chosen = np.arange(5) >= first
    samples = build_samples(store, chosen, SampleConfig(organization=organization))
    assert len(samples) == 1
    return Batcher(store, samples, ("click",), 100).batch(np.array([0]))


def test_interleaved_layout_is_x1_a1_x2_a2_x3_a3_c1_c2() -> None:
    layout = ORGANIZATIONS["interleaved"].layout(batch_of("grouped", 3), AttentionConfig())
    assert layout.offsets.tolist() == [0, 8]
    assert layout.source.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert layout.event.tolist() == [0, 0, 1, 1, 2, 2, 3, 4]
    assert layout.position.tolist() == [0, 1, 2, 3, 4, 5, 6, 6]
    assert layout.time.tolist() == [0, 0, 100, 100, 103, 103, 500, 500]
    assert layout.candidates.tolist() == [6, 7]
    assert layout.mask.dense(layout.offsets, 0).int().tolist() == [
        [1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 1, 0, 1],
    ]


def test_action_layout_is_e1_e2_e3_c1_c2() -> None:
    layout = ORGANIZATIONS["action"].layout(batch_of("grouped", 3), AttentionConfig())
    assert layout.offsets.tolist() == [0, 5]
    assert layout.source.tolist() == layout.event.tolist() == [0, 1, 2, 3, 4]
    assert layout.position.tolist() == [0, 1, 2, 3, 3]
    assert layout.time.tolist() == [0, 100, 103, 500, 500]
    assert layout.candidates.tolist() == [3, 4]
    assert layout.mask.dense(layout.offsets, 0).int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 0, 1],
    ]


def test_packed_candidates_stand_at_their_own_requests() -> None:
    """All five are candidates; the history holds the three of the earlier requests."""
    layout = ORGANIZATIONS["action"].layout(batch_of("packed", 0), AttentionConfig())
    assert layout.position.tolist() == [0, 1, 2, 0, 1, 1, 3, 3]
    assert layout.time.tolist() == [0, 100, 103, 0, 100, 100, 500, 500]
    assert layout.mask.dense(layout.offsets, 0)[3:].int().tolist() == [
        [0, 0, 0, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0, 1, 0, 0],
        [1, 1, 1, 0, 0, 0, 1, 0],
        [1, 1, 1, 0, 0, 0, 0, 1],
    ]
    double = ORGANIZATIONS["interleaved"].layout(batch_of("packed", 0), AttentionConfig())
    assert double.position[6:].tolist() == [0, 2, 2, 6, 6]


def test_request_index_and_gap_are_the_requests_own() -> None:
    batch = batch_of("grouped", 3)
    assert batch.history.request.tolist() == [0, 1, 1]
    assert batch.history.gap.tolist() == [-1, 100, 100]
    assert batch.candidates.request.tolist() == [2, 2]
    assert batch.candidates.gap.tolist() == [400, 400]
    assert batch.candidates.time.tolist() == [500, 500]


def test_doubled_layout_is_x1_a1_x2_a2_x3_a3_c1_m_c2_m() -> None:
    """M sees what its candidate sees and the candidate; nothing else sees M."""
    batch = batch_of("grouped", 3)
    layout = make_layout("interleaved", batch, double=True)
    assert layout.offsets.tolist() == [0, 10]
    assert layout.source.tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 7, 8]  # 8: one past the values
    assert layout.event.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert layout.position.tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6, 6]
    assert layout.time.tolist() == [0, 0, 100, 100, 103, 103, 500, 500, 500, 500]
    assert layout.candidates.tolist() == [6, 8]
    assert layout.history.tolist() == [0, 1, 2, 3, 4, 5]
    single = make_layout("interleaved", batch)
    visible = layout.mask.dense(layout.offsets, 0).int()
    assert visible[:6, :6].equal(single.mask.dense(single.offsets, 0)[:6, :6].int())
    assert not visible[:6, 6:].any()
    assert visible[6:].tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 1, 1, 0, 0, 1, 1],
    ]


def test_doubled_candidates_of_a_packed_sample_keep_their_places() -> None:
    layout = make_layout("interleaved", batch_of("packed", 0), double=True)
    assert layout.position[6:].tolist() == [0, 0, 2, 2, 2, 2, 6, 6, 6, 6]
    assert layout.candidates.tolist() == [6, 8, 10, 12, 14]
    assert layout.mask.dense(layout.offsets, 0)[8:12].int().tolist() == [
        [1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0],
    ]


def test_contextual_layout_is_u1_u2_e1_e2_e3_c1_c2() -> None:
    layout = make_layout("action", batch_of("grouped", 3), context=2)
    assert layout.offsets.tolist() == [0, 7]
    assert layout.context.tolist() == [0, 1]
    assert layout.history.tolist() == [2, 3, 4]
    assert layout.candidates.tolist() == [5, 6]
    assert layout.source[2:].tolist() == layout.event[2:].tolist() == [0, 1, 2, 3, 4]
    assert layout.event[:2].tolist() == [-1, -1]
    assert layout.position.tolist() == [0, 0, 0, 1, 2, 3, 3]
    assert layout.time.tolist() == [0, 0, 0, 100, 103, 500, 500]
    rows = [
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1, 0, 1],
    ]
    own, everything = [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]
    assert layout.mask.dense(layout.offsets, 0).int().tolist() == [own, own, *rows]
    seeing = make_layout("action", batch_of("grouped", 3), context=2, attention="history")
    assert seeing.mask.dense(seeing.offsets, 0).int().tolist() == [everything, everything, *rows]


def test_contextual_interleaved_layout_is_u1_x1_a1_x2_a2_x3_a3_c1_m_c2_m() -> None:
    layout = make_layout("interleaved", batch_of("grouped", 3), context=1, double=True)
    assert layout.offsets.tolist() == [0, 11]
    assert layout.source.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 8, 7, 8]
    assert layout.event.tolist() == [-1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert layout.position.tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 6, 6, 6]
    assert layout.time.tolist() == [0, 0, 0, 100, 100, 103, 103, 500, 500, 500, 500]
    assert layout.candidates.tolist() == [7, 9]
    assert layout.mask.dense(layout.offsets, 0)[7:].int().tolist() == [
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1],
    ]


def test_every_sample_of_a_batch_has_its_contextual_tokens() -> None:
    batcher = make_batcher(LOG, "grouped")
    batch = batcher.batch(np.array([0, 3, 1]))  # the first has no history
    layout = make_layout("action", batch, context=2)
    lengths = batch.history_lengths + batch.candidate_lengths + 2
    assert layout.offsets.diff().equal(lengths)
    assert layout.context.equal((layout.offsets[:-1, None] + torch.arange(2)).flatten())
    assert (layout.event[layout.context] == -1).all()
    assert sorted(layout.event[layout.event >= 0].tolist()) == list(
        range(len(batch.actions) + len(batch.rows))
    )


FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "interleaved": ("interleaved", {}),
    "doubled": ("interleaved", {"double": True}),
    "contextual": ("interleaved", {"context": 2}),
    "action": ("action", {}),
    "action-contextual": ("action", {"context": 2}),
}


@pytest.mark.parametrize("log", [LOG, TIED], ids=["apart", "tied"])
@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
def test_every_form_knows_the_same_and_no_more(organization: str, log: MemoryStore) -> None:
    """Through any number of layers: the events before the request, their labels, the own item."""
    batcher = make_batcher(log, organization)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    expected = knowable(batch)
    assert max(map(len, expected)) > 10
    for name, options in FORMS.values():
        layout = make_layout(name, batch, **options)
        known = reached(layout, name)
        assert [known[token] for token in layout.candidates.tolist()] == expected


@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
def test_every_form_sees_the_same_events_in_the_same_order(organization: str) -> None:
    batcher = make_batcher(LOG, organization)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    seen: dict[str, list[list[int]]] = {}
    for form, (name, options) in FORMS.items():
        layout = make_layout(name, batch, **options)
        ordered = layout.position[layout.history]
        assert (ordered.diff()[layout.history.diff() == 1] == 1).all()
        seen[form] = []
        for sample in range(batch.samples):
            first, last = layout.offsets[sample : sample + 2].tolist()
            visible = layout.mask.dense(layout.offsets, sample)
            events = layout.event[first:last]
            for token in layout.candidates[
                (layout.candidates >= first) & (layout.candidates < last)
            ].tolist():
                found = events[visible[token - first]]
                seen[form].append(list(dict.fromkeys(found[found >= 0].tolist())))
    assert all(events == seen["action"] for events in seen.values())


@pytest.mark.parametrize("name", sorted(ORGANIZATIONS))
@pytest.mark.parametrize(
    "leak", [{"history": "full"}, {"attention": "history", "context": 1}], ids=["full", "context"]
)
def test_what_is_refused_does_reach_the_own_label(name: str, leak: dict[str, Any]) -> None:
    """Packed: candidates are later events of the history, too; their labels come through it."""
    batch = batch_of("packed", 0)
    layout = make_layout(name, batch, **leak)
    known = reached(layout, name)
    # Candidate 1 (e2 of the log) sees e1, which sees the history's third event and its label.
    assert (2, "label") in known[int(layout.candidates[1])]
    assert (1, "label") in known[int(layout.candidates[1])]


def test_values_of_tokens() -> None:
    x, a, c, m = (
        torch.tensor([[1.0], [2]]),
        torch.tensor([[10.0], [20]]),
        torch.tensor([[3.0]]),
        100.0,
    )
    masked = torch.tensor([m])
    interleaved = ORGANIZATIONS["interleaved"].values(x, a, c, masked)
    assert interleaved.flatten().tolist() == [1, 10, 2, 20, 3]
    action = ORGANIZATIONS["action"].values(x, a, c, masked)
    assert action.flatten().tolist() == [11, 22, 103]
