"""Checkpoints: nothing is kept twice, and writing large ones does not hold training up."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from genrank_cli.training import loop
from tests.training.small import small_trainer


def states(monkeypatch: pytest.MonkeyPatch, aucs: list[float], **training: Any) -> list[Any]:
    """What was saved in three epochs whose validation AUC is given."""
    found: list[Any] = []
    given = iter(aucs)
    monkeypatch.setattr(loop, "main_auc", lambda *_: next(given))
    trainer = small_trainer(epochs=3, **training)
    trainer.fit(save=lambda state: found.append(copy.deepcopy(state)))
    return found


def test_weights_that_are_the_best_are_kept_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = states(monkeypatch, [0.6, 0.5, 0.7])
    assert first["best"] is None
    assert third["best"] is None
    assert all(torch.equal(second["best"][name], x) for name, x in first["model"].items())
    resumed = small_trainer()
    resumed.load_state(first)
    assert all(torch.equal(resumed.weights[name], x) for name, x in first["model"].items())
    for parameter in resumed.model.parameters():  # the best is a copy: training goes on elsewhere
        parameter.data.zero_()
    assert any(x.any() for x in resumed.weights.values())


def test_inside_an_epoch_both_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    found = states(monkeypatch, [0.6, 0.5, 0.7])
    inside = [state for state in found if state["progress"]["epoch"] and state["progress"]["step"]]
    assert len(inside) > 2
    assert all(state["best"] for state in inside)
    early = [state for state in found if not state["progress"]["epoch"]]
    assert all(state["best"] == {} for state in early)  # nothing was finished yet


@pytest.mark.parametrize(
    ("took_s", "due"), [(0.1, True), (1.4, True), (3.0, False), (600.0, False)]
)
def test_checkpoints_that_take_long_are_seldom(
    took_s: float, due: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty seconds after the last one: every 30, but twenty times as long as it took."""
    trainer = small_trainer()
    now = [0.0]
    monkeypatch.setattr("genrank_cli.training.loop.time.monotonic", lambda: now[0])

    def save(state: Any) -> None:
        now[0] += took_s

    trainer._save(save)
    now[0] += 40.0
    assert trainer._is_due() is due
