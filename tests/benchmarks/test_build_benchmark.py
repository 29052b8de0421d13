"""Raw log → per-user sequences on disk: our build, and the same job with pandas group-by.

``pytest tests/benchmarks/test_build_benchmark.py --benchmark-only``; skipped unless asked for. The
log has the columns of KuaiRand; GENRANK_BENCHMARK_EVENTS sets its length (default 200,000). Both
read the text, drop exact copies, sort by user and time, code users and items and write the result.
Ours also checks every value, cuts requests, hashes what it wrote and checks it once more.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card

EVENTS = int(os.environ.get("GENRANK_BENCHMARK_EVENTS", "200000"))
CHUNK = 1_000_000
ACTIONS = (
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view",
    "is_profile_enter",
)  # fmt: skip
SEQUENCES = ("video_id", "time_ms", "actions", "is_click", "long_view", "tab", "duration_ms")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of `EVENTS` rows in no order, every fiftieth a copy."""
    path = tmp_path_factory.mktemp("log") / "log.csv"
    random = np.random.default_rng(0)
    with path.open("wb") as stream:
        for start in range(0, EVENTS, CHUNK):
            rows = _rows(random, min(CHUNK, EVENTS - start))
            rows.write_csv(stream, include_header=start == 0)
    return path


def _rows(random: np.random.Generator, count: int) -> pl.DataFrame:
    items, start = max(100, int(0.4 * EVENTS)), 1_649_347_200_000
    time = start + (random.random(count) * 31 * 86_400_000).astype(np.int64)
    flags = {name: (random.random(count) < 0.1).astype(np.int8) for name in ACTIONS}
    rows = pl.DataFrame(
        {
            "user_id": (27_000 * random.random(count) ** 2).astype(np.int64),
            "video_id": (items * random.random(count) ** 2.5).astype(np.int64),
            "date": 20_220_408 + (time - start) // 86_400_000,
            "hourmin": time // 3_600_000 % 24 * 100,
            "time_ms": time,
            **{name: flags[name] for name in ACTIONS[:-1]},
            "play_time_ms": (random.exponential(20_000, count)).astype(np.int64),
            "duration_ms": (random.exponential(40_000, count)).astype(np.int64),
            "profile_stay_time": np.zeros(count, np.int64),
            "comment_stay_time": np.zeros(count, np.int64),
            "is_profile_enter": flags["is_profile_enter"],
            "is_rand": np.zeros(count, np.int8),
            "tab": random.integers(0, 5, count),
        }
    )
    return pl.concat([rows[: count - count // 50], rows[: count // 50]])


def build(log: Path, folder: Path) -> int:
    """Our build; the number of events that it kept."""
    card = Card.model_validate(
        {
            "name": "log",
            "version": 1,
            "title": "made up",
            "description": "made up",
            "licence": "none",
            "source": "kuairand",
            "files": {"standard": {"path": log.name}},
            "requests": {"rule": "gap", "gap_seconds": 1},
            "tasks": [{"name": name, "kind": "binary"} for name in ("is_click", "long_view")],
            "split": {"name": "temporal"},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(folder))
        return build_store(card, log.parent, force=True).store.manifest.counts.events


def group_by(log: Path, folder: Path) -> int:
    """Sequences by user, as preprocessing scripts of open generative rankers make them.

    Rows sorted, every column grouped into lists, actions merged list by list and row by row, and
    the sequences written as text.
    """
    pd = pytest.importorskip("pandas")

    events = pd.read_csv(log).drop_duplicates()
    events = events.sort_values(["user_id", "time_ms"], kind="stable")
    events["video_id"] = pd.factorize(events["video_id"], sort=True)[0]
    users = events.groupby("user_id").agg(list).reset_index()
    for bit, name in enumerate(ACTIONS):
        users[f"bit_{name}"] = users[name].apply(_weighted, weight=2**bit)
    bits = [f"bit_{name}" for name in ACTIONS]
    users["actions"] = users.apply(lambda row: _sums([row[bit] for bit in bits]), axis=1)
    table = users[["user_id", *SEQUENCES]].copy()
    for name in SEQUENCES:
        table[name] = table[name].apply(lambda values: ",".join(map(str, values)))
    table.to_csv(folder / "sequences.csv", index=False)
    return len(events)


def _sums(weights: list[np.ndarray[Any, Any]]) -> list[int]:
    return [int(sum(event)) for event in zip(*weights, strict=True)]


def _weighted(flags: list[int], weight: int) -> np.ndarray[Any, Any]:
    return np.where(np.array(flags) == 0, 0, weight)


JOBS: dict[str, Callable[[Path, Path], int]] = {"genrank": build, "pandas group-by": group_by}


@pytest.mark.parametrize("job", JOBS)
def test_build(job: str, log: Path, tmp_path: Path, benchmark: Any) -> None:
    benchmark.group = f"{EVENTS:,} events"
    kept = benchmark.pedantic(JOBS[job], (log, tmp_path), rounds=1 if EVENTS > 10**6 else 3)
    assert kept == EVENTS - sum(min(CHUNK, EVENTS - k) // 50 for k in range(0, EVENTS, CHUNK))
