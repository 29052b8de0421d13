"""Training: it learns, it stops, it keeps the best, and it resumes to the same bits."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.errors import GenrankError
from genrank_cli.training import loop, objective
from genrank_cli.training.loop import Trainer
from genrank_cli.training.loss import candidate_loss, predictions, start_levels
from genrank_cli.training.optimizer import make_optimizers, make_schedules
from genrank_cli.training.rowwise import RowwiseAdagrad
from tests.training.small import small_trainer

MODELS = ("hstu", "genrank", "dlrm")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", MODELS)
def test_steps_lower_the_loss(model: str) -> None:
    trainer = small_trainer(model, epochs=20)
    batch = next(trainer.prepared.train.epoch(0, 0))
    first = trainer.train_step(batch)
    for _ in range(25):
        last = trainer.train_step(batch)
    assert last < first - 0.02


def assert_equal_weights(one: Trainer, other: Trainer) -> None:
    for a, b in ((one.model.state_dict(), other.model.state_dict()), (one.weights, other.weights)):
        assert a.keys() == b.keys()
        assert a
        for name in a:
            assert torch.equal(a[name], b[name]), name


class InterruptedRunError(Exception):
    """Raised by an observer: the process would be gone."""


def interrupted_state(model: str, after: int) -> dict[str, Any]:
    """The state after ``after`` steps, as a checkpoint would hold it."""
    trainer = small_trainer(model)
    steps = 0

    def observe(trainer: Trainer) -> None:
        nonlocal steps
        steps += 1
        if steps == after:
            raise InterruptedRunError

    with pytest.raises(InterruptedRunError):
        trainer.fit(observe)
    return copy.deepcopy(trainer.state())


@pytest.mark.parametrize("model", MODELS)
def test_a_run_resumed_after_any_step_ends_with_the_same_bits(model: str) -> None:
    whole = small_trainer(model)
    whole.fit()
    per_epoch = whole.steps + 1  # an epoch's end is observed, too
    assert whole.steps >= 4
    for after in (1, whole.steps - 1, whole.steps, per_epoch, per_epoch + 2, 3 * per_epoch - 1):
        state = interrupted_state(model, after)
        resumed = small_trainer(model)  # a new process: it draws its own first weights
        resumed.load_state(state)
        resumed.fit()
        assert_equal_weights(whole, resumed)
        assert resumed.progress.best_auc == whole.progress.best_auc
        assert [e["train_loss"] for e in resumed.progress.epochs] == [
            e["train_loss"] for e in whole.progress.epochs
        ]


def test_sparse_tables_resume_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", 10)
    whole = small_trainer()
    whole.fit()
    state = interrupted_state("genrank", 3)
    resumed = small_trainer()
    resumed.load_state(state)
    resumed.fit()
    assert_equal_weights(whole, resumed)


def test_the_same_seed_gives_the_same_run_and_another_another() -> None:
    one, same, other = small_trainer(seed=1), small_trainer(seed=1), small_trainer(seed=2)
    for trainer in (one, same, other):
        torch.manual_seed(trainer.seed)
        trainer.fit()
    assert_equal_weights(one, same)
    assert one.progress.epochs[-1]["train_loss"] != other.progress.epochs[-1]["train_loss"]


def validated_as(monkeypatch: pytest.MonkeyPatch, aucs: list[float]) -> None:
    found = iter(aucs)
    monkeypatch.setattr(loop, "main_auc", lambda prepared, rows, scores: next(found))


def test_early_stopping_keeps_the_best_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    validated_as(monkeypatch, [0.6, 0.7, 0.65, 0.69, 0.9])
    trainer = small_trainer(epochs=9, patience=2)
    after_epoch: list[dict[str, torch.Tensor]] = []
    trainer.fit(save=lambda state: after_epoch.append(copy.deepcopy(state["model"])))
    assert trainer.progress.best_epoch == 1
    assert trainer.progress.best_auc == 0.7
    assert [epoch["valid_auc"] for epoch in trainer.progress.epochs] == [0.6, 0.7, 0.65, 0.69]
    for name, value in trainer.model.state_dict().items():
        assert torch.equal(value, after_epoch[1][name])
        assert torch.equal(trainer.weights[name], after_epoch[1][name])
    assert any(not torch.equal(after_epoch[1][n], after_epoch[3][n]) for n in after_epoch[1])


def test_training_goes_on_while_it_gets_better(monkeypatch: pytest.MonkeyPatch) -> None:
    validated_as(monkeypatch, [0.6, 0.5, 0.61, 0.6, 0.62])
    trainer = small_trainer(epochs=5, patience=2)
    trainer.fit()
    assert (len(trainer.progress.epochs), trainer.progress.best_epoch) == (5, 4)
    assert not trainer.progress.stopped


def test_even_the_worst_auc_leaves_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    validated_as(monkeypatch, [0.0, 0.0])
    trainer = small_trainer(epochs=2)
    trainer.fit()
    assert trainer.weights.keys() == trainer.model.state_dict().keys()
    assert trainer.progress.best_epoch == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_without_a_value_ends_the_run(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(output: torch.Tensor, *_: Any) -> torch.Tensor:
        return output.sum() * value

    monkeypatch.setattr(objective, "candidate_loss", broken)
    trainer = small_trainer()
    output: Any = trainer.model.output
    output.bias.data.fill_(1.0)
    with pytest.raises(GenrankError, match=r"loss is (nan|inf) in epoch 0, step 0") as caught:
        trainer.fit()
    assert "training.learning_rate" in caught.value.hint


def test_every_weight_has_one_optimizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", 10)
    trainer = small_trainer("hstu", sparse_decay=0.25, sparse_learning_rate=0.7)
    dense, sparse = make_optimizers(trainer.model, trainer.config)
    assert isinstance(dense, torch.optim.AdamW)
    assert isinstance(sparse, RowwiseAdagrad)
    assert sparse.defaults["weight_decay"] == trainer.config.sparse_decay == 0.25
    assert sparse.defaults["lr"] == trainer.config.sparse_learning_rate == 0.7
    groups = [*dense.param_groups, *sparse.param_groups]
    ids = [id(p) for group in groups for p in group["params"]]
    assert sorted(ids) == sorted(id(p) for p in trainer.model.parameters())
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    assert {names[id(p)] for p in sparse.param_groups[0]["params"]} == {"event.item.id.weight"}
    decayed = {names[id(p)] for g in groups if g.get("weight_decay") for p in g["params"]}
    assert "blocks.0.uvqk.weight" in decayed
    assert not any("bias" in name or "table" in name or "norm" in name for name in decayed)


def test_small_tables_need_no_sparse_optimizer() -> None:
    trainer = small_trainer()
    assert len(make_optimizers(trainer.model, trainer.config)) == 1


def test_rate_warms_up_and_decays() -> None:
    trainer = small_trainer("hstu", warmup=0.1, learning_rate=1.0, embedding_learning_rate=3.0)
    optimizers = make_optimizers(trainer.model, trainer.config)
    (schedule,) = make_schedules(optimizers, trainer.config, 100)
    rates = []
    for _ in range(100):
        rates.append([group["lr"] for group in optimizers[0].param_groups])
        optimizers[0].step()
        schedule.step()
    main = np.array(rates)[:, 0]
    assert main[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert all(later < earlier for earlier, later in pairwise(main[10:]))
    assert main[55] == pytest.approx(0.01 + 0.99 / 2)
    assert 0.01 < main[99] < 0.012
    assert np.array(rates)[:, -1] == pytest.approx(3 * main)


def test_gradients_are_clipped() -> None:
    trainer = small_trainer("dlrm", clip=1e-3)
    trainer.train_step(next(trainer.prepared.train.epoch(0, 0)))
    norms = [p.grad.norm() for p in trainer.model.parameters() if p.grad is not None]
    assert float(torch.stack(norms).norm()) <= 1e-3 * 1.001


def test_loss_is_the_sum_over_tasks_of_the_mean_over_candidates() -> None:
    output = torch.tensor([[0.5, 1.0], [-2.0, 3.0]])
    labels = torch.tensor([[1.0, 9.0], [0.0, 0.0]])
    p = 1 / (1 + np.exp([-0.5, 2.0]))
    entropy = -(np.log(p[0]) + np.log(1 - p[1])) / 2
    first, second = np.log(10) - 1.0, 3.0
    smooth = ((first - 0.5 if first > 1 else first**2 / 2) + second - 0.5) / 2
    found = candidate_loss(output, labels, ("binary", "regression"))
    assert float(found) == pytest.approx(entropy + smooth, rel=1e-6)


def test_outputs_start_at_the_training_means() -> None:
    levels = start_levels([0.2, 1.5], ("binary", "regression"))
    found = predictions(torch.tensor([levels]), ("binary", "regression"))
    assert found[0].tolist() == pytest.approx([0.2, np.expm1(1.5)], rel=1e-6)
    assert np.isfinite(start_levels([0.0, 1.0], ("binary", "binary"))).all()
