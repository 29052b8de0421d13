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


@pytest.mark.parametrize("kept", [0, 1500, 10**9])
@pytest.mark.parametrize("rows", [1, 7, 60, 10_000])
@pytest.mark.parametrize("kind", ["integer", "text"])
def test_blocks_hold_each_user_whole_and_in_order(
    kind: str, rows: int, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "MERGE_ROWS", 10)
    monkeypatch.setattr(runs, "KEPT_BYTES", kept)
    events = frame(kind)
    writer = RunWriter(tmp_path, 64)
    for batch in events.iter_slices(16):
        writer.add(batch)
    found = writer.finish()
    assert len(found.runs) == 10
    on_disk = [path.name for path in found.runs if isinstance(path, Path)]
    assert sorted(on_disk) == sorted(file.name for file in tmp_path.iterdir())
    assert len(on_disk) == {0: 10, 10**9: 0}.get(kept, len(on_disk))
    if kept == 1500:
        assert 0 < len(on_disk) < 10
    assert found.events == len(events)
    counts = events.group_by("user").len().sort("user")
    assert found.users.values.to_list() == counts["user"].to_list()
    assert found.events_of_user.tolist() == counts["len"].to_list()
    seen = []
    for block in map(found.block, found.cuts(rows)):
        ids = block.users.values.to_list()
        assert found.users.values[block.first_user : block.first_user + len(ids)].to_list() == ids
        assert len(block.events) <= rows or len(ids) == 1
        assert set(block.events["user"].to_list()) == set(ids)
        seen.append(block.events.cast(events.schema).sort("user", maintain_order=True))
    assert pl.concat(seen).equals(events.sort("user", maintain_order=True))
    assert len(seen) == len(greedy(counts["len"].to_list(), rows))


def test_a_column_keeps_its_values_whatever_type_a_run_has_them_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = pl.DataFrame(
        {
            "user": [2**62, -5, 40_000, -5, 7, 2**62],
            "code": [1, -128, 2**40, 127, -129, 2**31],
            "empty": [None, 3, 70_000, None, None, 4],
            "number": [0.5, -0.0, float("nan"), 1e300, 1.0, 2.0],
            "flag": pl.Series([0, 1, 255, 0, 1, 1], dtype=pl.UInt8),
        }
    )
    expected = events.sort("user", maintain_order=True)
    for kept in (0, 10**9):
        monkeypatch.setattr(runs, "KEPT_BYTES", kept)
        (tmp_path / str(kept)).mkdir()
        writer = RunWriter(tmp_path / str(kept), 2)
        for piece in events.iter_slices(1):
            writer.add(piece)
        found = writer.finish()
        blocks = [found.block(cut).events for cut in found.cuts(100)]
        whole = pl.concat(blocks).sort("user", maintain_order=True)
        assert whole.cast(events.schema).equals(expected)
        assert found.users.values.to_list() == sorted(set(events["user"]))


def test_runs_hold_integers_in_the_narrowest_type(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, 1)
    writer.add(pl.DataFrame({"user": [3, 1], "a": [-128, 127], "b": [-129, 0], "c": [2**31, 0]}))
    (run,) = writer.finish().runs
    assert isinstance(run, pl.DataFrame)
    assert run.dtypes == [pl.Int8, pl.Int8, pl.Int16, pl.Int64]


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


WALKS: dict[str, list[list[int]]] = {
    "up": [[0], [1023], [1024], [5000, 4999]],
    "down": [[5000], [1024], [1023], [0]],
    "far": [[10**12 + 3], [10**12 - 2000], [10**12]],
    "about zero": [[-1], [0], [-1500], [1]],
    "out of reach": [[5], [2**40], [6], [-(2**63), 2**63 - 1]],
    "at the ends": [[2**63 - 1], [2**63 - 5000]],
}


@pytest.mark.parametrize("flags", [0, 1024, 1 << 13])
@pytest.mark.parametrize("walk", WALKS)
def test_distinct_integers_are_marked_where_the_window_may_grow_so_far(
    walk: str, flags: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vocabulary, "FLAGS", flags)
    distinct = Distinct()
    for piece in WALKS[walk]:
        distinct.add(pl.Series(piece))
        assert len(distinct._marks._seen) <= flags
    expected = sorted({value for piece in WALKS[walk] for value in piece})
    found = distinct.vocabulary().values
    assert found.to_list() == expected
    assert found.dtype == pl.Int64


def test_codes_of_narrow_integers_are_those_of_wide_ones() -> None:
    known = Vocabulary(pl.Series([-100, 5, 120]))
    raw = pl.Series([120, -100, 5], dtype=pl.Int8)
    assert known.ids(raw).tolist() == [2, 0, 1]
    sparse = Vocabulary(pl.Series([-100, 5, 120, 2**60]))
    assert sparse.ids(raw).tolist() == [2, 0, 1]
    assert sparse.field(raw).tolist() == [3, 1, 2]


def test_distinct_values_do_not_hold_the_memory_of_their_pieces() -> None:
    piece = pl.Series(np.arange(1_000_000) % 5)  # 8 MB
    distinct, process = Distinct(), psutil.Process()
    before = process.memory_info().rss
    for _ in range(40):
        distinct.add(piece)
    assert process.memory_info().rss - before < 100e6
    assert len(distinct.vocabulary()) == 5
