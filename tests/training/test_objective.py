"""What a step minimises: weights of tasks, history, sampled histories; off means as before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.errors import GenrankError
from genrank_cli.training.config import layered, nested, overlaid
from genrank_cli.training.loop import Trainer
from genrank_cli.training.loss import candidate_loss
from genrank_cli.training.objective import Objective, task_weights
from genrank_cli.training.predict import score
from tests.training.small import CPU, prepared, small_config

GROUPED = {"data.samples.organization": "grouped"}
TASKS = {"data.tasks": ["click", "dwell"]}


def trainer(model: str, settings: dict[str, Any], seed: int = 0) -> Trainer:
    config = overlaid(small_config(model), nested(settings))
    return Trainer(prepared(config), config, seed, CPU)


def test_off_the_loss_is_the_candidates() -> None:
    for name in ("hstu", "genrank", "dlrm"):
        one = trainer(name, {})
        batch = next(one.prepared.train.epoch(0, 0))
        assert batch.history_labels is None
        assert one.objective == Objective(("binary",), 0)
        one.model.eval()
        expected = candidate_loss(one.model(batch), batch.labels, ("binary",))
        assert torch.equal(one.objective.loss(one.model, batch, 0, 0), expected)


def test_weights_of_tasks_weigh_their_losses() -> None:
    output, labels = torch.randn(6, 2), torch.rand(6, 2).round()
    kinds = ("binary", "regression")
    click = candidate_loss(output[:, :1], labels[:, :1], kinds[:1])
    dwell = candidate_loss(output[:, 1:], labels[:, 1:], kinds[1:])
    weighted = candidate_loss(output, labels, kinds, (2.0, 0.5))
    assert float(weighted) == pytest.approx(float(2 * click + 0.5 * dwell))
    assert torch.equal(
        candidate_loss(output, labels, kinds), candidate_loss(output, labels, kinds, (1.0, 1.0))
    )


def test_weights_are_named_by_task() -> None:
    tasks = ("click", "dwell")
    assert task_weights({}, tasks) is None
    assert task_weights({"dwell": 0.25}, tasks) == (1.0, 0.25)
    assert task_weights({"click": 0.0}, tasks) == (0.0, 1.0)
    with pytest.raises(GenrankError, match=r"unknown task in training.task_weights 'clik'.*click"):
        task_weights({"clik": 1.0}, tasks)
    with pytest.raises(GenrankError, match="0 for every task"):
        task_weights({"click": 0.0, "dwell": 0.0}, tasks)
    with pytest.raises(GenrankError, match=r"task_weights.click = -1"):
        layered("hstu", "tiny", nested({"training.task_weights.click": -1}))


def test_a_trainer_uses_the_weights() -> None:
    plain, heavy = (
        trainer("genrank", TASKS | {"training.task_weights": weights})
        for weights in ({}, {"dwell": 3.0})
    )
    batch = next(plain.prepared.train.epoch(0, 0))
    plain.model.eval(), heavy.model.eval()
    output = plain.model(batch)
    kinds = plain.prepared.schema.kinds
    assert float(heavy.objective.loss(heavy.model, batch, 0, 0)) == pytest.approx(
        float(candidate_loss(output, batch.labels, kinds, (1.0, 3.0)))
    )


@pytest.mark.parametrize("model", ["hstu", "genrank"])
def test_loss_on_history_is_the_mean_over_all_that_is_supervised(model: str) -> None:
    one = trainer(model, GROUPED | {"model.history_loss": 1.0})
    batch = next(one.prepared.train.epoch(0, 0))
    assert batch.history_labels is not None
    assert not batch.history_labels.isnan().any()  # before the test part, all are training events
    one.model.eval()
    torch.nn.init.normal_(one.model.output.weight)  # type: ignore[arg-type,union-attr]
    found = one.objective.loss(one.model, batch, 0, 0)
    total = len(batch.rows) + len(batch.actions)
    candidates = candidate_loss(one.model(batch), batch.labels, ("binary",))
    rest = (float(found) * total - float(candidates) * len(batch.rows)) / len(batch.actions)
    assert 0.1 < rest < 5
    assert float(found) != pytest.approx(float(candidates), abs=1e-4)


@pytest.mark.parametrize("model", ["hstu", "genrank"])
@pytest.mark.parametrize(
    "settings",
    [
        GROUPED | {"model.history_loss": 0.3},
        {"model.stochastic_length": 1.4},
        GROUPED | {"model.stochastic_length": 1.4, "model.stochastic_choice": "newest"},
        GROUPED | {"model.stochastic_length": 1.4, "model.history_loss": 0.3},
        {"model.context_tokens": True, "model.features.user_id": True},
    ],
    ids=["history", "uniform", "newest", "both", "context"],
)
def test_it_trains_and_draws_by_seed_epoch_and_step(model: str, settings: dict[str, Any]) -> None:
    one, same = trainer(model, settings), trainer(model, settings)
    batches = list(one.prepared.train.epoch(0, 0))
    first = [one.train_step(batch) for batch in batches[:3]]
    torch.manual_seed(0)
    again = trainer(model, settings)
    assert first == [again.train_step(batch) for batch in batches[:3]]
    if one.objective.share or one.objective.longest:
        same.model.eval()
        torch.nn.init.normal_(same.model.output.weight)  # type: ignore[arg-type,union-attr]
        batch = max(batches, key=lambda batch: len(batch.actions))
        losses = {float(same.objective.loss(same.model, batch, *at)) for at in ((0, 0), (0, 0))}
        assert len(losses) == 1
        if one.objective.newest and not one.objective.share:
            return  # nothing is drawn
        losses |= {float(same.objective.loss(same.model, batch, *at)) for at in ((0, 1), (1, 0))}
        assert len(losses) == 3


def test_evaluation_sees_the_whole_history() -> None:
    """Nothing of what changes training moves a score."""
    plain = trainer("genrank", GROUPED)
    changed = {"model.stochastic_length": 1.2, "model.history_loss": 0.5}
    other = trainer("genrank", GROUPED | changed)
    for one in (plain, other):
        torch.manual_seed(5)
        torch.nn.init.normal_(one.model.output.weight)  # type: ignore[arg-type,union-attr]
    kinds = plain.prepared.schema.kinds
    rows, expected = score(plain.model, plain.prepared.test, kinds, CPU)
    again, found = score(other.model, other.prepared.test, kinds, CPU)
    assert np.array_equal(rows, again)
    assert np.array_equal(expected, found)
    assert np.ptp(found) > 0.01
