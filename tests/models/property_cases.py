"""Every ranker with every part that can be added to it, one part at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from genrank_cli.data.batcher import Batcher
from genrank_cli.models.build import build_ranker
from tests.factory import MemoryStore, make_store
from tests.models.cases import make_batcher, make_model, make_schema, model_config

INTERLEAVED = ("hstu", "hstu-meta", "softmax")
GENERATIVE = (*INTERLEAVED, "genrank")
EVERY = (*GENERATIVE, "dlrm")

#: name → what is changed in ``model``, and the rankers that have it
PARTS: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "plain": ({}, EVERY),
    "context": ({"context_tokens": True}, GENERATIVE),
    "doubled": ({"double_candidates": True}, INTERLEAVED),
    "hashed": ({"features": {"item_hash": 23, "user_hash": 5, "hashes": 2}}, EVERY),
    "sim-hard": ({"modules": {"sim": {"field": "tags", "top": 3}}}, EVERY),
    "sim-soft": ({"modules": {"sim": {"kind": "soft", "top": 3}}}, EVERY),
    "din": ({"modules": {"din": {"recent": 6, "hidden": 8}}}, GENERATIVE),
    "ppnet": ({"modules": {"ppnet": {"ids": 4, "hidden": 8}}}, EVERY),
    "ple": ({"modules": {"ple": {"experts": 2, "shared": 1, "layers": 2}}}, EVERY),
    "ple-ppnet": ({"modules": {"ple": {}, "ppnet": {"ids": 4, "hidden": 8}}}, ("genrank", "dlrm")),
}
CASES = [(ranker, part) for part, (_, rankers) in PARTS.items() for ranker in rankers]

#: Tasks of every model here: a binary one and one of regression.
KINDS = ("binary", "regression")


def small_log() -> MemoryStore:
    """Two users, more events than a history holds."""
    return make_store((22, 6), per_request=3, seed=2)


def small_batcher(store: MemoryStore, organization: str = "packed") -> Batcher:
    return make_batcher(store, organization, history=6, window=9, long_history=9)


def ready(ranker: str, part: str, store: MemoryStore) -> Any:
    """A model in evaluation mode none of whose weights is zero."""
    return make_model(ranker, store, **PARTS[part][0])


def fresh(ranker: str, part: str, store: MemoryStore, **model: Any) -> nn.Module:
    """A model as training begins with it, but for the output's level."""
    torch.manual_seed(0)
    return build_ranker(model_config(ranker, **(PARTS[part][0] | model)), make_schema(store))
