"""Building: impossible values are refused, named by the event of the source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.data import build as building
from genrank_cli.data import staging
from genrank_cli.data.card import Task
from genrank_cli.data.sources import RawTables
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError, data_error
from tests.data.conftest import BuildTables
from tests.data.raw import events, plain_card

PLAIN_COLUMNS = ["actions", "item", "request", "task.like", "timestamp", "user"]
NAN = float("nan")
REFUSALS = [
    (
        {"task.like": [0, 1, NAN, 1, 0, 1, 0, 1.0]},
        "task.like of event 3 .*user 1.: nan is not a finite",
    ),
    ({"task.like": [0, 1, None, 1, 0, 1, 0, 1.0]}, "task.like of event 3 .* is not a finite"),
    ({"task.like": [0, 1, 0.5, 1, 0, 1, 0, 1]}, "0.5 is neither 0 nor 1, as a binary label"),
    ({"task.like": [1.0] * 8}, "task like has only one class: every label is 1"),
    ({"truth.like": [0.5] * 7 + [float("inf")]}, "truth.like of event 8"),
    ({"truth.like": [0.5] * 7 + [1.5]}, "truth.like holds a probability outside 0 to 1"),
    ({"timestamp": [0, 1, 2, 3, 4, 5, 6, NAN]}, "timestamp of event 8 .*user 2.: nan is not a"),
    (
        {"timestamp": [float(k) for k in range(7)] + [-1.0]},
        "timestamp of event 8 .*: -1 is not betw",
    ),
    ({"timestamp": [1.7e12] * 8}, "looks like milliseconds, seconds are expected"),
    ({"user": [1, 1, None, 1, 2, 2, 2, 2]}, "no user in event 3 of the source"),
    ({"item": [1, 1, 2, 1, 2, 2, 2, None]}, "no item in event 8 of the source"),
    ({"action.a": [0, 0, 0, 2, 0, 0, 0, 0]}, "an action is neither 0 nor 1 in event 4"),
    ({"action.a": [0, None, 0, 1, 0, 0, 0, 0]}, "an action is neither 0 nor 1 in event 2"),
    ({"colour": [0] * 8}, "unknown column 'colour'"),
    ({"number.n": [0.5] * 7 + [float("inf")]}, "number.n of event 8 .*: inf is not a finite"),
    ({"number.n": [1e39] + [0.5] * 7}, "number.n of event 1 .*: inf is not a finite"),
    ({"apart": [0] * 5 + [2, 0, 0]}, "apart of event 6 .*: 2 is neither 0 nor 1, as a flag must"),
    ({"apart": [0, None, 0, 0, 0, 0, 0, 0]}, "apart of event 2 .*: nan is not a finite number"),
]


@pytest.mark.parametrize(("columns", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_impossible_values_are_refused_and_leave_nothing(
    columns: dict[str, list[float]], reason: str, build_tables: BuildTables, home: Path
) -> None:
    numbers = {name: pl.Series(values, strict=False) for name, values in columns.items()}
    with pytest.raises(GenrankError, match=reason) as caught:
        build_tables(events(**numbers))
    assert caught.value.exit_code == ExitCode.DATA
    assert list(home.iterdir()) == []


def test_missing_columns_and_labels(build_tables: BuildTables) -> None:
    with pytest.raises(GenrankError, match="gives no column item"):
        build_tables(events().drop("item"))
    with pytest.raises(GenrankError, match="gives no column request"):
        build_tables(events(), card=plain_card(rule="column"))
    with pytest.raises(GenrankError, match="no label for task 'share'; the source has like"):
        build_tables(events(), card=plain_card(tasks=(Task(name="share", kind="binary"),)))
    with pytest.raises(GenrankError, match="holds no events"):
        build_tables(events()[:0])


def test_the_first_bad_event_of_the_source_is_named(
    build_tables: BuildTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BLOCK_ROWS", 3)
    label = [0.0, 1.0, 0.0, 1.0, 0.5, 1.0, 0.0, 0.25]
    with pytest.raises(GenrankError, match=r"task\.like of event 5 of .* \(user 2\): 0\.5 is"):
        build_tables(events(**{"task.like": label, "timestamp": [9e8 - k for k in range(8)]}))
    with pytest.raises(GenrankError, match="no item in event 7 of the source"):
        build_tables(events(item=[1, 2, 3, 4, 1, 2, None, None]))


SIDES = [
    ({"item": [1, 2, 1]}, "item 1 is listed twice among the items"),
    ({"item": [1], "fields.kind": [1]}, "gives the items an unknown column 'fields.kind'"),
    ({"item": [1, 2], "number.n": [0.5, -1e300]}, "number.n of item 2 is not finite"),
    ({"item": [1], "number.n": [1], "statistic.n": [1]}, "items a number and a statistic 'n'"),
    ({"item": ["x"], "field.kind": [1]}, "the items of the source cannot be read: conversion"),
    ({"other": [1]}, "the items of the source cannot be read: .*item"),
]


@pytest.mark.parametrize(("columns", "reason"), SIDES, ids=[reason for _, reason in SIDES])
def test_impossible_side_tables_are_refused_and_leave_nothing(
    columns: dict[str, list[object]], reason: str, build_tables: BuildTables, home: Path
) -> None:
    with pytest.raises(GenrankError, match=reason) as caught:
        build_tables(events(), items=pl.DataFrame(columns))
    assert caught.value.exit_code == ExitCode.DATA
    assert list(home.iterdir()) == []


def build_raw(tables: RawTables, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(building, "read", lambda _card, _raw_dir: tables)
    return building.build_store(plain_card(), force=True).store


def test_a_refused_row_is_explained_by_the_reader(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BLOCK_ROWS", 3)
    good = events(refused=[False] * 8)
    assert build_raw(RawTables(good.lazy()), monkeypatch).columns == PLAIN_COLUMNS
    bad = events(refused=[False] * 4 + [True, False, False, True])
    with pytest.raises(GenrankError, match="cannot be read: 1 bad rows, the first is event 5"):
        build_raw(RawTables(bad.lazy()), monkeypatch)
    tables = RawTables(bad.lazy(), explain=lambda said: data_error(f"line 6: {said}"))
    with pytest.raises(GenrankError, match="line 6: 1 bad rows, the first is event 5"):
        build_raw(tables, monkeypatch)
    assert [path.name for path in home.iterdir()] == ["plain"]


def test_text_that_cannot_be_parsed_is_explained_by_the_reader(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["user,item,timestamp,task.like", *(f"{k},1,{k},{k % 2}" for k in range(5000)), "x,1,"]
    (tmp_path / "log.csv").write_text("\n".join(lines))
    schema = {"user": pl.Int64, "item": pl.Int64, "timestamp": pl.Int64, "task.like": pl.Int64}
    scan = pl.scan_csv(tmp_path / "log.csv", schema=schema)
    with pytest.raises(GenrankError, match="plain: the events cannot be read: could not parse"):
        build_raw(RawTables(scan), monkeypatch)
    explained = RawTables(scan, explain=lambda said: data_error(f"line 5002: {said}"))
    with pytest.raises(GenrankError, match="line 5002: could not parse"):
        build_raw(explained, monkeypatch)
    with pytest.raises(GenrankError, match="plain: the events cannot be read"):
        build_raw(RawTables(scan.select("no_such_column")), monkeypatch)
    assert list(home.iterdir()) == []


def test_a_stream_that_loses_the_order_is_a_defect(
    build_tables: BuildTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = staging._canonical

    def shuffled(*arguments: Any) -> pl.LazyFrame:
        return whole(*arguments).sort("item")

    monkeypatch.setattr(staging, "_canonical", shuffled)
    with pytest.raises(RuntimeError, match="did not arrive in the order of the source"):
        build_tables(events())
