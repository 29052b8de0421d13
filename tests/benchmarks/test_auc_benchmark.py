"""AUC and GAUC of a million events, scikit-learn's AUC beside ours; skipped unless asked for.

``pytest tests/benchmarks --benchmark-only``. Scores are rounded to three digits, so that ties are
as many as in the scores of a small model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from genrank_cli.metrics.auc import auc
from genrank_cli.metrics.grouped import gauc
from tests.benchmarks.rounds import timed

EVENTS, USERS = 1_000_000, 10_000


@pytest.fixture(scope="module")
def events() -> tuple[np.ndarray[Any, Any], ...]:
    """Labels, scores and users of a log."""
    draw = np.random.default_rng(0)
    scores = np.round(draw.random(EVENTS), 3)
    labels = (draw.random(EVENTS) < scores).astype(np.int64)
    return labels, scores, np.sort(draw.integers(USERS, size=EVENTS))


METRICS: dict[str, Callable[..., object]] = {
    "auc": lambda labels, scores, users: auc(labels, scores),
    "gauc": gauc,
    "scikit-learn": lambda labels, scores, users: roc_auc_score(labels, scores),
}


@pytest.mark.parametrize("metric", METRICS)
def test_metric(benchmark: Any, events: tuple[np.ndarray[Any, Any], ...], metric: str) -> None:
    benchmark.group = f"metrics of {EVENTS:,} events"
    timed(benchmark, lambda: METRICS[metric](*events))
    benchmark.extra_info["events_per_s"] = EVENTS / benchmark.stats["min"]
