"""Own logs: the same store from every format, and what their columns mean."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrank_cli.data.card import Card
from genrank_cli.data.mapping import Rule
from genrank_cli.data.sources.table import read
from tests.conftest import REPOSITORY
from tests.data.own import own_card, own_events, write_own
from tests.data.ownlog import SECONDS, WRITERS, build, columns, log_card, refusal, write_log


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_own(tmp_path / "raw")


@pytest.mark.parametrize("log", WRITERS)
def test_every_format_gives_the_same_store(log: str, raw: Path, home: Path) -> None:
    WRITERS[log](own_events(), raw / log)
    store = build(raw, own_card(log))
    rows = sorted(
        enumerate(own_events().iter_rows(named=True)),
        key=lambda pair: (pair[1]["user"], pair[1]["time"], pair[0]),
    )
    events = [row for _, row in rows]
    assert store.column("timestamp").tolist() == [event["time"] / 1000 for event in events]
    assert [store.users.ids[int(code)] for code in store.column("user")] == [
        str(event["user"]) for event in events
    ]
    assert [store.items.ids[int(code)] for code in store.column("item")] == [
        str(event["item"]) for event in events
    ]
    masks = [event["clicked"] + 2 * (event["rating"] >= 4) for event in events]
    assert store.manifest.actions == ["click", "like"]
    assert store.column("actions").tolist() == masks
    assert store.column("task.click").tolist() == [event["clicked"] for event in events]
    assert store.column("task.stars").tolist() == [event["rating"] for event in events]
    devices = {None: 0, "ios": 1, "web, old": 2}
    assert store.column("context.device").tolist() == [devices[event["device"]] for event in events]
    prices = [np.nan if event["price"] is None else event["price"] for event in events]
    np.testing.assert_array_equal(store.column("number.price"), np.array(prices, np.float32))


def test_side_tables(raw: Path, home: Path) -> None:
    store = build(raw)
    assert store.users.ids.to_list() == ["3", "7", "12"]
    assert store.users.fields["city"].tolist() == [1, 2, 0]  # Bonn, Köln, not listed
    np.testing.assert_array_equal(store.users.numbers["age"], [31, np.nan, np.nan])
    assert store.items.ids.to_list() == ["10", "20", "30", "40", "50", "60"]
    genres = store.items.fields["genres"]  # a, b, c are 1, 2, 3; 50 and 60 are not listed
    assert [sorted({*row} - {0}) for row in genres.tolist()] == [[1, 2], [], [2, 3], [1], [], []]
    counts = store.manifest.counts
    assert (counts.dropped_users, counts.dropped_items) == (1, 1)
    assert (counts.unlisted_users, counts.unlisted_items) == (1, 2)


@pytest.mark.parametrize("spec", [{"path": "day-*.csv"}, {"paths": ["day-1.csv", "day-2.csv"]}])
def test_several_files(spec: dict[str, Any], raw: Path, home: Path) -> None:
    events = own_events()
    events[:5].write_csv(raw / "day-1.csv")
    events[5:].write_csv(raw / "day-2.csv")
    files = own_card().model_dump()["files"] | {"events": spec}
    both = build(raw, own_card(files=files), "both").manifest
    assert both.content_hash == build(raw, name="one").manifest.content_hash
    assert {"events: day-1.csv", "events: day-2.csv"} <= set(both.sources)
    events[:1].select(pl.exclude("note")).write_csv(raw / "day-2.csv")
    error = refusal(raw, own_card(files=files))
    assert f"{raw / 'day-2.csv'}, line 1: not the columns of the first file" in error.message


def test_the_log_is_not_read_before_the_build(raw: Path) -> None:
    write_log(raw, price=["1"] * 11 + ["cheap"])
    tables = read(log_card(), raw)
    assert tables.explain is not None
    assert "line 13: price 'cheap'" in tables.explain("x").message


def test_ids_with_leading_zeros_are_text(raw: Path, home: Path) -> None:
    write_log(raw, user=["007", "7"] * 6)
    assert build(raw, log_card()).users.ids.to_list() == ["007", "7"]


def test_float_ids_and_categories_of_parquet(raw: Path, home: Path) -> None:
    frame = own_events().with_columns(
        pl.col("user").cast(pl.Float64), pl.col("device").cast(pl.Categorical)
    )
    frame.write_parquet(raw / "log.parquet")
    store = build(raw, log_card("log.parquet"))
    assert store.users.ids.to_list() == ["3", "7", "12"]
    assert store.manifest.context == {"device": 3}


def test_lists_of_parquet_are_several_categories(raw: Path, home: Path) -> None:
    items = pl.DataFrame({"item": [10, 20, 30], "tags": [["a", "b"], [], ["b", None]]})
    items.write_parquet(raw / "items.parquet")
    given = columns(items={"fields": ["tags"]})
    files = {"events": {"path": "log.csv"}, "items": {"path": "items.parquet"}}
    tags = build(raw, own_card(columns=given, files=files)).items.fields["tags"].tolist()
    assert [sorted({*row} - {0}) for row in tags] == [[1, 2], [], [2], [], [], []]
    given = columns(context=["tags"])
    items.rename({"item": "user"}).write_parquet(raw / "log.parquet")
    error = refusal(raw, own_card(columns=given, files={"events": {"path": "log.parquet"}}))
    assert "no column 'item'" in error.message


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("rating >= 4", [0, 0, 0, 1, 1]),
        ("rating>3", [0, 0, 0, 1, 1]),
        ("rating < 2.5", [1, 1, 0, 0, 0]),
        ("rating <= 2", [1, 1, 0, 0, 0]),
        ("rating == 3", [0, 0, 1, 0, 0]),
        ("rating != 3", [1, 1, 0, 1, 1]),
        ("note == 'a'", [0, 1, 0, 0, 1]),
        ('note != "a"', [1, 0, 1, 1, 0]),
    ],
)
def test_labels_by_a_test(rule: str, expected: list[int], raw: Path, home: Path) -> None:
    write_log(raw, note=["x", "a", "b"] * 4)
    tables = read(log_card(actions={"click": rule}, tasks={"stars": "rating"}), raw)
    assert tables.events.collect()["action.click"].to_list()[:5] == expected


def test_a_column_whose_name_looks_like_a_test(raw: Path, home: Path) -> None:
    own_events().rename({"clicked": "p > 1"}).write_csv(raw / "log.csv")
    store = build(raw, log_card(actions={"click": "p > 1"}))
    assert store.column("task.click").sum() == 4


def test_rules_are_parsed_only_where_they_are_no_column() -> None:
    assert Rule(text="a >= 1").parse(["a"]) == ("a", ">=", 1.0)
    assert Rule(text="a >= 1").parse(["a >= 1"]) == ("a >= 1", None, 0.0)
    assert Rule(text="a b == 'c d'").parse([]) == ("a b", "==", "c d")


def test_requests_by_a_column(raw: Path, home: Path) -> None:
    write_log(raw, page=[row // 2 for row in range(12)], time=[1000 * s for s in SECONDS])
    card = log_card(request="page", sections={"requests": {"rule": "column"}})
    pairs = {
        (event["user"], row // 2) for row, event in enumerate(own_events().iter_rows(named=True))
    }
    assert build(raw, card).manifest.counts.requests == len(pairs)
    error = refusal(raw, log_card(sections={"requests": {"rule": "column"}}))
    assert "[columns] names no request" in error.message


def test_events_apart(raw: Path, home: Path) -> None:
    write_log(raw, shown=["random"] * 3 + ["ranked"] * 9)
    store = build(raw, log_card(apart="shown == 'random'"))
    assert store.column("apart").sum() == 3


def test_a_text_file_without_header(raw: Path, home: Path) -> None:
    own_events().write_csv(raw / "log.data", separator=";", include_header=False)
    spec = {"path": "log.data", "separator": ";", "names": own_events().columns}
    files = own_card().model_dump()["files"]
    plain = build(raw, name="plain").manifest.content_hash
    assert build(raw, own_card(files=files | {"events": spec})).manifest.content_hash == plain
    (raw / "log.data").write_text("1;2\n")
    error = refusal(raw, own_card(files=files | {"events": spec}))
    assert "log.data, line 1: expected 8 fields separated by ';', found 2" in error.message


@pytest.mark.parametrize("log", ["log.csv", "log.parquet"])
def test_nan_is_a_missing_number(log: str, raw: Path, home: Path) -> None:
    prices = [float("nan"), None, *range(10)]
    write_log(raw, log, price=pl.Series(prices, dtype=pl.Float64))
    assert np.isnan(build(raw, log_card(log)).column("number.price")).sum() == 2


def test_the_card_of_the_document_is_valid() -> None:
    text = (REPOSITORY / "docs" / "own-data.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    head = 'name = "x"\nversion = 1\ntitle = ""\ndescription = ""\nlicence = ""\nsource = "table"\n'
    card = Card.model_validate(tomllib.loads(head + block) | {"split": {"name": "temporal"}})
    assert card.columns is not None
    assert card.columns.timestamp.unit == "ms"
