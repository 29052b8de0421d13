"""Own logs and cards with a flaw: it is named with its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card
from genrank_cli.data.sources.cells import Number
from genrank_cli.data.sources.scan import cast_frame
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.own import CARD, own_card, own_events, write_own
from tests.data.ownlog import WRITERS, build, log_card, refusal, write_log


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_own(tmp_path / "raw")


def test_a_bad_row_in_the_second_file_is_named_by_that_file(raw: Path, home: Path) -> None:
    for log, place in (("b.csv", "line 4"), ("b.parquet", "row 3")):
        suffix = log[1:]
        WRITERS[f"log{suffix}"](own_events(), raw / f"a{suffix}")
        bad = own_events().with_columns(clicked=pl.Series([0, 1, 5] + [0] * 9))
        WRITERS[f"log{suffix}"](bad, raw / log)
        error = refusal(raw, log_card(f"[ab]{suffix}"))
        assert error.message == f"{raw / log}, {place}: clicked 5 is outside 0 to 1"
        (raw / f"a{suffix}").unlink()


BAD = [
    ("user", "", "user is empty", "user '' is not a whole number"),
    ("user", "x1", None, "user 'x1' is not a whole number"),
    ("item", "1.5", None, "item '1.5' is not a whole number"),
    ("time", "", None, "time '' is not a number"),
    ("time", "-1", None, "time -1 is outside 1990 to 2100"),
    ("time", "9" * 30, None, "is outside 1990 to 2100"),
    ("clicked", "", None, "clicked '' is not a number"),
    ("clicked", "NaN", None, "clicked 'NaN' is not a number"),
    ("clicked", "2", None, "clicked 2 is outside 0 to 1"),
    ("clicked", "0.5", None, "clicked 0.5 is not a multiple of 1"),
    ("clicked", "true", None, "clicked 'true' is not a number"),
    ("rating", "inf", None, "rating 'inf' is not a number"),
    ("rating", "", None, "rating '' is not a number"),
    ("price", "cheap", None, "price 'cheap' is not a number"),
    ("price", "1e60", None, "price 1e60 is outside"),
]


@pytest.mark.parametrize(
    ("column", "value", "_", "reason"), BAD, ids=[f"{b[0]}-{b[1]}" for b in BAD]
)
@pytest.mark.parametrize("row", [0, 11])
@pytest.mark.parametrize("log", ["log.csv", "log.tsv", "log.csv.gz", "log.csv.zst"])
def test_a_bad_cell_is_named(
    column: str, value: str, _: object, reason: str, row: int, log: str, raw: Path, home: Path
) -> None:
    cells = [["" if cell is None else str(cell) for cell in own_events()[column].to_list()]]
    cells[0][row] = value
    frame = own_events().with_columns(pl.Series(column, cells[0]))
    WRITERS[log](frame, raw / log)
    # Twelve rows are all that the types are told from; in a long file 10,000 would be.
    types = {key: {"column": key, "type": "integer"} for key in ("user", "item")}
    error = refusal(raw, log_card(log, **types))
    assert error.message.startswith(f"{raw / log}, line {row + 2}: ")
    assert reason in error.message
    assert error.hint
    assert error.exit_code == ExitCode.DATA
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(
    ("column", "value", "dtype", "reason"),
    [
        ("user", None, pl.Int64, "user '' is not a whole number"),
        ("user", "", pl.String, "user is empty"),
        ("user", 1.5, pl.Float64, "user '1.5' is not a whole number"),
        ("item", 2**64 - 1, pl.UInt64, "item 18446744073709551615 is outside"),
        ("clicked", None, pl.Boolean, "clicked '' is not a number"),
        ("rating", float("nan"), pl.Float64, "rating 'nan' is not a number"),
        ("price", float("inf"), pl.Float64, "price 'inf' is not a number"),
    ],
)
def test_a_bad_value_of_parquet_is_named(
    column: str, value: Any, dtype: pl.DataType, reason: str, raw: Path, home: Path
) -> None:
    values = own_events()[column].cast(dtype, strict=False).to_list()
    values[4] = value
    write_log(raw, "log.parquet", **{column: pl.Series(column, values, dtype=dtype)})
    error = refusal(raw, log_card("log.parquet"))
    assert error.message.startswith(f"{raw / 'log.parquet'}, row 5: {reason}")


def test_ids_that_turn_into_text_late_name_the_remedy(
    raw: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrank_cli.data.sources.tablefile.SAMPLE", 5)
    write_log(raw, item=[*map(str, range(11)), "B00X"])
    error = refusal(raw, log_card())
    assert "item 'B00X' is not a whole number" in error.message
    assert 'item = { column = "item", type = "text" }' in error.message
    store = build(raw, log_card(item={"column": "item", "type": "text"}))
    assert "B00X" in store.items.ids.to_list()


@pytest.mark.parametrize("text", ["rating >= four", "note > 'a'"])
def test_a_test_that_cannot_be(text: str, raw: Path, home: Path) -> None:
    error = refusal(raw, log_card(actions={"click": text}))
    assert f"columns.actions.click: {text!r}: " in error.message
    assert "COLUMN >= NUMBER" in error.hint


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        ({"user": "usr"}, "columns.user: ", "did you mean 'user'?"),
        ({"user": "TODO"}, "columns.user is still TODO", "the columns are: user, item, time"),
        ({"context": ["colour"]}, "no column 'colour'; it has user, item", "correct the card"),
        ({"actions": {}}, "task 'click' has no label", "add click = "),
        ({"users": {"fields": ["city"]}}, "[files.users] and [columns.users] go together", ""),
    ],
)
def test_a_card_that_does_not_fit(
    changes: dict[str, Any], reason: str, hint: str, raw: Path, home: Path
) -> None:
    error = refusal(raw, log_card(**changes))
    assert reason in error.message
    assert hint in error.hint
    assert error.exit_code == ExitCode.DATA


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('item = "item"\n', 'item = "item"\nitm = "x"\n', "columns.itm: Extra inputs"),
        ('unit = "ms"', 'unit = "h"', "columns.timestamp.unit: Input should be 's'"),
        ('unit = "ms"', 'units = "ms"', "columns.timestamp.units: Extra inputs"),
        ('context = ["device"]', 'context = ["a-b"]', "columns.context.a-b"),
        ('path = "log.csv"', 'path = "a"\npaths = ["b"]', "files.events: give either path"),
        ("[files.items]", "[files.item]", "unknown table of card own: files 'item'"),
        ('path = "log.csv"', 'path = "log.txt"', "no file log.txt in"),
        ('path = "log.csv"', 'path = "day-*.csv"', "no file that matches 'day-*.csv' in"),
        ("[columns.users]", "[columns.people]", "columns.people: Extra inputs"),
        ('source = "table"', 'source = "movielens"', "columns belong to source 'table'"),
        ("like = ", '"li ke" = ', "columns.actions.li ke"),
    ],
)
def test_a_card_that_is_wrong(old: str, new: str, reason: str, raw: Path, home: Path) -> None:
    assert old in CARD
    (raw / "own.toml").write_text(CARD.replace(old, new, 1))
    with pytest.raises(GenrankError) as caught:
        build_store(load_card(raw / "own.toml"), raw)
    assert reason in caught.value.message
    assert caught.value.exit_code == ExitCode.DATA


def test_a_suffix_that_says_nothing(raw: Path, home: Path) -> None:
    (raw / "log.csv").rename(raw / "log.txt")
    error = refusal(raw, log_card("log.txt"))
    assert "its format is not known" in error.message
    assert "separator" in error.hint


def test_columns_that_stand_twice(raw: Path, home: Path) -> None:
    text = (raw / "log.csv").read_text()
    (raw / "log.csv").write_text(text.replace("note", "price", 1))
    assert "the column 'price' stands there twice" in refusal(raw, log_card()).message
    (raw / "log.csv").write_text(text.replace("note", "time ", 1))
    assert build(raw, log_card())  # an unused column may be called anything


def test_without_columns(raw: Path, home: Path) -> None:
    error = refusal(raw, own_card(columns=None))
    assert "source 'table' needs the section [columns]" in error.message
    assert "genrank data init" in error.hint


@pytest.mark.parametrize(
    ("table", "text", "reason"),
    [
        ("users.csv", "user,city,age\n3,x,old\n", "users.csv, line 2: age 'old' is not a number"),
        ("users.csv", "user,city,age\nme,x,1\n", "users.csv, line 2: user 'me' is not a whole"),
        (
            "users.csv",
            "user,city,age\n3,x\n",
            "line 2: expected 3 fields separated by ',', found 2",
        ),
        ("items.csv", "item,genre\n3,x\n", "no column 'genres'"),
        ("items.csv", 'item,genres\n3,"x\n', "items.csv, line 2: "),
        ("items.csv", "", "items.csv is empty"),
    ],
)
def test_side_tables_that_are_wrong(
    table: str, text: str, reason: str, raw: Path, home: Path
) -> None:
    (raw / table).write_text(text)
    assert reason in refusal(raw, own_card()).message


def test_a_cast_that_loses_something_is_refused() -> None:
    columns = [Number("a", missing=True), Number("b", missing=True, whole=True)]
    frame = pl.LazyFrame({"a": ["1.5", None, "x", "2"], "b": ["1", None, "2", "2.5"]})
    cast = cast_frame(frame, columns, dict.fromkeys("ab", pl.String())).collect()
    assert cast["refused"].to_list() == [False, False, True, True]
    assert cast["a"].to_list() == [1.5, None, None, 2.0]
