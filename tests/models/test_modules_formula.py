"""SIM, DIN, PPNet and PLE against their formulas, written out target by target in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.models.embeddings import gap_bucket
from genrank_cli.models.modules.slots import Seen
from genrank_cli.training.loss import candidate_loss
from tests.models.cases import LOG
from tests.models.module_cases import RANKERS, long_batcher, seen_by, whole, with_modules

Array = NDArray[np.float64]
Weights = dict[str, Array]

LOGS = pytest.mark.parametrize("organization", ["packed", "grouped"])


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def sigmoid(x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def softmax(x: Array) -> Array:
    return np.asarray(np.exp(x - x.max()) / np.exp(x - x.max()).sum())


def linear(x: Array, weights: Weights, name: str) -> Array:
    return np.asarray(weights[f"{name}.weight"] @ x + weights.get(f"{name}.bias", 0.0))


def layer_norm(x: Array, weights: Weights, name: str) -> Array:
    centred = x - x.mean()
    normal = centred / math.sqrt((centred**2).mean() + 1e-5)
    return np.asarray(normal * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def exactly(ranker: str, name: str, **model: Any) -> Any:
    """A model in float64, its frozen content too."""
    made = with_modules(ranker, name, LOG, **model).double()
    for table in made.modules():
        if hasattr(table, "content"):
            table.content = table.content.double()
    return made


def weights_of(module: nn.Module) -> Weights:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def item_vector(item: int, weights: Weights) -> Array:
    """φ of an item alone: id, topic, tags and content."""
    content, fields = LOG.items.content, LOG.items.fields
    assert content is not None
    tags = [tag for tag in fields["tags"][item] if tag]
    total = weights["event.item.id.weight"][item].copy()
    total += weights["event.item.fields.topic.table.weight"][fields["topic"][item]]
    if tags:
        table = weights["event.item.fields.tags.table.weight"]
        total += np.mean([table[tag] for tag in tags], axis=0)
    return np.asarray(total + linear(content[item].astype(float), weights, "event.item.project"))


def action_vector(actions: int, weights: Weights) -> Array:
    taken = [weights["action.weight"][k] for k in range(2) if actions >> k & 1]
    return np.asarray(weights["action.seen"] + np.sum([np.zeros(16), *taken], axis=0))


def found_by(model: Any, batch: Batch, t: int, weights: Weights) -> list[int]:
    """Rows of the long history, literally."""
    settings, long = model.extra.interest["sim"].settings, batch.long_history
    assert long is not None
    sample = int(torch.searchsorted(batch.candidate_offsets, t, right=True)) - 1
    rows = range(*long.offsets[sample : sample + 2].tolist())
    target = int(batch.candidates.item[t])
    if settings.kind == "hard":
        table = LOG.items.fields[settings.field]
        wanted = {*np.atleast_1d(table[target]).tolist()} - {0}
        kept = [r for r in rows if wanted & {*np.atleast_1d(table[int(long.item[r])]).tolist()}]
        return kept[::-1][: settings.top]
    own = item_vector(target, weights)
    product = {r: np.float32(own @ item_vector(int(long.item[r]), weights)) for r in rows}
    return sorted(rows, key=lambda r: (-product[r], -r))[: settings.top]


def sim_interest(model: Any, batch: Batch, t: int) -> Array:
    weights, long = weights_of(model), batch.long_history
    assert long is not None
    rows, name, heads = found_by(model, batch, t, weights), "extra.interest.sim.exact", 2
    if not rows:
        return np.zeros(16)
    own = item_vector(int(batch.candidates.item[t]), weights)
    gaps = weights[f"{name}.gap.weight"]
    events, times, z = [], [], []
    for r in rows:
        event = item_vector(int(long.item[r]), weights)
        events.append(event + action_vector(int(long.actions[r]), weights))
        gap = float(batch.candidates.time[t] - long.time[r])
        assert gap > 0
        times.append(gaps[int(gap_bucket(torch.tensor([gap], dtype=torch.float32)))])
        z.append(np.concatenate((events[-1], times[-1])))
    key = np.concatenate((weights[f"{name}.of_event.weight"], weights[f"{name}.of_gap.weight"]), 1)
    found = []
    for h in range(heads):
        cut = slice(8 * h, 8 * h + 8)
        query = weights[f"{name}.of_target.weight"][cut] @ own
        score = np.array([query @ (key[cut] @ one) / math.sqrt(8) for one in z])
        found.append(softmax(score) @ np.stack(z))
    return linear(np.concatenate(found), weights, f"{name}.project")


@LOGS
@pytest.mark.parametrize("name", ["sim-hard", "sim-tags", "sim-soft"])
@pytest.mark.parametrize("ranker", RANKERS)
def test_sim_is_the_formula(ranker: str, name: str, organization: str) -> None:
    model = exactly(ranker, name)
    batch = whole(long_batcher(LOG, organization))
    with torch.no_grad():
        found = model.extra.interest["sim"](seen_by(model, batch)).numpy()
    expected = [sim_interest(model, batch, t) for t in range(len(batch.rows))]
    assert found == pytest.approx(np.stack(expected), rel=1e-9, abs=1e-12)
    nothing = np.flatnonzero(~np.stack(expected).any(axis=1))
    assert 0 < len(nothing) < len(found)
    assert not found[nothing].any()  # exactly: without finds, SIM says nothing


def full_vector(batch: Batch, part: str, i: int, weights: Weights) -> Array:
    """φ of an event: item, user and context."""
    events = getattr(batch, part)
    user = int(events.user[i])
    total = item_vector(int(events.item[i]), weights) + weights["event.user.id.weight"][user]
    age = LOG.users.fields["age"][user]
    total += weights["event.user.fields.age.table.weight"][age]
    return np.asarray(total + weights["event.context.0.weight"][int(events.context[i, 0])])


def din_interest(batch: Batch, t: int, weights: Weights, name: str, recent: int) -> Array:
    sample = int(torch.searchsorted(batch.candidate_offsets, t, right=True)) - 1
    stop = int(batch.history_offsets[sample] + batch.prefix[t])
    own = full_vector(batch, "candidates", t, weights)
    total = np.zeros(16)
    for i in range(max(int(batch.history_offsets[sample]), stop - recent), stop):
        event = full_vector(batch, "history", i, weights)
        event = event + action_vector(int(batch.actions[i]), weights)
        hidden = linear(event, weights, f"{name}.of_event")
        hidden = hidden + linear(own, weights, f"{name}.of_candidate")
        hidden = hidden + linear(event * own, weights, f"{name}.of_product")
        total += linear(silu(hidden), weights, f"{name}.weight") * event
    return total


@LOGS
@pytest.mark.parametrize("ranker", ["hstu", "genrank"])
def test_din_is_the_formula(ranker: str, organization: str) -> None:
    model = exactly(ranker, "din")
    weights = weights_of(model)
    batch = whole(long_batcher(LOG, organization, history=9))
    with torch.no_grad():
        found = model.extra.interest["din"](seen_by(model, batch)).numpy()
    name = "extra.interest.din"
    expected = [
        linear(din_interest(batch, t, weights, f"{name}.attention", 6), weights, f"{name}.project")
        for t in range(len(batch.rows))
    ]
    assert found == pytest.approx(np.stack(expected), rel=1e-9, abs=1e-12)


def states_and_gates(model: Any, batch: Batch) -> tuple[Array, list[Array], Array]:
    """What goes into the bottom, and what comes out of the model."""
    bottom = model.mlp if hasattr(model, "mlp") else model.head
    given: list[Any] = []
    handle = bottom.register_forward_pre_hook(lambda module, arguments: given.append(arguments))
    with torch.no_grad():
        output = model(batch)
    handle.remove()
    states, gates = given[0]
    return states.numpy(), [gate.numpy() for gate in gates], output.numpy()


@pytest.mark.parametrize("ranker", ["hstu", "genrank"])
@pytest.mark.parametrize(("name", "module"), [("sim-tags", "sim"), ("din", "din")])
def test_an_interest_is_added_to_the_candidates_state(ranker: str, name: str, module: str) -> None:
    model, batch = exactly(ranker, name), whole(long_batcher(LOG))
    with torch.no_grad():
        interest = model.extra.interest[module](seen_by(model, batch)).numpy()
    states, _, _ = states_and_gates(model, batch)
    del model.extra.interest[module]
    plain, _, _ = states_and_gates(model, batch)
    assert interest.any()
    assert states - plain == pytest.approx(interest, rel=1e-9, abs=1e-12)


def test_an_interest_joins_the_input_of_the_dlrm() -> None:
    model, batch = exactly("dlrm", "sim-tags"), whole(long_batcher(LOG))
    weights = weights_of(model)
    states, _, _ = states_and_gates(model, batch)
    for t in range(0, len(batch.rows), 7):
        own = full_vector(batch, "candidates", t, weights)
        interest = din_interest(batch, t, weights, "attention", 6)
        found = sim_interest(model, batch, t)
        expected = np.concatenate((own, interest, own * interest, found))
        assert states[t] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def gate_values(batch: Batch, t: int, layer: int, weights: Weights) -> Array:
    """δ of one hidden layer."""
    name = "extra.gate.ppnet"
    x = np.concatenate(
        (
            weights[f"{name}.user.weight"][int(batch.candidates.user[t])],
            weights[f"{name}.item.weight"][int(batch.candidates.item[t])],
            full_vector(batch, "candidates", t, weights),
        )
    )
    hidden = np.maximum(0, linear(x, weights, f"{name}.gates.{layer}.hidden"))
    return 2 * sigmoid(linear(hidden, weights, f"{name}.gates.{layer}.scale"))


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
    from genrank_cli.models.build import build_ranker
    from tests.models.cases import make_schema, model_config

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
    model = exactly(ranker, "ple-ppnet", modules={"ple": ple, "ppnet": {"ids": 4, "hidden": 8}})
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


def test_what_is_seen_of_candidates_is_theirs() -> None:
    model, batch = exactly("genrank", "ppnet"), whole(long_batcher(LOG, "grouped"))
    seen = Seen.of(batch, model.event, model.action)
    samples = np.repeat(np.arange(batch.samples), batch.candidate_lengths.numpy())
    assert seen.sample.tolist() == samples.tolist()
    assert seen.prefix is batch.prefix
    assert seen.events is batch.candidates
