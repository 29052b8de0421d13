"""Cached inference scores as the full forward does, without touching the history again."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genrank_cli.data.batch import Batch, Events
from genrank_cli.models.blocks import BLOCKS
from genrank_cli.models.cached import Cache, Candidates, encode, score
from tests.models.cases import LOG, TIED, make_batcher, make_model

TOLERANCE = 1e-5
BIASES = {
    "none": {"bias": "none"},
    "rab": {"bias": "rab"},
    "materialized": {"bias": "rab", "bias_form": "materialized"},
    "tables": {"bias": "tables"},
    "alibi": {"bias": "alibi"},
    "alibi-time": {"bias": "alibi-time"},
}
MASKS: dict[str, dict[str, Any]] = {
    "causal": {},
    "window": {"window": 5},
    "full": {"history": "full"},
    "full-window": {"history": "full", "window": 3},
    "visible": {"candidates": "visible"},
    "visible-window": {"candidates": "visible", "window": 4},
}
ORGANIZATIONS = ("interleaved", "action")


def make(
    organization: str = "action", bias: str = "rab", history: str = "causal", **attention: Any
) -> Any:
    model: Any = make_model(
        "genrank", LOG, organization=organization, attention=BIASES[bias] | attention
    )
    # Experiments refuse a full history for packed samples; the two ways to score must not care.
    shown = model.config.attention.model_copy(update={"history": history})
    model.config = model.config.model_copy(update={"attention": shown})
    return model


def whole(samples: str = "packed", log: Any = LOG) -> Batch:
    batcher = make_batcher(log, samples)
    return batcher.batch(np.arange(len(batcher.samples)))


def longest(samples: str = "grouped", window: int = 12) -> Batch:
    """One sample: of those with the most candidates, the one with most history."""
    batcher = make_batcher(LOG, samples, window=window)
    shown = batcher.samples.stop - batcher.samples.start
    known = batcher.samples.history_stop - batcher.samples.history_start
    return batcher.batch(np.lexsort((known, shown))[-1:])


def full(model: Any, batch: Batch) -> Tensor:
    with torch.no_grad():
        out: Tensor = model(batch)
    return out


def error(model: Any, batch: Batch, micro_batch: int) -> float:
    found = score(model, encode(model, batch, micro_batch), Candidates.of(batch))
    expected = full(model, batch)
    assert found.shape == expected.shape == (len(batch.prefix), 2)
    return float((found - expected).abs().max())


def some(candidates: Candidates, chosen: Tensor) -> Candidates:
    """The candidates of ``chosen`` bool [m] only."""
    counts = torch.segment_reduce(
        chosen.double(), "sum", lengths=candidates.offsets.diff(), unsafe=False
    )
    return Candidates(
        Events(*(getattr(candidates.events, f.name)[chosen] for f in fields(Events))),
        torch.cat((torch.zeros(1), counts.cumsum(0))).long(),
        candidates.prefix[chosen],
        candidates.group[chosen],
    )


def history_of(cache: Cache) -> list[Tensor]:
    """Copies of all that is kept of the histories."""
    spans = zip(cache.offsets.tolist(), cache.history.tolist(), strict=False)
    rows = torch.cat([torch.arange(first, first + count) for first, count in spans])
    kept = (*cache.keys, *cache.values, cache.position, cache.time)
    return [x[rows] for x in kept]


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("activation", ["silu", "softmax"])
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_scores_are_those_of_the_full_forward(
    organization: str, bias: str, activation: str, mask: str
) -> None:
    model, batch = make(organization, bias, activation=activation, **MASKS[mask]), whole()
    sizes = [64] if mask.startswith("visible") else [1, 3, 64]
    for size in sizes:
        assert error(model, batch, size) <= TOLERANCE, size


@pytest.mark.parametrize("backend", ["reference", "blockwise", "auto"])
@pytest.mark.parametrize("bias", BIASES)
def test_every_backend(bias: str, backend: str) -> None:
    model = make("interleaved", bias, backend=backend)
    assert error(model, whole(), 4) <= TOLERANCE


@pytest.mark.parametrize("samples", ["packed", "grouped", "pointwise"])
@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_every_kind_of_sample_and_shared_moments(organization: str, samples: str) -> None:
    model = make(organization)
    for log in (LOG, TIED):
        batch = whole(samples, log)
        assert (batch.history_lengths == 0).any()  # users without a history are among them
        assert error(model, batch, 2) <= TOLERANCE


@pytest.mark.parametrize("embeddings", [False, True])
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_any_number_of_blocks_and_embeddings(layers: int, embeddings: bool) -> None:
    on = dict.fromkeys(("position", "request", "gap"), embeddings)
    model = make_model("hstu", LOG, blocks=layers, embeddings=on)
    assert error(model, whole(), 3) <= TOLERANCE


@pytest.mark.parametrize("shown", ["own", "history"])
@pytest.mark.parametrize("mask", ["causal", "window", "visible-window"])
@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_contextual_tokens(organization: str, mask: str, shown: str) -> None:
    model: Any = make_model(
        "hstu", LOG, organization=organization, context_tokens=True, attention=MASKS[mask]
    )
    own = model.config.attention.model_copy(update={"context": shown})
    model.config = model.config.model_copy(update={"attention": own})
    assert model.context_count > 0
    assert error(model, whole(), 64) <= TOLERANCE
    cache = encode(model, whole(), 1)
    tokens = whole().history_lengths * model.organization.tokens_per_event + model.context_count
    assert cache.bytes_per_user().tolist() == (tokens * (2 * 2 * 16 * 4 + 16)).tolist()


@pytest.mark.parametrize("block", BLOCKS)
def test_every_block(block: str) -> None:
    assert error(make_model("hstu", LOG, block=block), whole(), 4) <= TOLERANCE


def test_doubled_candidates_need_no_second_token() -> None:
    assert error(make_model("hstu", LOG, double_candidates=True), whole(), 4) <= TOLERANCE


@pytest.mark.parametrize("moved", ["prefix", "time"])
def test_micro_batches_that_differ_in_one_thing(moved: str) -> None:
    """Only the visible history, or only the time, from one micro-batch to the next."""
    model, batch = make("action", "rab"), longest("grouped")
    steps = torch.arange(len(batch.prefix))
    if moved == "prefix":
        other = replace(batch, prefix=batch.prefix - steps % 3)
    else:
        later = batch.candidates.time + 1000.0 * steps
        other = replace(batch, candidates=replace(batch.candidates, time=later))
    assert error(model, batch, 1) <= TOLERANCE
    assert error(model, other, 1) <= TOLERANCE
    assert (full(model, batch) - full(model, other)).abs().max() > 1e-4


def test_no_history_at_all() -> None:
    batcher = make_batcher(LOG, "grouped")
    cold = np.flatnonzero(batcher.samples.history_stop == batcher.samples.history_start)
    for organization in ORGANIZATIONS:
        assert error(make(organization), batcher.batch(cold), 2) <= TOLERANCE
        assert error(make(organization), batcher.batch(cold[:1]), 2) <= TOLERANCE


@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_one_user_by_micro_batches_of_any_size(organization: str) -> None:
    model, batch = make(organization), longest("packed")
    count = len(batch.prefix)
    assert count >= 10
    assert len(batch.prefix.unique()) > 2  # requests with prefixes of their own
    cache = encode(model, batch, count)
    expected = full(model, batch)
    for size in range(1, count + 1):
        found = score(model, cache, Candidates.of(batch), size)
        torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


def test_each_candidate_alone_scores_as_together() -> None:
    model, batch = make("interleaved"), whole()
    cache, everyone = encode(model, batch, 8), Candidates.of(batch)
    together = score(model, cache, everyone)
    for i in range(0, len(together), 7):
        alone = score(model, cache, some(everyone, torch.arange(len(together)) == i))
        torch.testing.assert_close(alone, together[i : i + 1], atol=TOLERANCE, rtol=0)


def test_no_candidates_no_scores() -> None:
    model, batch = make(), whole()
    cache = encode(model, batch, 8)
    nobody = some(Candidates.of(batch), torch.zeros(len(batch.prefix), dtype=torch.bool))
    assert score(model, cache, nobody).shape == (0, 2)


@pytest.mark.parametrize("organization", ORGANIZATIONS)
def test_scoring_leaves_the_history_as_it_is(organization: str) -> None:
    model, batch = make(organization), whole()
    cache = encode(model, batch, 3)
    before = history_of(cache)
    first = score(model, cache, Candidates.of(batch))
    again = score(model, cache, Candidates.of(batch))
    assert torch.equal(first, again)
    assert all(torch.equal(a, b) for a, b in zip(before, history_of(cache), strict=True))
    assert all(x.any() for x in before)


def test_candidates_of_the_encoded_batch_do_not_enter_the_cache() -> None:
    model, batch = make(), whole()
    other = replace(
        batch, candidates=replace(batch.candidates, item=(batch.candidates.item + 7) % 30)
    )
    one, two = (encode(model, x, 3) for x in (batch, other))
    assert all(torch.equal(a, b) for a, b in zip(one.keys, two.keys, strict=True))
    moved = score(model, one, Candidates.of(other)) - score(model, one, Candidates.of(batch))
    assert moved.abs().max() > 1e-3
