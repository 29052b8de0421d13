"""Models small enough to check, on a log small enough to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from genrank_cli.data.batcher import Batcher
from genrank_cli.data.samples import SampleConfig, Samples, build_samples
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.schema import Schema
from genrank_cli.training.config import layered
from tests.factory import MemoryStore, make_store

TASKS = ("click", "dwell")
TINY = {"dropout": 0.0, "width": 16}

#: name → preset and what is changed in its attention, or, under ``model``, elsewhere
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "hstu": ("hstu", {"bias": "rab"}),
    "hstu-materialized": ("hstu", {"bias": "rab", "bias_form": "materialized"}),
    "hstu-none": ("hstu", {"bias": "none"}),
    "hstu-tables": ("hstu", {"bias": "tables"}),
    "hstu-alibi": ("hstu", {"bias": "alibi"}),
    "hstu-alibi-time": ("hstu", {"bias": "alibi-time"}),
    "hstu-softmax": ("hstu", {"activation": "softmax", "scale": "rsqrt"}),
    "hstu-window": ("hstu", {"window": 5}),
    "hstu-visible": ("hstu", {"candidates": "visible"}),
    "hstu-embeddings": ("hstu", {"bias": "none", "embeddings": True}),
    "hstu-double": ("hstu", {"window": 9, "model": {"double_candidates": True}}),
    "hstu-context": ("hstu", {"window": 9, "model": {"context_tokens": True}}),
    "hstu-meta": ("hstu-meta", {}),
    "softmax": ("softmax", {}),
    "genrank": ("genrank", {}),
    "genrank-context": ("genrank", {"model": {"context_tokens": True}}),
    "dlrm": ("dlrm", {}),
}
#: what leaks in packed samples, and so is for one request in a sample only
GROUPED: dict[str, tuple[str, dict[str, Any]]] = {
    "hstu-full": ("hstu", {"history": "full"}),
    "genrank-full": ("genrank", {"history": "full"}),
    "hstu-all-seeing": ("hstu", {"context": "history", "model": {"context_tokens": True}}),
    "genrank-all-seeing": ("genrank", {"context": "history", "model": {"context_tokens": True}}),
}
ISOLATED = [name for name in MODELS if name != "hstu-visible"]
ONE_REQUEST = ("grouped", "pointwise", "shuffled")
#: every model in every organisation of samples that it may be trained with
COMBINATIONS = [
    *((name, organization) for name in MODELS for organization in ("packed", *ONE_REQUEST[:2])),
    *((name, organization) for name in GROUPED for organization in ONE_REQUEST[:2]),
    ("hstu", "shuffled"),
    ("genrank", "shuffled"),
]


def model_config(name: str, **model: Any) -> ModelConfig:
    """The configuration of ``MODELS[name]`` at width 16 without dropout, then ``model``."""
    preset, changes = (MODELS | GROUPED)[name]
    attention = dict(changes)
    further = attention.pop("model", {})
    settings: dict[str, Any] = TINY | {"features": {"content": True, "user_id": True}}
    if preset == "dlrm":
        settings |= {"recent": 6, "hidden": [16, 8], "attention_hidden": 8}
    else:
        if attention.pop("embeddings", False):
            settings["embeddings"] = {"position": True, "request": True, "gap": True}
        settings |= {"blocks": 2, "heads": 2, "attention": attention}
    # Grouped for models that leak when packed, and a long history for those that search one.
    samples: dict[str, Any] = {"organization": "grouped"}
    if "sim" in model.get("modules", {}):
        samples["long_history"] = 1
    layers = ({"model": layer} for layer in (settings, further, model))
    return layered(preset, "tiny", {"data": {"samples": samples}}, *layers).model


def make_schema(store: MemoryStore, longest_history: int = 40) -> Schema:
    return Schema.of(store, TASKS, longest_history)


def make_model(name: str, store: MemoryStore, seed: int = 0, **model: Any) -> nn.Module:
    """A model in evaluation mode none of whose weights is zero: every path then counts."""
    torch.manual_seed(seed)
    ranker = build_ranker(model_config(name, **model), make_schema(store))
    with torch.no_grad():
        for parameter in ranker.parameters():
            if not parameter.any():
                parameter.normal_(std=0.3)
    return ranker.eval()


def make_batcher(store: MemoryStore, organization: str = "packed", **sizes: int) -> Batcher:
    config = SampleConfig(
        organization=organization, **({"history": 10, "window": 12, "candidates": 8} | sizes)
    )
    chosen = np.ones(store.manifest.counts.events, bool)
    return Batcher(store, build_samples(store, chosen, config), TASKS, 10_000)


def by_request(store: MemoryStore, samples: Samples) -> Samples:
    """One sample per request of ``samples``, with the history that the request saw there."""
    request, time = store.column("request").astype(np.int64), store.column("timestamp")
    parts = []
    for first, start, stop in zip(samples.history_start, samples.start, samples.stop, strict=True):
        for r in np.unique(request[start:stop]):
            begin, end = store.request_offsets[r : r + 2]
            seen = begin  # but events of that very moment are not known
            while seen > first and time[seen - 1] == time[begin]:
                seen -= 1
            parts.append((first, seen, max(begin, start), min(end, stop)))
    first, last, start, stop = np.array(parts, np.int64).T
    return Samples(first, last, start, stop)


def scores(
    model: nn.Module, batcher: Batcher, chosen: np.ndarray[Any, Any]
) -> Mapping[int, Tensor]:
    """Row of the store → its outputs [K]."""
    with torch.no_grad():
        batch = batcher.batch(chosen)
        return dict(zip(batch.rows.tolist(), model(batch), strict=True))


def furthest(one: Mapping[int, Tensor], other: Mapping[int, Tensor]) -> float:
    """Largest difference of two sets of scores of the same rows."""
    assert one.keys() == other.keys()
    assert one
    return max(float((one[row] - other[row]).abs().max()) for row in one)


LOG = make_store((37, 9, 1, 22), per_request=4)
#: requests of a moment beside each other, and some that last until the next begins
TIED = make_store((37, 9, 1, 22), per_request=4, ties=0.5)
