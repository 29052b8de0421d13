"""Stochastic length: which events stay, and that the rest looks as if the others had never been."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import SampleConfig, build_samples
from genrank_cli.data.stochastic import kept_events, kept_length, thinned
from tests.factory import make_store

TASKS = ("click", "dwell")


def batch_of(organization: str = "grouped", ties: float = 0.0, history: int = 20) -> Batch:
    store = make_store((40, 7, 1, 23), per_request=4, ties=ties)
    everything = np.ones(71, bool)
    config = SampleConfig(organization=organization, history=history, window=30)
    samples = build_samples(store, everything, config)
    batcher = Batcher(store, samples, TASKS, 10**9, learnt=everything)
    return batcher.batch(np.arange(len(samples)))


@pytest.mark.parametrize(
    ("history", "alpha", "kept"), [(128, 1.6, 48), (16, 1.5, 8), (100, 2.0, 100), (480, 1.7, 190)]
)
def test_what_is_kept_is_n_to_the_half_alpha(history: int, alpha: float, kept: int) -> None:
    assert kept_length(history, alpha) == kept


@pytest.mark.parametrize("newest", [False, True])
@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
def test_short_histories_stay_and_long_ones_become_as_long_as_stated(
    organization: str, newest: bool
) -> None:
    batch = batch_of(organization)
    keep = kept_events(batch, 8, np.random.default_rng(0), newest=newest)
    for sample in range(batch.samples):
        inside = keep[batch.history_offsets[sample] : batch.history_offsets[sample + 1]]
        assert int(inside.sum()) == min(8, len(inside))
        if newest:
            assert inside[-8:].all()
    assert int(batch.history_lengths.max()) > 15


@pytest.mark.parametrize("organization", ["grouped", "pointwise"])
def test_uniform_means_every_event_alike(organization: str) -> None:
    batch = batch_of(organization)
    longest = int(batch.history_lengths.argmax())
    first, last = batch.history_offsets[longest : longest + 2].tolist()
    random = np.random.default_rng(0)
    kept = torch.stack([kept_events(batch, 8, random)[first:last] for _ in range(2000)])
    share = 8 / (last - first)
    assert kept.double().mean(dim=0).numpy() == pytest.approx(share, abs=0.05)


def test_no_candidate_of_a_packed_sample_loses_its_whole_history() -> None:
    """Nor does any lose more than the draw says, and events beyond what all see stay alike."""
    batch = batch_of("packed")
    random = np.random.default_rng(0)
    kept = torch.stack([kept_events(batch, 4, random) for _ in range(1500)])
    assert all(torch.equal(thinned(batch, k).prefix > 0, batch.prefix > 0) for k in kept[:200])
    first, last = batch.history_offsets[:2].tolist()
    own = batch.prefix[: batch.candidate_offsets[1]]
    shared = int(own[own > 0].min())
    assert 0 < shared < (last - first) // 2
    share = kept[:, first:last].double().mean(dim=0).numpy()
    assert share[:shared] == pytest.approx(share[:shared].mean(), abs=0.05)
    assert share[shared:] == pytest.approx(share[shared:].mean(), abs=0.05)
    assert share[:shared].mean() > share[shared:].mean()
    assert share.sum() == pytest.approx(4)


def test_the_draw_follows_the_seed() -> None:
    batch = batch_of()
    one, same, other = (kept_events(batch, 8, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("ties", [0.0, 0.5])
@pytest.mark.parametrize("organization", ["packed", "grouped", "pointwise"])
def test_what_is_left_is_a_log_without_the_others(organization: str, ties: float) -> None:
    """Against a count by hand, sample by sample and candidate by candidate."""
    batch = batch_of(organization, ties)
    keep = kept_events(batch, 6, np.random.default_rng(3))
    thin = thinned(batch, keep)
    assert torch.equal(thin.labels, batch.labels)
    assert torch.equal(thin.rows, batch.rows)
    for name in ("item", "user", "time", "context"):
        kept = getattr(batch.history, name)[keep]
        assert torch.equal(getattr(thin.history, name), kept)
        assert torch.equal(getattr(thin.candidates, name), getattr(batch.candidates, name))
    assert torch.equal(thin.actions, batch.actions[keep])
    assert torch.equal(thin.history_labels, batch.history_labels[keep])  # type: ignore[index,arg-type]
    for sample in range(batch.samples):
        _check_sample(batch, thin, keep, sample)


def _check_sample(batch: Batch, thin: Batch, keep: torch.Tensor, sample: int) -> None:
    begin, end = batch.history_offsets[sample : sample + 2].tolist()
    number, gap = batch.history.request[begin:end].tolist(), batch.history.gap[begin:end].tolist()
    kept = keep[begin:end].nonzero().squeeze(1).tolist()
    opened = _openings(number, gap)
    first = thin.history_offsets[sample]
    seen: list[int] = []  # requests kept so far
    for place, i in enumerate(kept):
        seen += [number[i]] if number[i] not in seen else []
        at = int(first) + place
        assert thin.history.request[at] == len(seen) - 1
        since = _since(gap[0], opened, seen[:-1], opened[number[i]])
        assert float(thin.history.gap[at]) == pytest.approx(since, rel=1e-5, abs=1e-2)
    for c in range(*batch.candidate_offsets[sample : sample + 2].tolist()):
        prefix = int(batch.prefix[c])
        visible = [i for i in kept if i < prefix]
        assert thin.prefix[c] == len(visible)
        if prefix == 0:
            assert thin.candidates.request[c] == batch.candidates.request[c]
            assert thin.candidates.gap[c] == batch.candidates.gap[c]
            continue
        requests = list(dict.fromkeys(number[i] for i in visible))
        assert thin.candidates.request[c] == len(requests)
        now = opened[number[prefix - 1]] + float(batch.candidates.gap[c])
        since = _since(gap[0], opened, requests, now)
        assert float(thin.candidates.gap[c]) == pytest.approx(since, rel=1e-5, abs=1e-2)


def _openings(number: list[int], gap: list[float]) -> dict[int, float]:
    """Request → seconds from the opening of the first request to its own."""
    opened: dict[int, float] = {}
    for i, request in enumerate(number):
        if request not in opened:
            opened[request] = 0.0 if i == 0 else opened[number[i - 1]] + gap[i]
    return opened


def _since(front: float, opened: dict[int, float], earlier: list[int], now: float) -> float:
    if earlier:
        return now - opened[earlier[-1]]
    return -1.0 if front < 0 else front + now


def test_nothing_left_out_changes_nothing() -> None:
    batch = batch_of("packed")
    assert thinned(batch, torch.ones(len(batch.actions), dtype=torch.bool)) is batch
    # One event that nobody sees, behind the last request's prefix: the others keep what they had.
    keep = torch.ones(len(batch.actions), dtype=torch.bool)
    last = int(batch.history_offsets[1]) - 1
    assert int(batch.prefix[: int(batch.candidate_offsets[1])].max()) == last + 1
    keep[last] = False
    thin = thinned(batch, keep)
    early = batch.prefix <= last
    for name in ("request", "gap"):
        one, other = getattr(thin.candidates, name), getattr(batch.candidates, name)
        assert torch.allclose(one[early], other[early], rtol=1e-5)
    assert torch.equal(thin.prefix[early], batch.prefix[early])


def test_a_batch_without_any_history() -> None:
    store = make_store((1, 1))
    samples = build_samples(store, np.ones(2, bool), SampleConfig(organization="grouped"))
    batch = Batcher(store, samples, TASKS, 100).batch(np.arange(2))
    keep = kept_events(batch, 8, np.random.default_rng(0))
    assert thinned(batch, keep) is batch
