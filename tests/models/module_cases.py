"""Rankers with modules on, and logs whose users have more events than a sample's history."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from torch import Tensor, nn

from genrank_cli.data.batch import Batch
from genrank_cli.data.batcher import Batcher
from genrank_cli.models.modules.slots import Seen
from tests.factory import MemoryStore, make_store
from tests.models.cases import TASKS, by_request, make_batcher, make_model, scores

RANKERS = ("hstu", "genrank", "dlrm")

#: name → model.modules
MODULES: dict[str, dict[str, Any]] = {
    "sim-hard": {"sim": {"kind": "hard", "field": "topic", "top": 3}},
    "sim-tags": {"sim": {"kind": "hard", "field": "tags", "top": 4}},
    "sim-soft": {"sim": {"kind": "soft", "top": 4}},
    "din": {"din": {"recent": 6, "hidden": 8}},
    "ppnet": {"ppnet": {"ids": 4, "hidden": 8}},
    "ple": {"ple": {"experts": 3, "shared": 2, "layers": 2}},
    "ple-ppnet": {"ple": {}, "ppnet": {"ids": 4, "hidden": 8}},
    "sim-ple-ppnet": {"sim": {"top": 3}, "ple": {}, "ppnet": {}},
}
CASES = [
    (ranker, name)
    for ranker in RANKERS
    for name in MODULES
    if (ranker, name) != ("dlrm", "din")  # it has its own
]
KINDS = ("binary", "regression")
SIM = ("sim-hard", "sim-tags", "sim-soft")
HISTORY, LONG = 5, 14


def with_modules(ranker: str, name: str, store: MemoryStore, **model: Any) -> nn.Module:
    """A model in evaluation mode without zero weights, with ``MODULES[name]`` on."""
    return make_model(ranker, store, **({"modules": MODULES[name]} | model))


def long_batcher(store: MemoryStore, organization: str = "packed", **sizes: int) -> Batcher:
    return make_batcher(store, organization, **({"history": HISTORY, "long_history": LONG} | sizes))


def alone(store: MemoryStore, batcher: Batcher) -> Batcher:
    """Each request of ``batcher``'s samples in a sample of its own."""
    single = by_request(store, batcher.samples)
    samples = replace(single, long_history=batcher.samples.long_history)
    return Batcher(store, samples, TASKS, 10_000)


def whole(batcher: Batcher) -> Batch:
    """All samples in one batch."""
    return batcher.batch(np.arange(len(batcher.samples)))


def seen_by(model: Any, batch: Batch) -> Seen:
    """What the modules of ``model`` see of ``batch``."""
    return Seen.of(batch, model.event, model.action)


def module_log(ties: float = 0.0) -> MemoryStore:
    """One user with more events than a history holds."""
    return make_store((34,), per_request=4, seed=2, ties=ties)


def changed(**columns: Any) -> MemoryStore:
    """That log with some columns replaced."""
    store = module_log()
    store._columns.update({name.replace("__", "."): value for name, value in columns.items()})
    return store


def all_scores(model: nn.Module, store: MemoryStore, organization: str) -> dict[int, Tensor]:
    """Row of the store → its outputs, in samples with a long history."""
    batcher = long_batcher(store, organization)
    return dict(scores(model, batcher, np.arange(len(batcher.samples))))
