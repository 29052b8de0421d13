"""PPNet and PLE are their formulas, and gradients go where they are said to go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from genrank_cli.models.build import build_ranker
from genrank_cli.training.loss import candidate_loss
from tests.models.cases import LOG, make_schema, model_config
from tests.models.module_cases import RANKERS, long_batcher, seen_by, whole
from tests.models.module_formulas import (
    Array,
    Weights,
    exactly,
    gate_values,
    layer_norm,
    linear,
    silu,
    softmax,
    states_and_gates,
    weights_of,
)


@pytest.mark.parametrize("ranker", RANKERS)
def test_ppnet_scales_each_hidden_layer(ranker: str) -> None:
    model, batch = exactly(ranker, "ppnet"), whole(long_batcher(LOG))
    weights = weights_of(model)
    states, gates, output = states_and_gates(model, batch)
    bottom, layers = ("mlp", (1, 4)) if ranker == "dlrm" else ("head", (1,))
    assert [gate.shape[1] for gate in gates] == ([16, 8] if ranker == "dlrm" else [16])
    for t in range(0, len(batch.rows), 5):
        x = layer_norm(states[t], weights, f"{bottom}.0")
        for number, layer in enumerate(layers):
            delta = gate_values(batch, t, number, weights)
            assert gates[number][t] == pytest.approx(delta, rel=1e-9)
            x = silu(linear(x, weights, f"{bottom}.{layer}")) * delta
        assert output[t] == pytest.approx(linear(x, weights, "output"), rel=1e-9, abs=1e-12)
    assert np.ptp(gates[0]) > 0.1


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_fresh_gate_is_one(ranker: str) -> None:
    torch.manual_seed(0)
    model: Any = build_ranker(model_config(ranker, modules={"ppnet": True}), make_schema(LOG))
    gates = model.extra.gates(seen_by(model, whole(long_batcher(LOG))))
    assert all(torch.equal(gate, torch.ones_like(gate)) for gate in gates)


@pytest.mark.parametrize("name", ["ppnet", "ple-ppnet"])
@pytest.mark.parametrize("ranker", RANKERS)
def test_no_gradient_reaches_the_shared_embedding_through_a_gate(ranker: str, name: str) -> None:
    model, batch = exactly(ranker, name), whole(long_batcher(LOG))
    gates = model.extra.gates(seen_by(model, batch))
    torch.stack([gate.square().sum() for gate in gates]).sum().backward()
    touched = {path for path, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert touched == {path for path, _ in model.named_parameters() if "ppnet" in path}


@pytest.mark.parametrize("ranker", RANKERS)
def test_the_shared_embedding_learns_as_if_the_gates_were_constants(
    ranker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = exactly(ranker, "ppnet"), whole(long_batcher(LOG))
    labels = batch.labels.double()

    def shared() -> dict[str, Tensor]:
        model.zero_grad()
        candidate_loss(model(batch), labels, ("binary", "regression")).backward()
        grads = {path: p.grad for path, p in model.named_parameters() if path.startswith("event.")}
        return {path: grad.clone() for path, grad in grads.items() if grad is not None}

    found = shared()
    gates = model.extra.gates
    monkeypatch.setattr(model.extra, "gates", lambda seen: [gate.detach() for gate in gates(seen)])
    constant = shared()
    assert found.keys() == constant.keys()
    assert all(torch.equal(found[path], constant[path]) for path in found)


def experts_of(x: Array, weights: Weights, name: str, count: int, width: int) -> list[Array]:
    return [silu(part) for part in linear(x, weights, name).reshape(count, width)]


def ple_states(x: Array, weights: Weights, name: str, layers: int, sizes: dict[str, int]) -> Any:
    """g_k of every task after the last layer."""
    own, common, width, tasks = sizes["own"], sizes["common"], sizes["width"], 2
    states, shared = [x] * tasks, x
    for layer in range(layers):
        at = f"{name}.layers.{layer}"
        each = [
            experts_of(states[k], weights, f"{at}.of_task.{k}", own, width) for k in range(tasks)
        ]
        everyone = experts_of(shared, weights, f"{at}.of_all", common, width)
        new = []
        for k in range(tasks):
            gate = softmax(linear(states[k], weights, f"{at}.gate.{k}"))
            new.append(sum(w * e for w, e in zip(gate, each[k] + everyone, strict=True)))
        if layer < layers - 1:
            gate = softmax(linear(shared, weights, f"{at}.gate_of_all"))
            every = [e for experts in each for e in experts] + everyone
            shared = sum(w * e for w, e in zip(gate, every, strict=True))
        states = new
    return states


@pytest.mark.parametrize("width", [None, 12])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("ranker", RANKERS)
def test_ple_is_the_formula(ranker: str, layers: int, width: int | None) -> None:
    ple = {"experts": 3, "shared": 2, "layers": layers, "width": width}
    modules = {"ple": ple, "ppnet": {"ids": 4, "hidden": 8}}
    # With a width of its own, PLE asks for no layers of the DLRM.
    own: Any = {"hidden": [128, 64]} if ranker == "dlrm" and width else {}
    model = exactly(ranker, "ple-ppnet", modules=modules, **own)
    batch, weights = whole(long_batcher(LOG)), weights_of(model)
    states, gates, output = states_and_gates(model, batch)
    name = "mlp" if ranker == "dlrm" else "head"
    units = width or (8 if ranker == "dlrm" else 16)
    assert [gate.shape[1] for gate in gates] == [2 * units]
    sizes = {"own": 3, "common": 2, "width": units}
    for t in range(0, len(batch.rows), 9):
        x = layer_norm(states[t], weights, f"{name}.norm")
        delta = gate_values(batch, t, 0, weights).reshape(2, units)
        for k, state in enumerate(ple_states(x, weights, name, layers, sizes)):
            tower = silu(linear(state, weights, f"{name}.towers.{k}")) * delta[k]
            expected = weights["output.weight"][k] @ tower + weights["output.bias"][k]
            assert output[t, k] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("ranker", RANKERS)
def test_an_experts_task_alone_learns_from_it(ranker: str) -> None:
    model, batch = exactly(ranker, "ple"), whole(long_batcher(LOG))
    model(batch)[:, 0].square().sum().backward()
    bottom = model.mlp if ranker == "dlrm" else model.head
    last = bottom.layers[-1]
    assert last.of_task[0].weight.grad.any()
    assert last.of_all.weight.grad.any()
    for module in (last.of_task[1], last.gate[1], bottom.towers[1]):
        assert module.weight.grad is None or not module.weight.grad.any()
