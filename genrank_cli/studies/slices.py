"""Parts of the test events that a claim may be about."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from genrank_cli.data.store import Store
from genrank_cli.metrics.arrays import OneClassError
from genrank_cli.metrics.auc import auc
from genrank_cli.training.run import Record, read_predictions

#: An item is cold with fewer training events than this.
COLD_EVENTS = 20

Marks = NDArray[np.bool_]


def cold_items(store: Store, fitted: Marks) -> Marks:
    """Bool [items]: those with fewer than `COLD_EVENTS` events among ``fitted``, bool [E]."""
    items = len(store.items.ids)
    seen = np.bincount(store.column("item")[fitted], minlength=items)
    return np.asarray(seen[:items] < COLD_EVENTS)


def item_slices(record: Record, task: str, cold: Marks) -> dict[str, dict[str, float]]:
    """``cold`` and ``warm`` → AUC, events and positives of one run's test predictions.

    AUC is nan where a slice holds one class only.
    """
    table = read_predictions(record)
    label, score = (table[f"{kind}.{task}"].to_numpy() for kind in ("label", "score"))
    is_cold = cold[table["item"].to_numpy()]
    return {
        name: _measures(label[chosen], score[chosen])
        for name, chosen in (("cold", is_cold), ("warm", ~is_cold))
    }


def _measures(label: NDArray[np.float32], score: NDArray[np.float32]) -> dict[str, float]:
    try:
        value = auc(label, score)
    except OneClassError:
        value = float("nan")
    return {"auc": value, "events": float(len(label)), "positives": float(label.sum())}


def mean_slices(
    runs: Mapping[int, Mapping[str, Mapping[str, float]]],
) -> dict[str, dict[str, float]]:
    """Seed → slice → metric → value, averaged over the seeds."""
    first = next(iter(runs.values()), {})
    return {
        name: {
            metric: float(np.mean([run[name][metric] for run in runs.values()]))
            for metric in metrics
        }
        for name, metrics in first.items()
    }
