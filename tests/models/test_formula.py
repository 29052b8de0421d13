"""The blocks against their formulas (HSTU: of the paper, section 2), written out in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, softmax
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


def attended(q: Array, k: Array, v: Array, i: int, weigh: Callable[[Array], Array]) -> Array:
    """Row i of a causal sequence: two heads, weights of the scores [i + 1]."""
    out = np.zeros(q.shape[1])
    for cut in np.split(np.arange(q.shape[1]), 2):
        out[cut] = weigh(k[: i + 1, cut] @ q[i, cut]) @ v[: i + 1, cut]
    return out


def normed(x: Array, weights: dict[str, Array], name: str, part: str) -> Array:
    return np.stack([layer_norm(row, weights, f"{name}.{part}", 1e-6) for row in x])


def projected(x: Array, name: str, weights: dict[str, Array], parts: int) -> list[Array]:
    rows = normed(x, weights, name, "norm_in")
    both = np.stack([linear(row, weights, f"{name}.uvqk") for row in rows])
    return np.split(both, parts, axis=1)


def hstu(x: Array, name: str, weights: dict[str, Array], norm: int, factor: float) -> Array:
    """X + W_o(LN(A V) ⊙ U), U, V, Q, K = split(SiLU(LN(X) W)), A = SiLU(Q Kᵀ factor) / norm."""
    u, v, q, k = (silu(part) for part in projected(x, name, weights, 4))
    out = x.copy()
    for i in range(len(x)):
        row = attended(q, k, v, i, lambda scores: silu(scores * factor) / norm)
        gated = layer_norm(row, weights, f"{name}.norm_out", 1e-6) * u[i]
        out[i] += linear(gated, weights, f"{name}.out")
    return out


def hstu_meta(x: Array, name: str, weights: dict[str, Array], norm: int, factor: float) -> Array:
    """X + [SiLU(U), A V, LN(A V) ⊙ SiLU(U)] W_o, U, V, Q, K = split(LN(X) W); W_o has no bias."""
    u, v, q, k = projected(x, name, weights, 4)
    out = x.copy()
    for i in range(len(x)):
        gate = silu(u[i])
        row = attended(q, k, v, i, lambda scores: silu(scores * factor) / norm)
        gated = layer_norm(row, weights, f"{name}.norm_out", 1e-6) * gate
        out[i] += weights[f"{name}.out.weight"] @ np.concatenate((gate, row, gated))
    return out


def transformer(x: Array, name: str, weights: dict[str, Array], norm: int, factor: float) -> Array:
    """Y = X + W_o(softmax(Q Kᵀ factor) V), Y + W_2 GELU(W_1 LN(Y))."""
    v, q, k = projected(x, name, weights, 3)
    out = x.copy()
    for i in range(len(x)):
        row = attended(q, k, v, i, lambda scores: softmax(scores * factor))
        out[i] += linear(row, weights, f"{name}.out")
        hidden = linear(
            layer_norm(out[i], weights, f"{name}.norm_out", 1e-6), weights, f"{name}.mlp.0"
        )
        out[i] += linear(hidden * ndtr(hidden), weights, f"{name}.mlp.2")
    return out


BLOCKS = {"hstu-none": hstu, "hstu-meta": hstu_meta, "softmax": transformer}


def transcription(
    name: str, model: nn.Module, batch: Any, store: MemoryStore, candidate: int, factor: float
) -> Array:
    """Outputs [K] of one candidate of a batch of one sample."""
    weights = {name: value.numpy() for name, value in model.state_dict().items()}
    tokens = []
    for i in range(int(batch.prefix[candidate])):
        tokens += [phi(batch.history, i, store, weights), psi(int(batch.actions[i]), weights)]
    x = np.stack([*tokens, phi(batch.candidates, candidate, store, weights)])
    for number in range(2):
        x = BLOCKS[name](x, f"blocks.{number}", weights, 40 * 2 + 1, factor)
    hidden = linear(layer_norm(x[-1], weights, "head.0", 1e-5), weights, "head.1")
    return linear(silu(hidden), weights, "output")


def assert_the_formula(name: str, organization: str, attention: dict[str, Any]) -> None:
    model = make_model(name, LOG, attention={"bias": "none"} | attention).double()
    batcher = make_batcher(LOG, organization)
    for table in model.modules():  # the frozen content comes as float32
        if hasattr(table, "content"):
            table.content = table.content.double()
    factor = 1.0 if attention.get("scale") == "none" else 8**-0.5  # two heads of 8
    for sample in (0, 2, len(batcher.samples) - 1):
        chosen = np.array([sample])
        batch = batcher.batch(chosen)
        found = scores(model, batcher, chosen)
        for place, row in enumerate(batch.rows.tolist()):
            expected = transcription(name, model, batch, LOG, place, factor)
            assert found[row].numpy() == pytest.approx(expected, rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("scale", ["none", "rsqrt"])
@pytest.mark.parametrize("backend", ["reference", "blockwise"])
@pytest.mark.parametrize("organization", ["packed", "grouped"])
def test_hstu_is_the_formula(organization: str, backend: str, scale: str) -> None:
    assert_the_formula("hstu-none", organization, {"backend": backend, "scale": scale})


@pytest.mark.parametrize("organization", ["packed", "grouped"])
@pytest.mark.parametrize("name", ["hstu-meta", "softmax"])
def test_the_other_blocks_are_their_formulas(name: str, organization: str) -> None:
    assert_the_formula(name, organization, {"backend": "blockwise"})


@pytest.mark.parametrize(("name", "factor"), [("hstu", 5), ("hstu-meta", 7), ("softmax", 12)])
def test_matrices_of_a_block_have_as_many_weights_as_stated(name: str, factor: int) -> None:
    model: Any = make_model(name, LOG)
    for block in model.blocks:
        matrices = [p for p in block.parameters() if p.ndim == 2]
        assert sum(p.numel() for p in matrices) == factor * 16 * 16
