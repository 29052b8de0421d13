"""HSTU against the formula of the paper (section 2), written out in float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import nn

from genrank_cli.data.batch import Events
from tests.factory import MemoryStore
from tests.models.cases import LOG, make_batcher, make_model, scores

Array = NDArray[np.float64]


def silu(x: Array) -> Array:
    return np.asarray(x / (1 + np.exp(-x)))


def layer_norm(x: Array, weights: dict[str, Array], name: str, eps: float) -> Array:
    centred = x - x.mean()
    normal = centred / math.sqrt((centred**2).mean() + eps)
    return np.asarray(normal * weights[f"{name}.weight"] + weights[f"{name}.bias"])


def linear(x: Array, weights: dict[str, Array], name: str) -> Array:
    return np.asarray(weights[f"{name}.weight"] @ x + weights[f"{name}.bias"])


def phi(events: Events, i: int, store: MemoryStore, weights: dict[str, Array]) -> Array:
    """Sum of the embeddings of the item's, the user's and the context's values."""
    item, user = int(events.item[i]), int(events.user[i])
    tables = {name: weights[f"event.{name}"] for name in _TABLES}
    content = store.items.content
    assert content is not None
    tags = [tag for tag in store.items.fields["tags"][item] if tag]
    total = tables["item.id.weight"][item].copy()
    total += tables["item.fields.topic.table.weight"][store.items.fields["topic"][item]]
    if tags:
        total += np.mean([tables["item.fields.tags.table.weight"][tag] for tag in tags], axis=0)
    total += linear(content[item].astype(np.float64), weights, "event.item.project")
    total += tables["user.id.weight"][user]
    total += tables["user.fields.age.table.weight"][store.users.fields["age"][user]]
    return np.asarray(total + tables["context.0.weight"][int(events.context[i, 0])])


_TABLES = (
    "item.id.weight",
    "item.fields.topic.table.weight",
    "item.fields.tags.table.weight",
    "user.id.weight",
    "user.fields.age.table.weight",
    "context.0.weight",
)


def psi(actions: int, weights: dict[str, Array]) -> Array:
    taken = [weights["action.weight"][k] for k in range(2) if actions >> k & 1]
    return np.asarray(weights["action.seen"] + np.sum([np.zeros(16), *taken], axis=0))


def block(x: Array, name: str, weights: dict[str, Array], norm: int, factor: float) -> Array:
    """X + W_o(LN(A V) ⊙ U) over a causal sequence [T, d]."""
    width, heads = x.shape[1], 2
    projected = [
        silu(linear(layer_norm(row, weights, f"{name}.norm_in", 1e-6), weights, f"{name}.uvqk"))
        for row in x
    ]
    u, v, q, k = (np.stack(part) for part in zip(*(np.split(p, 4) for p in projected), strict=True))
    out = x.copy()
    for i in range(len(x)):
        attended = np.zeros(width)
        for h in range(heads):
            cut = slice(h * width // heads, (h + 1) * width // heads)
            for j in range(i + 1):
                attended[cut] += silu(q[i, cut] @ k[j, cut] * factor) / norm * v[j, cut]
        gated = layer_norm(attended, weights, f"{name}.norm_out", 1e-6) * u[i]
        out[i] += linear(gated, weights, f"{name}.out")
    return out


def transcription(
    model: nn.Module, batch: Any, store: MemoryStore, candidate: int, factor: float
) -> Array:
    """Outputs [K] of one candidate of a batch of one sample."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    tokens = []
    for i in range(int(batch.prefix[candidate])):
        tokens += [phi(batch.history, i, store, weights), psi(int(batch.actions[i]), weights)]
    x = np.stack([*tokens, phi(batch.candidates, candidate, store, weights)])
    for number in range(2):
        x = block(x, f"blocks.{number}", weights, norm=40 * 2 + 1, factor=factor)
    hidden = linear(layer_norm(x[-1], weights, "head.0", 1e-5), weights, "head.1")
    return linear(silu(hidden), weights, "output")


@pytest.mark.parametrize("scale", ["none", "rsqrt"])
@pytest.mark.parametrize("backend", ["reference", "blockwise"])
@pytest.mark.parametrize("organization", ["packed", "grouped"])
def test_hstu_is_the_formula(organization: str, backend: str, scale: str) -> None:
    attention = {"bias": "none", "backend": backend, "scale": scale}
    model = make_model("hstu-none", LOG, attention=attention).double()
    batcher = make_batcher(LOG, organization)
    for table in model.modules():  # the frozen content comes as float32
        if hasattr(table, "content"):
            table.content = table.content.double()
    factor = 8**-0.5 if scale == "rsqrt" else 1.0  # two heads of 8
    for sample in (0, 2, len(batcher.samples) - 1):
        chosen = np.array([sample])
        batch = batcher.batch(chosen)
        found = scores(model, batcher, chosen)
        for place, row in enumerate(batch.rows.tolist()):
            expected = transcription(model, batch, LOG, place, factor)
            assert found[row].numpy() == pytest.approx(expected, rel=1e-10, abs=1e-12)
