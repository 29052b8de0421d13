"""Own logs: the same store from every format, and a named reason for everything that is wrong."""

from __future__ import annotations

import gzip
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.data.mapping import Rule
from genrank_cli.data.sources.cells import Number
from genrank_cli.data.sources.scan import cast_frame
from genrank_cli.data.sources.table import read
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.conftest import REPOSITORY
from tests.data.own import CARD, START, own_card, own_events, write_own
from tests.data.test_fuzz import zstd

WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "log.csv": lambda frame, path: frame.write_csv(path),
    "log.tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "log.parquet": lambda frame, path: frame.write_parquet(path),
    "log.csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
    "log.csv.zst": lambda frame, path: path.write_bytes(zstd(frame.write_csv().encode())),
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_own(tmp_path / "raw")


def build(raw: Path, card: Card | None = None, name: str | None = None) -> Store:
    return build_store(card or own_card(), raw, name).store


def columns(**changes: Any) -> dict[str, Any]:
    """``[columns]`` of the card with some keys replaced, without the side tables."""
    given = own_card().model_dump(exclude_none=True)["columns"]
    return {key: value for key, value in given.items() if key not in ("users", "items")} | changes


def log_card(log: str = "log.csv", sections: dict[str, Any] | None = None, **changes: Any) -> Card:
    """A card for the log alone; ``changes`` are those of ``[columns]``."""
    sections = sections or {}
    return own_card(
        **({"files": {"events": {"path": log}}, "columns": columns(**changes)} | sections)
    )


def refusal(raw: Path, card: Card) -> GenrankError:
    with pytest.raises(GenrankError) as caught:
        build_store(card, raw, force=True)
    return caught.value


def write_log(raw: Path, log: str = "log.csv", **values: Any) -> pl.DataFrame:
    """The log with whole columns replaced."""
    frame = own_events().with_columns(pl.Series(name, cells) for name, cells in values.items())
    WRITERS[log](frame, raw / log)
    return frame


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


def test_a_bad_row_in_the_second_file_is_named_by_that_file(raw: Path, home: Path) -> None:
    for log, place in (("b.csv", "line 4"), ("b.parquet", "row 3")):
        suffix = log[1:]
        WRITERS[f"log{suffix}"](own_events(), raw / f"a{suffix}")
        bad = own_events().with_columns(clicked=pl.Series([0, 1, 5] + [0] * 9))
        WRITERS[f"log{suffix}"](bad, raw / log)
        error = refusal(raw, log_card(f"[ab]{suffix}"))
        assert error.message == f"{raw / log}, {place}: clicked 5 is outside 0 to 1"
        (raw / f"a{suffix}").unlink()


SECONDS = [START + 30 * row for row in range(12)]
MOMENTS = pl.Series(SECONDS).cast(pl.Int64) * 1_000_000
TIMES: list[tuple[str, dict[str, Any], Any]] = [
    ("s", {}, SECONDS),
    ("s-fraction", {"unit": "s"}, [second + 0.125 for second in SECONDS]),
    ("ms", {"unit": "ms"}, [second * 1000 + 1 for second in SECONDS]),
    ("us", {"unit": "us"}, [second * 10**6 for second in SECONDS]),
    ("ns", {"unit": "ns"}, [second * 10**9 for second in SECONDS]),
    ("iso", {"unit": "iso"}, MOMENTS.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S")),
    ("iso-zone", {"unit": "iso"}, MOMENTS.cast(pl.Datetime("us")).dt.strftime("%F %T+00:00")),
    (
        "iso-shift",
        {"unit": "iso"},
        (MOMENTS + 7200 * 10**6).cast(pl.Datetime("us")).dt.strftime("%FT%T+0200"),
    ),
    (
        "format",
        {"format": "%d.%m.%y %T"},
        MOMENTS.cast(pl.Datetime("us")).dt.strftime("%d.%m.%y %T"),
    ),
    ("relative", {"relative": True}, [row * 30 for row in range(12)]),
]


@pytest.mark.parametrize(("spec", "times"), [t[1:] for t in TIMES], ids=[t[0] for t in TIMES])
@pytest.mark.parametrize("log", ["log.csv", "log.parquet"])
def test_units_of_time(log: str, spec: dict[str, Any], times: Any, raw: Path, home: Path) -> None:
    write_log(raw, log, time=times)
    store = build(raw, log_card(log, timestamp={"column": "time"} | spec))
    shift = {"s-fraction": 0.125, "ms": 0.001}
    first = store.manifest.time.first
    expected = 0 if spec.get("relative") else START
    name = next(name for name, known, values in TIMES if known == spec and values is times)
    assert first == expected + shift.get(name, 0.0)
    assert store.manifest.time.last - first == 330


@pytest.mark.parametrize(
    "dtype", [pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us", "Asia/Tokyo")]
)
def test_times_of_parquet(dtype: pl.DataType, raw: Path, home: Path) -> None:
    write_log(raw, "log.parquet", time=MOMENTS.cast(pl.Datetime("us", "UTC")).cast(dtype))
    assert build(raw, log_card("log.parquet", timestamp="time")).manifest.time.first == START


@pytest.mark.parametrize("log", ["log.csv", "log.parquet"])
@pytest.mark.parametrize(
    ("spec", "times", "reason"),
    [
        ({}, [s * 1000 for s in SECONDS], 'looks like milliseconds: write unit = "ms"'),
        ({"unit": "ms"}, SECONDS, 'looks like seconds: write unit = "s"'),
        ({"unit": "s"}, [s * 10**9 for s in SECONDS], 'looks like nanoseconds: write unit = "ns"'),
        ({}, list(range(12)), "write relative = true"),
        ({}, [-5, *SECONDS[1:]], "time -5 is outside 1990 to 2100 in seconds"),
        ({}, [float("nan"), *SECONDS[1:]], "time 'nan' is not a number"),
        (
            {"unit": "iso"},
            ["2024-13-01", *["2024-05-01"] * 11],
            "'2024-13-01' is not a date and time",
        ),
        ({"unit": "iso"}, ["1824-01-01", *["2024-05-01"] * 11], "is not between 1990 and 2100"),
        ({"format": "%d.%m.%Y %T"}, ["1"] * 12, "of the form %d.%m.%Y %T"),
    ],
)
def test_wrong_times(
    spec: dict[str, Any], times: list[Any], reason: str, log: str, raw: Path, home: Path
) -> None:
    write_log(raw, log, time=times)
    error = refusal(raw, log_card(log, timestamp={"column": "time"} | spec))
    assert reason in error.message.replace("NaN", "nan")
    assert re.match(rf"{re.escape(str(raw / log))}, (line 2|row 1): time", error.message)
    assert error.exit_code == ExitCode.DATA


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "holds text, not seconds"),
        ({"unit": "ms"}, "time '2024-05-01' is not a number"),
    ],
)
def test_time_that_is_text(spec: dict[str, Any], reason: str, raw: Path, home: Path) -> None:
    write_log(raw, time=["2024-05-01"] * 12)
    assert reason in refusal(raw, log_card(timestamp={"column": "time"} | spec)).message


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"unit": "ms", "format": "%Y"}, "a format belongs to text"),
        ({"unit": "iso", "relative": True}, "a date is not relative"),
    ],
)
def test_time_that_contradicts_itself(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        log_card(timestamp={"column": "time"} | spec)


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


def test_the_log_is_not_read_before_the_build(raw: Path) -> None:
    write_log(raw, price=["1"] * 11 + ["cheap"])
    tables = read(log_card(), raw)
    assert tables.explain is not None
    assert "line 13: price 'cheap'" in tables.explain("x").message


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


@pytest.mark.parametrize("text", ["rating >= four", "note > 'a'"])
def test_a_test_that_cannot_be(text: str, raw: Path, home: Path) -> None:
    error = refusal(raw, log_card(actions={"click": text}))
    assert f"columns.actions.click: {text!r}: " in error.message
    assert "COLUMN >= NUMBER" in error.hint


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


@pytest.mark.parametrize("log", ["log.csv", "log.parquet"])
def test_nan_is_a_missing_number(log: str, raw: Path, home: Path) -> None:
    prices = [float("nan"), None, *range(10)]
    write_log(raw, log, price=pl.Series(prices, dtype=pl.Float64))
    assert np.isnan(build(raw, log_card(log)).column("number.price")).sum() == 2


def test_a_cast_that_loses_something_is_refused() -> None:
    columns = [Number("a", missing=True), Number("b", missing=True, whole=True)]
    frame = pl.LazyFrame({"a": ["1.5", None, "x", "2"], "b": ["1", None, "2", "2.5"]})
    cast = cast_frame(frame, columns, dict.fromkeys("ab", pl.String())).collect()
    assert cast["refused"].to_list() == [False, False, True, True]
    assert cast["a"].to_list() == [1.5, None, None, 2.0]


def test_the_card_of_the_document_is_valid() -> None:
    text = (REPOSITORY / "docs" / "own-data.md").read_text()
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.S)
    head = 'name = "x"\nversion = 1\ntitle = ""\ndescription = ""\nlicence = ""\nsource = "table"\n'
    card = Card.model_validate(tomllib.loads(head + block) | {"split": {"name": "temporal"}})
    assert card.columns is not None
    assert card.columns.timestamp.unit == "ms"
