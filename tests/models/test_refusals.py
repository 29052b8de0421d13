"""What is refused, and what would happen otherwise: on random labels, the leak is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import ORGANIZATIONS, SampleConfig, build_samples
from genrank_cli.errors import GenrankError
from genrank_cli.metrics.auc import auc
from genrank_cli.models.build import build_ranker
from genrank_cli.models.history_loss import with_history
from genrank_cli.models.schema import Schema
from genrank_cli.training import refusals
from genrank_cli.training.config import ExperimentConfig, layered, nested
from genrank_cli.training.loss import candidate_loss
from tests.factory import MemoryStore, make_store

USERS = 400
FULL = {"model.attention.history": "full"}
ALL_SEEING = {"model.context_tokens": True, "model.attention.context": "history"}
HISTORY = {"model.history_loss": 1.0}
GROUPED = {"data.samples.organization": "grouped"}
SMALL = {
    "model.width": 16,
    "model.heads": 2,
    "model.blocks": 2,
    "model.dropout": 0.0,
    "model.attention.bias": "rab",  # or nothing tells which of two actions is one's own
    "model.features.item_id": True,
    "model.features.context": False,
}

#: name → what leaks, what is refused about it, and where the leak shows
LEAKS: dict[str, tuple[dict[str, Any], str, str]] = {
    "full": (FULL, "leaks labels into earlier candidates", "candidates"),
    "context": (ALL_SEEING, "leaks labels into earlier candidates", "candidates"),
    "full-history-loss": (GROUPED | HISTORY | FULL, "the label is given away", "history"),
    "context-history-loss": (GROUPED | HISTORY | ALL_SEEING, "the label is given away", "history"),
}


def random_log() -> MemoryStore:
    """Of each user three requests of one event, items 0, 1 and 2, with labels by coin."""
    store = make_store((3,) * USERS, per_request=1, items=3, seed=0)
    random = np.random.default_rng(0)
    click = random.integers(0, 2, 3 * USERS).astype(np.float32)
    store._columns |= {
        "item": np.tile(np.arange(3, dtype=np.uint32), USERS),
        "task.click": click,
        "actions": click.astype(np.uint32),
    }
    return store


def experiment(preset: str, settings: dict[str, Any]) -> ExperimentConfig:
    return layered(preset, "tiny", nested(SMALL), nested(settings))


def outputs(model: nn.Module, batch: Batch, config: ExperimentConfig) -> tuple[Tensor, Tensor]:
    if getattr(config.model, "history_loss", 0) == 0:
        return model(batch), batch.labels
    return with_history(model, batch, torch.arange(len(batch.actions)))


def held_out_auc(config: ExperimentConfig, where: str) -> float:
    """Of users that were not trained on: candidates with a history, or supervised history."""
    store = random_log()
    everything = np.ones(3 * USERS, bool)
    samples = build_samples(store, everything, config.data.samples)
    batcher = Batcher(store, samples, ("click",), 10**9, learnt=everything)
    torch.manual_seed(0)
    model = build_ranker(config.model, Schema.of(store, ("click",), 8))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = np.arange(len(samples))
    known = store.column("user")[samples.start] < USERS * 4 // 5
    train, test = batcher.batch(order[known]), batcher.batch(order[~known])
    for _ in range(150):
        optimizer.zero_grad()
        output, labels = outputs(model, train, config)
        candidate_loss(output, labels, ("binary",)).backward()
        optimizer.step()
    with torch.no_grad():
        output, labels = outputs(model.eval(), test, config)
    shown = torch.zeros(len(labels), dtype=torch.bool)
    if where == "candidates":  # the first of a user sees nothing; the last has nothing after it
        shown[: len(test.rows)] = torch.from_numpy(test.rows.numpy() % 3 == 1)
    else:
        shown[len(test.rows) :] = True
    return auc(labels[shown, 0].numpy(), output[shown, 0].numpy())


@pytest.mark.parametrize("name", LEAKS)
def test_a_leak_is_refused(name: str) -> None:
    settings, reason, _ = LEAKS[name]
    for preset in ("hstu", "genrank", "softmax"):
        with pytest.raises(GenrankError, match=reason):
            experiment(preset, settings)


@pytest.mark.parametrize("name", LEAKS)
def test_bypassed_it_ranks_coins(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUC 0.98 on labels that nothing explains; without the leaking option it is chance."""
    settings, _, where = LEAKS[name]
    with monkeypatch.context() as patch:
        patch.setattr(refusals, "REFUSALS", ())
        leaking = experiment("hstu", settings)
    harmless = {k: v for k, v in settings.items() if "attention" not in k}
    assert held_out_auc(leaking, where) > 0.98
    assert abs(held_out_auc(experiment("hstu", harmless), where) - 0.5) < 0.15


@pytest.mark.parametrize("leak", [FULL, ALL_SEEING], ids=["full", "context"])
@pytest.mark.parametrize("organization", sorted(set(ORGANIZATIONS) - {"packed"}))
def test_one_request_in_a_sample_is_allowed(organization: str, leak: dict[str, Any]) -> None:
    settings = {"data.samples.organization": organization} | leak
    assert experiment("genrank", settings).data.samples == SampleConfig(organization=organization)


def test_one_request_in_a_sample_does_not_leak() -> None:
    config = experiment("hstu", GROUPED | FULL)
    assert abs(held_out_auc(config, "candidates") - 0.5) < 0.15


@pytest.mark.parametrize(
    ("preset", "settings", "reason"),
    [
        (
            "genrank",
            HISTORY,
            "already train on each event .* use data.samples.organization=grouped",
        ),
        (
            "hstu",
            {"model.stochastic_length": 1.5, "model.stochastic_choice": "newest"},
            "without any history; use model.stochastic_choice=uniform",
        ),
        (
            "hstu",
            {"model.attention.context": "history"},
            "there are none; use model.context_tokens",
        ),
        ("genrank", {"model.double_candidates": True}, "use model.organization=interleaved"),
        (
            "hstu",
            {"model.double_candidates": True, "model.attention.candidates": "visible"},
            "use model.attention.candidates=isolated",
        ),
    ],
    ids=["packed-history-loss", "packed-newest", "no-context", "double-action", "double-visible"],
)
def test_what_makes_no_sense_is_refused(preset: str, settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(GenrankError, match=reason) as caught:
        experiment(preset, settings)
    assert caught.value.exit_code == 2


def test_newest_drops_the_histories_of_the_first_requests_of_a_packed_sample() -> None:
    """Why it is refused."""
    from genrank_cli.data.stochastic import kept_events, thinned

    store = make_store((40,), per_request=1)
    samples = build_samples(store, np.ones(40, bool), SampleConfig(organization="packed"))
    batch = Batcher(store, samples, ("click",), 100).batch(np.array([0]))
    keep = kept_events(batch, 8, np.random.default_rng(0), newest=True)
    assert (thinned(batch, keep).prefix == 0).sum() > 30 > (batch.prefix == 0).sum()


@pytest.mark.parametrize("name", ["dlrm", "rates"])
def test_other_rankers_take_any_samples(name: str) -> None:
    assert layered(name, "tiny").data.samples.organization == "packed"


@pytest.mark.parametrize("model", ["genrank", "dlrm"])
def test_hard_search_compares_only_what_the_model_may_know(model: str) -> None:
    search = {"model.modules.sim.kind": "hard", "data.samples.long_history": 9}
    no_fields = search | {"model.features.item_fields": False}
    with pytest.raises(GenrankError, match=r"compares a field.*use model.modules.sim.kind=soft"):
        layered(model, "tiny", nested(no_fields))
    layered(model, "tiny", nested(no_fields | {"model.modules.sim.kind": "soft"}))
    of_all = search | {"model.modules.sim.field": "statistic:plays"}
    with pytest.raises(GenrankError, match="a statistic over the whole log"):
        layered(model, "tiny", nested(of_all))
    layered(model, "tiny", nested(of_all | {"model.features.statistics": True}))


@pytest.mark.parametrize("model", ["genrank", "dlrm"])
def test_a_search_without_a_long_history_is_refused(model: str) -> None:
    search = {"model.modules.sim.kind": "soft"}
    with pytest.raises(GenrankError, match="no long history to search") as caught:
        layered(model, "tiny", nested(search))
    assert "data.samples.long_history=1000" in caught.value.message
    layered(model, "tiny", nested(search | {"data.samples.long_history": 1}))
