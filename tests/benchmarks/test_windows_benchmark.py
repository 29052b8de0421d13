"""Window statistics of half a million events, without files; skipped unless asked for.

``OMP_NUM_THREADS=1 pytest tests/benchmarks/test_windows_benchmark.py --benchmark-only``. Users and
items draw from the same log: users have neighbours in time, items are scattered over it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genrank_cli.data.declare import WindowSpec
from genrank_cli.data.windows import BIN_MS, Block, Prior, _statistics
from tests.benchmarks.rounds import timed

EVENTS, DAYS = 500_000, 30
KEYS = {"user": 2_000, "item": 20_000}
DAY_MS = 24 * BIN_MS


@pytest.mark.parametrize("key", KEYS)
def test_statistics(benchmark: Any, key: str) -> None:
    draw = np.random.default_rng(0)
    time = np.sort(draw.integers(DAYS * DAY_MS, size=EVENTS))
    keys = draw.integers(KEYS[key], size=EVENTS)
    order = np.lexsort((time, keys)) if key == "user" else np.arange(EVENTS)
    labels = (draw.random((EVENTS, 2)) < 0.2).astype(np.uint8)
    block = Block(np.arange(EVENTS), keys[order], time[order], time[order], labels)
    prior = Prior(0, np.full((DAYS * 24 + 1, 2), 0.2))
    spec = WindowSpec(keys=(key,), spans=("1h", "1d", "7d"), tasks=("click", "like"))

    def statistics() -> None:
        columns = list(_statistics(block, spec, prior))
        assert len(columns) == 9

    benchmark.group = f"window statistics of {EVENTS:,} events"
    timed(benchmark, statistics, rounds=3)
    benchmark.extra_info["events_per_s"] = EVENTS / benchmark.stats["min"]
