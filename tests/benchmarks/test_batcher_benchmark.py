"""One epoch of jagged batches from mapped columns, without a model; skipped unless asked for.

``OMP_NUM_THREADS=1 pytest tests/benchmarks/test_batcher_benchmark.py --benchmark-only``.

A million events, 480 events of history. Two figures stand in ``extra_info``: the history and
candidate events put into batches per second, which is what the target of 2 million is about, and
the candidates alone, each of which is an event of the log met once per epoch. ``numbers`` adds 20
columns that are cut into buckets, as many as a card with window statistics has.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrank_cli.data.batcher import Batcher
from genrank_cli.data.gather import EventReader
from genrank_cli.data.samples import SampleConfig, build_samples
from tests.benchmarks.rounds import timed
from tests.factory import MemoryStore, make_store

EVENTS, USERS = 1_000_000, 800
TARGET = 2e6  # history and candidate events per second, on one core
NUMBERS = 20


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> MemoryStore:
    """A log whose columns are mapped from files, as those of a built store are."""
    folder = tmp_path_factory.mktemp("columns")
    random = np.random.default_rng(0)
    activity = random.lognormal(size=USERS)
    lengths = 1 + random.multinomial(EVENTS - USERS, activity / activity.sum())
    made = make_store(tuple(lengths.tolist()), items=50_000)
    columns = made.__dict__["_columns"]
    columns |= {
        f"number.n{i}": random.lognormal(size=EVENTS).astype(np.float32) for i in range(NUMBERS)
    }
    mapped = {name: _mapped(folder / f"{name}.npy", values) for name, values in columns.items()}
    return MemoryStore(made.manifest, mapped, made.users, made.items)


def _mapped(path: Path, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    np.save(path, values)
    return np.asarray(np.load(path, mmap_mode="r"))


@pytest.mark.parametrize("batch_events", [1536, 9800])
@pytest.mark.parametrize("numbers", [0, NUMBERS], ids=["plain", "numbers"])
@pytest.mark.parametrize("organization", ["packed", "grouped"])
def test_epoch(
    benchmark: Any, store: MemoryStore, organization: str, numbers: int, batch_events: int
) -> None:
    config = SampleConfig(organization=organization, history=480)
    samples = build_samples(store, np.ones(EVENTS, bool), config)
    bounds = np.quantile(store.column("number.n0"), np.arange(1, 16) / 16)
    reader = EventReader(store, {f"number.n{i}": bounds for i in range(numbers)})
    batcher = Batcher(store, samples, ("click", "dwell"), batch_events, reader=reader)
    # Shuffling is part of an epoch; of grouped samples, whose histories overlap, a part will do.
    batches = 500 * 1536 // batch_events
    counted = {"events": 0, "candidates": 0}

    def epoch() -> None:
        counted.update(events=0, candidates=0)
        for batch, _ in zip(batcher.epoch(0, 0), range(batches), strict=False):
            counted["events"] += len(batch.actions) + len(batch.rows)
            counted["candidates"] += len(batch.rows)

    benchmark.group = organization
    timed(benchmark, epoch, rounds=3)
    for name, count in counted.items():
        benchmark.extra_info[f"{name}_per_s"] = count / benchmark.stats["min"]
    # Said, not asserted: the wall clock of a machine that others use judges nothing.
    benchmark.extra_info["of_target"] = benchmark.extra_info["events_per_s"] / TARGET
