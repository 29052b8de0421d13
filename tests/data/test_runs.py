"""The external sort and the vocabularies: blocks and pieces never change what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import psutil
import pytest

from genrank_cli.data import runs, vocabulary
from genrank_cli.data.events import order_by
from genrank_cli.data.runs import RunWriter, _block_starts
from genrank_cli.data.vocabulary import Distinct, Vocabulary


def frame(kind: str, rows: int = 600, users: int = 25, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    user = pl.Series(random.zipf(1.5, rows) % users - 3)
    place = np.arange(rows)
    return pl.DataFrame({"user": user.cast(pl.String) if kind == "text" else user, "place": place})


@pytest.mark.parametrize("rows", [1, 7, 60, 10_000])
@pytest.mark.parametrize("kind", ["integer", "text"])
def test_blocks_hold_each_user_whole_and_in_order(
    kind: str, rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MERGE_ROWS", 10)
    events = frame(kind)
    writer = RunWriter(tmp_path)
    for batch in events.iter_slices(64):
        writer.add(batch)
    found = writer.finish()
    assert len(found.files) == 10
    assert found.events == len(events)
    counts = events.group_by("user").len().sort("user")
    assert found.users.values.to_list() == counts["user"].to_list()
    assert found.events_of_user.tolist() == counts["len"].to_list()
    seen = []
    for block in found.blocks(rows):
        ids = block.users.values.to_list()
        assert found.users.values[block.first_user : block.first_user + len(ids)].to_list() == ids
        assert len(block.events) <= rows or len(ids) == 1
        assert set(block.events["user"].to_list()) == set(ids)
        seen.append(block.events.sort("user", maintain_order=True))
    assert pl.concat(seen).equals(events.sort("user", maintain_order=True))
    assert len(seen) == len(greedy(counts["len"].to_list(), rows))


def test_a_block_may_be_exactly_full() -> None:
    counts = np.array([3, 4, 5, 2, 9, 1])
    assert _block_starts(counts, 7) == [0, 2, 4, 5]
    assert _block_starts(counts, 24) == [0]


def greedy(counts: list[int], rows: int) -> list[list[int]]:
    """As many users as fit in ``rows``, at least one."""
    blocks: list[list[int]] = [[]]
    for count in counts:
        if blocks[-1] and sum(blocks[-1]) + count > rows:
            blocks.append([])
        blocks[-1].append(count)
    return blocks


TIMES = {
    "seconds of one month": 1.65e9 + np.arange(40) / 1000,
    "from zero on": np.array([0.0, -0.0, 1e-300, 0.5, 1.0, 4e9]),
    "one moment": np.array([7.5]),
}


@pytest.mark.parametrize("users", [1, 30, 2**31])
@pytest.mark.parametrize("name", TIMES)
def test_order_by_user_and_time_is_stable(name: str, users: int) -> None:
    random = np.random.default_rng(0)
    user = random.choice(np.linspace(0, users - 1, 7).astype(np.uint32), 500)
    time = random.choice(TIMES[name], 500)
    expected = sorted(range(500), key=lambda place: (user[place], time[place]))
    assert order_by(user, time).tolist() == expected


VALUES: dict[str, list[Any]] = {
    "dense": [5, 3, 9, 3, 4],
    "sparse": [-(2**62), 5, 10**15, 5, 2**62],
    "text": ["b", "", "é", "a", "b"],
    "one": [7],
    "none": [],
}


@pytest.mark.parametrize("name", VALUES)
def test_distinct_values_of_pieces_and_their_codes(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "MERGE_ROWS", 2)
    values = VALUES[name]
    dtype = pl.String if name == "text" else pl.Int64
    raw = pl.Series([*values, None, *values], dtype=dtype)
    distinct = Distinct()
    for start in range(len(raw)):
        distinct.add(raw[start : start + 1])
    found = distinct.vocabulary()
    known = sorted(set(values))
    assert found.values.to_list() == known == Vocabulary.of(raw).values.to_list()
    assert found.ids(raw.drop_nulls()).tolist() == [known.index(v) for v in [*values, *values]]
    assert found.field(raw).tolist() == [0 if v is None else known.index(v) + 1 for v in raw]
    assert found.size == len(known) + 1


def test_distinct_values_do_not_hold_the_memory_of_their_pieces() -> None:
    piece = pl.Series(np.arange(1_000_000) % 5)  # 8 MB
    distinct, process = Distinct(), psutil.Process()
    before = process.memory_info().rss
    for _ in range(40):
        distinct.add(piece)
    assert process.memory_info().rss - before < 100e6
    assert len(distinct.vocabulary()) == 5
