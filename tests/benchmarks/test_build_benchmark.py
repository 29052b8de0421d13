"""Raw log → per-user sequences on disk: our build, and the same job with pandas group-by.

``pytest tests/benchmarks/test_build_benchmark.py --benchmark-only``; skipped unless asked for. The
log is a synthetic one in the layout of KuaiRand-Pure; GENRANK_BENCHMARK_EVENTS sets its length
(default 100,000). Both read the text, drop exact copies, sort by user and time, code the items and
write the result. Ours also checks every value, cuts requests, codes fields and context, hashes
what it wrote and checks it once more; the other one keeps fewer columns and codes no fields.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card
from genrank_cli.simulate.kuairand import Shape
from genrank_cli.simulate.kuairand_files import LOGS, synthesize

EVENTS = int(os.environ.get("GENRANK_BENCHMARK_EVENTS", "100000"))
ACTIONS = (
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view",
    "is_profile_enter",
)  # fmt: skip
SEQUENCES = ("video_id", "time_ms", "actions", "is_click", "long_view", "tab", "duration_ms")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two logs of `EVENTS` rows together, and tables of users and videos."""
    folder = tmp_path_factory.mktemp("log") / "raw"
    synthesize(Shape.of_events(EVENTS), folder)
    return folder


def build(raw: Path, folder: Path) -> int:
    """Our build; the number of events that it kept."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(folder))
        card = load_card("kuairand-pure")
        return build_store(card, raw, force=True, verify=False).store.manifest.counts.events


def group_by(raw: Path, folder: Path) -> int:
    """Sequences by user, as preprocessing scripts of open generative rankers make them.

    Rows sorted, every column grouped into lists, actions merged list by list and row by row, and
    the sequences written as text.
    """
    pd = pytest.importorskip("pandas")
    events = pd.concat([pd.read_csv(raw / log) for log in LOGS[:2]]).drop_duplicates()
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
def test_build(job: str, raw: Path, tmp_path: Path, benchmark: Any) -> None:
    benchmark.group = f"{EVENTS:,} events"
    kept = benchmark.pedantic(
        JOBS[job], (raw, tmp_path), rounds=1 if EVENTS > 10**6 or job != "genrank" else 3
    )
    assert 0.9 * EVENTS < kept < EVENTS  # copies are gone
    benchmark.extra_info["events"] = kept
