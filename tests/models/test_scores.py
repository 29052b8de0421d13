"""A score depends on the candidate and its history only, not on who shares the batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from genrank_cli.data.batcher import Batcher
from genrank_cli.models.build import build_ranker
from tests.factory import MemoryStore
from tests.models.cases import (
    COMBINATIONS,
    LOG,
    MODELS,
    TASKS,
    TIED,
    by_request,
    furthest,
    make_batcher,
    make_model,
    make_schema,
    model_config,
    scores,
)

TOLERANCE = 1e-5


@pytest.mark.parametrize(("name", "organization"), COMBINATIONS)
def test_order_and_company_change_no_score(name: str, organization: str) -> None:
    model, batcher = make_model(name, LOG), make_batcher(LOG, organization)
    everyone = np.arange(len(batcher.samples))
    together = scores(model, batcher, everyone)
    assert len(together) == LOG.manifest.counts.events
    shuffled = scores(model, batcher, np.random.default_rng(0).permutation(everyone))
    assert furthest(together, shuffled) <= TOLERANCE
    alone: dict[int, torch.Tensor] = {}
    for sample in everyone:
        alone |= scores(model, batcher, np.array([sample]))
    assert furthest(together, alone) <= TOLERANCE


@pytest.mark.parametrize("name", MODELS)
def test_scores_differ_between_candidates(name: str) -> None:
    """Or every other test of this file would pass on a constant."""
    batcher = make_batcher(LOG)
    found = scores(make_model(name, LOG), batcher, np.arange(len(batcher.samples)))
    assert torch.stack(list(found.values())).std(dim=0).min() > 0.01


@pytest.mark.parametrize(
    ("window", "log"),
    [(4, LOG), (12, LOG), (256, LOG), (12, TIED)],
    ids=["4", "12", "256", "tied-12"],
)
@pytest.mark.parametrize("name", MODELS)
def test_packed_and_alone_score_the_same(name: str, window: int, log: MemoryStore) -> None:
    model, packed = make_model(name, log), make_batcher(log, window=window)
    single = Batcher(log, by_request(log, packed.samples), TASKS, 10_000)
    assert len(single.samples) == log.manifest.counts.requests
    assert len(packed.samples) < len(single.samples)
    together = scores(model, packed, np.arange(len(packed.samples)))
    alone: dict[int, torch.Tensor] = {}
    for sample in range(len(single.samples)):
        alone |= scores(model, single, np.array([sample]))
    assert furthest(together, alone) <= TOLERANCE


@pytest.mark.parametrize("name", ["hstu", "genrank"])
def test_the_divisor_is_the_configured_length(name: str) -> None:
    """N is the bound of the configuration in tokens, whatever the batch holds."""
    model: Any = make_model(name, LOG)
    tokens = {"hstu": 2, "genrank": 1}[name]
    assert [block.norm for block in model.blocks] == [40 * tokens + 1] * 2


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_without_any_history_is_scored(name: str) -> None:
    batcher = make_batcher(LOG, "grouped")
    empty = np.flatnonzero(batcher.samples.history_stop == batcher.samples.history_start)
    found = scores(make_model(name, LOG), batcher, empty)
    assert len(found) >= len(empty) == 4
    assert all(torch.isfinite(score).all() for score in found.values())


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_scores_the_same(name: str, tmp_path: Path) -> None:
    model, batcher = make_model(name, LOG), make_batcher(LOG)
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    other = build_ranker(model_config(name), make_schema(LOG)).eval()
    everyone = np.arange(len(batcher.samples))
    assert furthest(scores(model, batcher, everyone), scores(other, batcher, everyone)) > 1e-3
    other.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert furthest(scores(model, batcher, everyone), scores(other, batcher, everyone)) == 0


def test_a_fresh_model_predicts_the_starting_level() -> None:
    batcher = make_batcher(LOG)
    for name in MODELS:
        model: Any = build_ranker(model_config(name), make_schema(LOG)).eval()
        model.output.start_at([-1.5, 3.0])
        found = torch.stack(list(scores(model, batcher, np.arange(4)).values()))
        assert (found == torch.tensor([-1.5, 3.0])).all(), name


@pytest.mark.parametrize("organization", ["packed", "grouped"])
def test_doubled_candidates_score_as_they_do_alone(organization: str) -> None:
    single, double = (make_model("hstu", LOG, double_candidates=on) for on in (False, True))
    double.load_state_dict(single.state_dict())
    batcher = make_batcher(LOG, organization)
    everyone = np.arange(len(batcher.samples))
    assert furthest(scores(single, batcher, everyone), scores(double, batcher, everyone)) <= 1e-6
