"""Token layouts, literally, on one user with three events and two candidates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import SampleConfig, build_samples
from genrank_cli.models.config import AttentionConfig
from genrank_cli.models.organization import ORGANIZATIONS
from tests.factory import MemoryStore, make_store
from tests.models.cases import LOG, make_batcher

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


@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
def test_both_organizations_see_the_same_events_in_the_same_order(organization: str) -> None:
    batcher = make_batcher(LOG, organization)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    layouts = {name: one.layout(batch, AttentionConfig()) for name, one in ORGANIZATIONS.items()}
    for sample in range(batch.samples):
        seen = {}
        for name, layout in layouts.items():
            first, last = layout.offsets[sample : sample + 2].tolist()
            visible = layout.mask.dense(layout.offsets, sample)
            events = layout.event[first:last]
            inside = (layout.candidates >= first) & (layout.candidates < last)
            tokens = layout.candidates[inside] - first
            seen[name] = [list(dict.fromkeys(events[visible[t]].tolist())) for t in tokens]
        assert seen["interleaved"] == seen["action"]


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
