"""MovieLens layouts → events, and what a broken raw file is told."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.raw import FILES, WRITERS, movielens_card

LAYOUTS = ("100k", "1m", "csv")


def build(layout: str, raw: Path) -> Store:
    return build_store(movielens_card(layout), raw).store


@pytest.mark.parametrize("layout", LAYOUTS)
def test_events_of_each_layout(layout: str, home: Path, tmp_path: Path) -> None:
    store = build(layout, WRITERS[layout](tmp_path / "raw"))
    assert store.users.ids.to_list() == ["3", "7", "12"]
    assert store.items.ids.to_list() == ["10", "20", "30", "40", "50"]
    # user 3: 10 and 30 in one moment, then 20; user 7: 20 and 50 (in that order in the file), …
    assert store.column("user").tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert store.column("item").tolist() == [0, 2, 1, 1, 4, 0, 1, 3]
    assert store.column("request").tolist() == [0, 0, 1, 2, 2, 3, 4, 5]
    assert (np.diff(store.column("timestamp")[:3]) == [0, 50]).all()
    assert store.manifest.counts.dropped_items == 1
    half = 0.5 if layout == "csv" else 0.0
    ratings = np.array([4, 1, 3, 2, 4, 5, 2, 4]) - half
    assert store.column("task.like").tolist() == (ratings >= 4).astype(float).tolist()
    names = [f"rating_{rating:g}".replace(".", "_") for rating in ratings]
    bits = [1 << store.manifest.actions.index(name) for name in names]
    assert store.column("actions").tolist() == bits
    assert len(store.manifest.actions) == (10 if layout == "csv" else 5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_item_fields(layout: str, home: Path, tmp_path: Path) -> None:
    items = build(layout, WRITERS[layout](tmp_path / "raw")).items
    # Genres that occur among rated items, sorted, from 1; the unrated drama does not count.
    names = ["Action", "Animation", "Comedy", "Horror", "Romance", "Sci-Fi"]
    assert items.sizes == {"genres": 7, "year": 5}
    genres = [[names[code - 1] for code in row if code] for row in items.fields["genres"]]
    assert genres == [["Comedy", "Romance"], ["Action"], [], ["Horror", "Sci-Fi"], ["Animation"]]
    # 2000, 1995, none, 1975, 2005 in steps of five years
    assert items.fields["year"].tolist() == [3, 2, 0, 1, 4]


def test_user_fields_of_100k(home: Path, tmp_path: Path) -> None:
    store = build("100k", WRITERS["100k"](tmp_path / "raw"))
    assert store.users.fields["age"].tolist() == [2, 1, 3]  # 20s, 0s, 60s
    assert store.users.fields["gender"].tolist() == [2, 1, 1]
    assert store.users.fields["occupation"].tolist() == [1, 2, 1]
    assert store.manifest.counts.dropped_users == 1
    assert build("csv", WRITERS["csv"](tmp_path / "csv")).users.fields == {}


def test_like_threshold_is_an_option(home: Path, tmp_path: Path) -> None:
    raw = WRITERS["100k"](tmp_path / "raw")
    card = movielens_card("100k", options={"layout": "100k", "like_at": 5})
    assert build_store(card, raw).store.column("task.like").sum() == 1


def test_raw_dir_may_hold_the_files_or_a_folder_of_the_name(home: Path, tmp_path: Path) -> None:
    card = movielens_card("csv")
    WRITERS["csv"](tmp_path / "a" / "tiny-csv")
    WRITERS["csv"](tmp_path / "b")
    one = build_store(card, tmp_path / "a", "one").store
    two = build_store(card, tmp_path / "b", "two").store
    assert one.manifest.content_hash == two.manifest.content_hash


def test_line_ends_do_not_matter(home: Path, tmp_path: Path) -> None:
    from tests.data.raw import write_csv

    write_csv(tmp_path / "crlf", "\r\n")
    write_csv(tmp_path / "lf", "\n")
    hashes = {
        build_store(movielens_card("csv"), tmp_path / end, end).store.manifest.content_hash
        for end in ("crlf", "lf")
    }
    assert len(hashes) == 1


BAD_LINES = [
    ("1\t2\t3", "expected 4 fields separated by '\\t', found 3"),
    ("1\t2\t3\t1000000000\t5", "expected 4 fields separated by '\\t', found 5"),
    ("1\t2\tgood\t1000000000", "rating 'good' is not a number"),
    ("1\t2\tNaN\t1000000000", "rating 'NaN' is not a number"),
    ("1\t2\t\t1000000000", "rating '' is not a number"),
    ("1\t2\t6\t1000000000", "rating 6 is outside 1 to 5"),
    ("1\t2\t3.5\t1000000000", "rating 3.5 is not a multiple of 1"),
    ("x\t2\t3\t1000000000", "user 'x' is not a whole number"),
    ("-1\t2\t3\t1000000000", "user -1 is outside 0 to"),
    ("1\t2.5\t3\t1000000000", "item '2.5' is not a whole number"),
    ("1\t2\t3\t-5", "timestamp -5 is outside 631152000 to 4102444800 seconds"),
    ("1\t2\t3\t88125", "timestamp 88125 is outside"),
    ("1\t2\t3\t1000000000000", "looks like milliseconds, seconds are expected"),
    ("1\t2\t3\tinf", "timestamp 'inf' is not a number"),
    ("1\t2\t3\t\xff", "not UTF-8 text"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES, ids=[reason for _, reason in BAD_LINES])
@pytest.mark.parametrize("number", [1, 4, 9])
def test_bad_rating_is_named_by_file_line_and_reason(
    line: str, reason: str, number: int, home: Path, tmp_path: Path
) -> None:
    file = WRITERS["100k"](tmp_path / "raw") / "u.data"
    lines = file.read_bytes().splitlines()
    lines.insert(number - 1, line.encode("latin-1"))
    file.write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(GenrankError) as caught:
        build("100k", tmp_path / "raw")
    assert caught.value.message.startswith(f"{file}, line {number}: ")
    assert reason in caught.value.message
    assert caught.value.exit_code == ExitCode.DATA
    assert caught.value.hint
    assert not (home / "tiny-100k").exists()


@pytest.mark.parametrize(
    ("layout", "line", "reason"),
    [
        ("1m", "1::2::3", "expected 4 fields separated by '::', found 3"),
        ("1m", "1:2:3:1000000000", "expected 4 fields separated by '::', found 1"),
        ("1m", "1::2::0.5::1000000000", "rating 0.5 is outside 1 to 5"),
        ("csv", "1,2,0.3,1000000000", "rating 0.3 is outside 0.5 to 5"),
        ("csv", "1,2,3.3,1000000000", "rating 3.3 is not a multiple of 0.5"),
    ],
)
def test_bad_rating_in_other_layouts(
    layout: str, line: str, reason: str, home: Path, tmp_path: Path
) -> None:
    file = WRITERS[layout](tmp_path / "raw") / FILES[layout]["ratings"]
    with file.open("a") as stream:
        stream.write(line)
    number = len(file.read_text().splitlines())
    with pytest.raises(GenrankError, match=re.escape(f"line {number}: {reason}")):
        build(layout, tmp_path / "raw")


@pytest.mark.parametrize(
    ("layout", "key", "text", "reason"),
    [
        ("100k", "items", "1|Up (2009)|x\n", "u.item, line 7: expected 24 fields, found 3"),
        ("100k", "users", "x|30|M|artist|0\n", "u.user, line 5: user 'x' is not a whole number"),
        ("100k", "users", "1|old|M|artist|0\n", "u.user, line 5: age 'old' is not a whole"),
        ("1m", "items", "1::Up (2009)\n", "movies.dat, line 7: expected 3 fields, found 2"),
        ("csv", "items", "1,Up, Again,Drama\n", "movies.csv, line 8: expected 3 fields, found 4"),
        ("csv", "items", '1,"Up" x,Drama\n', "movies.csv, line 8: "),
        ("csv", "items", "10,Again,Drama\n", "item 10 is listed twice"),
    ],
)
def test_bad_side_table_is_named(
    layout: str, key: str, text: str, reason: str, home: Path, tmp_path: Path
) -> None:
    file = WRITERS[layout](tmp_path / "raw") / FILES[layout][key]
    with file.open("a") as stream:
        stream.write(text)
    with pytest.raises(GenrankError, match=re.escape(reason)):
        build(layout, tmp_path / "raw")


def test_side_table_that_is_not_utf8(home: Path, tmp_path: Path) -> None:
    raw = WRITERS["csv"](tmp_path / "raw")
    with (raw / "movies.csv").open("ab") as stream:
        stream.write(b"70,Am\xe9lie,Drama\n")
    with pytest.raises(GenrankError, match=r"movies.csv, line 8: not UTF-8 text"):
        build("csv", raw)


def test_wrong_header(home: Path, tmp_path: Path) -> None:
    raw = WRITERS["csv"](tmp_path / "raw")
    text = (raw / "ratings.csv").read_text()
    (raw / "ratings.csv").write_text(text.replace("userId", "user"))
    with pytest.raises(GenrankError, match=r"line 1: expected the header 'userId,movieId"):
        build("csv", raw)


def test_missing_file_is_named_with_the_places_looked_at(home: Path, tmp_path: Path) -> None:
    raw = WRITERS["100k"](tmp_path / "raw")
    (raw / "u.item").unlink()
    with pytest.raises(GenrankError, match=r"no file u\.item in .*raw or .*raw/tiny-100k") as found:
        build("100k", raw)
    assert "--raw-dir" in found.value.hint


def test_empty_file(home: Path, tmp_path: Path) -> None:
    raw = WRITERS["100k"](tmp_path / "raw")
    (raw / "u.data").write_text("")
    with pytest.raises(GenrankError, match=r"u\.data is empty"):
        build("100k", raw)


def test_ratings_of_one_class(home: Path, tmp_path: Path) -> None:
    raw = WRITERS["100k"](tmp_path / "raw")
    text = (raw / "u.data").read_text()
    (raw / "u.data").write_text(re.sub(r"\t[1-5]\t(?=1)", "\t5\t", text))
    with pytest.raises(GenrankError, match="task like has only one class: every label is 1"):
        build("100k", raw)


def test_unknown_option_lists_the_known(home: Path, tmp_path: Path) -> None:
    card = movielens_card("100k", options={"layout": "100k", "users": 5})
    with pytest.raises(GenrankError, match=r"options of dataset tiny-100k: users: Extra") as found:
        build_store(card, WRITERS["100k"](tmp_path / "raw"))
    assert found.value.hint == "options of source 'movielens': layout, like_at"
    assert found.value.exit_code == ExitCode.USAGE
