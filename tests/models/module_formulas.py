"""SIM, DIN and the gates of PPNet, written out target by target in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from genrank_cli.data.batch import Batch
from genrank_cli.models.embeddings import gap_bucket
from tests.models.cases import LOG
from tests.models.module_cases import with_modules

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
