"""Rows that are too short, blank, or listed twice; one pass where nothing is wrong."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.sources import scan
from genrank_cli.data.sources.widths import blank_end, uneven
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.own import own_card, own_events, write_own
from tests.data.test_fuzz import zstd


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_own(tmp_path / "raw")


def refusal(raw: Path, log: str = "log.csv", **changes: Any) -> GenrankError:
    with pytest.raises(GenrankError) as caught:
        build_store(own_card(log, **changes), raw, force=True)
    assert caught.value.exit_code == ExitCode.DATA
    return caught.value


def shortened(text: str, line: int, cells: int) -> str:
    """``text`` with ``cells`` cells less in a line, counted from 1."""
    lines = text.split("\n")
    lines[line - 1] = lines[line - 1].rsplit(",", cells)[0]
    return "\n".join(lines)


def pack(text: str, path: Path) -> None:
    packed = {".gz": gzip.compress, ".zst": zstd}.get(path.suffix, bytes)
    path.write_bytes(packed(text.encode()))


@pytest.mark.parametrize("log", ["log.csv", "log.csv.gz", "log.csv.zst"])
@pytest.mark.parametrize("line", [2, 3, 13])
@pytest.mark.parametrize("cells", [1, 2])  # the note, which is not read; the price, which is
def test_a_short_row_of_the_log_is_named(
    cells: int, line: int, log: str, raw: Path, home: Path
) -> None:
    text = own_events().with_columns(device=pl.lit("ios")).write_csv()
    pack(shortened(text, line, cells), raw / log)
    expected = f"{raw / log}, line {line}: expected 8 fields separated by ',', found {8 - cells}"
    assert refusal(raw, log).message == expected
    assert not list(home.iterdir())


def test_a_short_row_of_a_later_file_is_named(raw: Path, home: Path) -> None:
    text = own_events().write_csv()
    (raw / "a.csv").write_text(text)
    (raw / "b.csv").write_text(shortened(text, 5, 1))
    assert refusal(raw, "[ab].csv").message.startswith(f"{raw / 'b.csv'}, line 5: expected 8 ")


@pytest.mark.parametrize(
    ("table", "text", "line"),
    [("users.csv", "user,city,age\n3,x,1\n7,y\n", 3), ("items.csv", "item,genres\n10\n20,a\n", 2)],
)
def test_a_short_row_of_a_side_table_is_named(
    table: str, text: str, line: int, raw: Path, home: Path
) -> None:
    (raw / table).write_text(text)
    assert f"{table}, line {line}: expected " in refusal(raw).message


def test_empty_cells_and_quotes_at_the_end_are_no_short_rows(raw: Path, home: Path) -> None:
    notes = ["", 'a,"b"', "c\nd", None] * 3
    own_events().with_columns(note=pl.Series(notes)).write_csv(raw / "log.csv")
    assert build_store(own_card(), raw).store.manifest.counts.events == 12


def test_a_log_whose_last_cells_are_filled_is_read_once(
    raw: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(scan, "uneven", lambda path, *_: checked.append(path))
    own_events().with_columns(note=pl.lit("x")).write_csv(raw / "log.csv")
    build_store(own_card(), raw)
    assert raw / "log.csv" not in checked
    own_events().with_columns(note=pl.lit(None, pl.String)).write_csv(raw / "log.csv")
    build_store(own_card(), raw, force=True)
    assert checked.count(raw / "log.csv") == 1


def test_uneven_by_separator_and_quotes(tmp_path: Path) -> None:
    file = tmp_path / "x"
    for text, separator, quoted, expected in (
        ("a;b\n1;2\n", ";", True, False),
        ("a;b\n1\n", ";", True, True),
        ('a;b\n";";2\n', ";", True, False),
        ('a;b\n";";2\n', ";", False, True),
        ("a::b\n1::2\n", "::", False, False),
    ):
        file.write_text(text)
        assert uneven(file, 2, separator, quoted) == expected


@pytest.mark.parametrize("end", ["\n", "\n\n\n", "\r\n\r\n"])
def test_blank_lines_at_the_end_are_left_out(end: str, raw: Path, home: Path) -> None:
    plain = build_store(own_card(), raw, "plain").store.manifest.content_hash
    for table in ("log.csv", "users.csv", "items.csv"):
        with (raw / table).open("a", newline="") as file:
            file.write(end)
    assert build_store(own_card(), raw).store.manifest.content_hash == plain
    own_events()[:6].write_csv(raw / "a.csv")
    own_events()[6:].write_csv(raw / "b.csv")
    for table in ("a.csv", "b.csv"):
        with (raw / table).open("a", newline="") as file:
            file.write(end)
    assert build_store(own_card("[ab].csv"), raw, "two").store.manifest.content_hash == plain


def test_a_row_of_commas_at_the_end_is_not_left_out(raw: Path, home: Path) -> None:
    with (raw / "log.csv").open("a") as file:
        file.write(",,,,,,,\n\n")
    assert "line 14: user '' is not a whole number" in refusal(raw).message


@pytest.mark.parametrize("log", ["log.csv", "log.csv.gz"])
def test_a_blank_line_between_others_is_named(log: str, raw: Path, home: Path) -> None:
    text = own_events().write_csv().split("\n")
    pack("\n".join([*text[:4], "", "", *text[4:]]), raw / log)
    assert refusal(raw, log).message == f"{raw / log}, line 5: a blank line"


def test_blank_lines_are_counted_from_the_end(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    for text, expected in (("", 0), ("a", 0), ("a\n", 0), ("a\n\n", 1), ("a\n \n", 0)):
        file.write_text(text)
        assert blank_end(file) == expected
    file.write_bytes(b"a\r\n\r\n\r\n")
    assert blank_end(file) == 2


def test_an_id_that_is_listed_twice_is_named_with_both_places(raw: Path, home: Path) -> None:
    (raw / "items.csv").write_text('item,genres\n10,"a\nb"\n20,a\n30,\n20,b\n')
    message = refusal(raw).message
    assert message == (
        f"{raw / 'items.csv'}, line 6: item 20 is listed twice; before in "
        f"{raw / 'items.csv'}, line 4"
    )
    files = own_card().model_dump()["files"] | {"items": {"path": "items-*.parquet"}}
    for part, ids in enumerate(([10, 20], [30, 10])):
        frame = pl.DataFrame({"item": ids, "genres": ["a", "b"]})
        frame.write_parquet(raw / f"items-{part}.parquet")
    message = refusal(raw, files=files).message
    assert message.startswith(f"{raw / 'items-1.parquet'}, row 2: item 10 is listed twice; before")
    assert message.endswith(f"{raw / 'items-0.parquet'}, row 1")


def test_files_of_one_name_in_two_folders_are_told_apart(raw: Path, home: Path) -> None:
    for day, part in ((1, own_events()[:6]), (2, own_events()[6:])):
        (raw / f"d{day}").mkdir()
        part.write_csv(raw / f"d{day}" / "part-0.csv")
    card = own_card("d*/part-0.csv")
    sources = build_store(card, raw).store.manifest.sources
    assert {f"events: d{day}/part-0.csv" for day in (1, 2)} <= set(sources)
    assert not build_store(card, raw).fresh
    own_events()[:5].write_csv(raw / "d1" / "part-0.csv")
    with pytest.raises(GenrankError, match=r"was built from another events: d1/part-0\.csv"):
        build_store(card, raw)
    own_events()[:6].write_csv(raw / "d1" / "part-0.csv")
    (raw / "d0").mkdir()
    own_events()[:1].write_csv(raw / "d0" / "part-0.csv")
    with pytest.raises(GenrankError, match=r"was built from another events: d0/part-0\.csv"):
        build_store(card, raw)


def test_lines_are_counted_by_the_separator_of_the_file(
    raw: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[object, ...]] = []
    monkeypatch.setattr(scan, "uneven", lambda *given: asked.append(given))
    events = own_events().with_columns(note=pl.lit(None, pl.String))
    events.write_csv(raw / "log.csv", separator=";")
    files = own_card().model_dump()["files"] | {"events": {"path": "log.csv", "separator": ";"}}
    build_store(own_card(files=files), raw)
    assert asked[-1] == (raw / "log.csv", 8, ";", True)
