"""``genrank data init``: what it sees, what it guesses, and that its card builds."""

from __future__ import annotations

import gzip
import json
import os
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.data.card import FileSpec
from genrank_cli.data.init import look as looking
from genrank_cli.data.init.guess import guess, key_of, plain
from genrank_cli.errors import ExitCode
from tests.conftest import Cli
from tests.data.own import START, own_events, write_own


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of one's own, and the current one."""
    write_own(tmp_path / "here", ".parquet")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def roles(tmp_path: Path, **columns: Any) -> dict[str, tuple[str, object]]:
    """Role and value guessed for each column; of several guesses the last."""
    pl.DataFrame(columns).write_parquet(tmp_path / "x.parquet")
    found = looking.look([tmp_path / "x.parquet"], FileSpec(path="x.parquet"))
    return {guessed.seen.name: (guessed.role, guessed.value) for guessed in guess(found)}


TIMES = [START + row for row in range(8)]


@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("uid", [1, 2] * 4, "user"),
        ("userId", ["a", "b"] * 4, "user"),
        ("Customer ID", [1, 2] * 4, "user"),
        ("movieId", [1, 2] * 4, "item"),
        ("sku", ["a", "b"] * 4, "item"),
        ("video_id", [1, 2] * 4, "item"),
        ("request_id", list(range(8)), "request"),
        ("is_rand", [0, 1] * 4, "apart"),
        ("is_click", [0, 1] * 4, "action"),
        ("purchased", [True, False] * 4, "action"),
        ("watch_time", [0.5, 2.0] * 4, ""),
        ("weekend", [0, 1] * 4, ""),
        ("device", ["ios", "web"] * 4, "context"),
        ("hour", [3, 4, 5, 6] * 2, "context"),
        ("price", [row / 3 for row in range(8)], "number"),
        ("version", [1] * 8, ""),
        ("query_text", [f"q{row}" for row in range(8)], ""),
        ("payload", [b"x", b"y"] * 4, ""),
    ],
)
def test_roles(name: str, values: list[Any], role: str, tmp_path: Path) -> None:
    assert roles(tmp_path, **{name: values, "ts": TIMES})[name][0] == role


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (TIMES, {"column": "ts", "unit": "s"}),
        ([t * 1000 for t in TIMES], {"column": "ts", "unit": "ms"}),
        ([t * 10**6 for t in TIMES], {"column": "ts", "unit": "us"}),
        ([t * 10**9 for t in TIMES], {"column": "ts", "unit": "ns"}),
        (["2024-05-01 12:00:00"] * 4 + ["2024-05-02"] * 4, None),
        (list(range(8)), {"column": "ts", "unit": "s", "relative": True}),
    ],
)
def test_the_unit_of_time(values: list[Any], expected: Any, tmp_path: Path) -> None:
    found = roles(tmp_path, ts=values)["ts"]
    if expected is None:
        frame = pl.DataFrame({"ts": values})
        frame.write_csv(tmp_path / "x.csv")
        look = looking.look([tmp_path / "x.csv"], FileSpec(path="x.csv"))
        assert guess(look)[0].value == {"column": "ts", "unit": "iso"}
    else:
        assert found == ("timestamp", expected)


@pytest.mark.parametrize(
    ("name", "values", "value"),
    [
        ("rating", [1.0, 3.5, 5.0, 4.0] * 2, "rating >= 4"),
        ("score", [1, 10, 4, 6] * 2, "score >= 7"),
        ("clicked", ["yes", "no"] * 4, "clicked == 'yes'"),
        ("clicked", ["False", "True"] * 4, "clicked == 'True'"),
        ("event", ["view", "purchase"] * 4, "event == 'view'"),
    ],
)
def test_labels_become_tests(name: str, values: list[Any], value: str, tmp_path: Path) -> None:
    assert roles(tmp_path, **{name: values})[name] == ("action", value)


def test_names() -> None:
    assert [plain(name) for name in ("userId", "User ID", "USER")] == ["user_id", "user_id", "user"]
    assert [key_of(name) for name in ("a-b", "2nd", "é", "x__")] == ["a_b", "c_2nd", "", "x"]


def test_what_is_seen(tmp_path: Path) -> None:
    text = "n,t,z\n1.5,a|b,007\n,a,008\nNaN,,009\n-2,b|c,010\n"
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(text.encode()))
    found = looking.look([tmp_path / "x.csv.gz"], FileSpec(path="x"))
    number, words, zeros = found.columns
    assert (number.kind, number.low, number.high, number.distinct) == ("number", -2, 1.5, 2)
    assert (words.kind, words.distinct, words.missing, words.separated) == ("text", 3, 0.25, 2 / 3)
    assert (zeros.kind, found.rows, found.complete) == ("text", 4, True)


def test_a_large_file_is_sampled_and_that_is_said(
    here: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "ROWS", 5)
    outcome = cli("data", "init", "log.parquet", "--name", "mine", "--json")
    assert "Seen in the first 5 rows." in json.loads(outcome.out)["notes"]
    assert "from the first 5 rows" in (here / "mine.toml").read_text()


def test_the_card_builds_as_it_is(here: Path, home: Path, cli: Cli) -> None:
    sides = ("--users", "users.csv", "--items", "items.csv")
    outcome = cli("data", "init", "log.parquet", "--name", "mylog", *sides)
    assert outcome.code == 0
    assert "next: check it, then: genrank data build mylog" in outcome.err
    assert "milliseconds: 2024-05-01" in outcome.out
    card = tomllib.loads((here / "mylog.toml").read_text())
    assert card["columns"]["timestamp"] == {"column": "time", "unit": "ms"}
    assert card["columns"]["actions"] == {"clicked": "clicked", "like": "rating >= 4"}
    assert [task["name"] for task in card["tasks"]] == ["clicked"]
    assert card["columns"]["context"] == {"device": "device", "note": "note"}
    assert card["columns"]["items"]["fields"] == {"genres": {"column": "genres", "separator": "|"}}
    record = json.loads(cli("data", "build", "mylog", "--json").out)
    assert (record["events"], record["users"], record["items"]) == (12, 3, 6)
    again = json.loads(cli("data", "build", "mylog.toml", "--json").out)
    assert (again["name"], again["built"]) == ("mylog", "already")
    assert cli("data", "validate", "mylog").code == 0
    (here / "log.parquet").unlink()
    own_events().head(11).write_parquet(here / "log.parquet")
    changed = cli("data", "build", "mylog")
    assert changed.code == ExitCode.USAGE
    assert "was built from another log.parquet" in changed.err


def test_paths_start_at_the_folder_of_the_card(
    here: Path, home: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "cards").mkdir()
    assert (
        cli("data", "init", "log.parquet", "--card", "cards/mine.toml", "--name", "mine").code == 0
    )
    assert tomllib.loads((here / "cards" / "mine.toml").read_text())["files"]["events"] == {
        "path": "../log.parquet"
    }
    monkeypatch.chdir(os.sep)
    assert cli("data", "build", str(here / "cards" / "mine.toml")).code == 0


def test_several_files_are_listed(here: Path, home: Path, cli: Cli) -> None:
    own_events().head(6).write_csv(here / "a.csv")
    own_events().tail(6).write_csv(here / "b.csv")
    assert cli("data", "init", "a.csv", "b.csv", "--name", "both").code == 0
    assert tomllib.loads((here / "both.toml").read_text())["files"]["events"]["paths"] == [
        "a.csv",
        "b.csv",
    ]
    assert json.loads(cli("data", "build", "both", "--json").out)["events"] == 12


def test_what_is_not_found_is_to_do(here: Path, home: Path, cli: Cli) -> None:
    pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}).write_csv(here / "odd.csv")
    outcome = cli("data", "init", "odd.csv")
    assert outcome.code == 0
    for key in ("user", "item", "timestamp", "action"):
        assert f"TODO: no column looks like the {key}" in outcome.err
    built = cli("data", "build", "odd")
    assert built.code == ExitCode.DATA
    assert "odd: columns.user is still TODO on the card: which column is it?" in built.err
    assert "the columns are: a, b" in built.err
    assert not home.exists() or not list(home.iterdir())


def test_odd_names_are_written_so_that_they_are_read(here: Path, home: Path, cli: Cli) -> None:
    names = ['user"id', "item\\", "ts", "clicked\n", "é#", "a.b", "a b", "a\x7fb"]
    values = [[1, 2] * 4, [3, 4, 5, 6] * 2, TIMES, [0, 1] * 4, *[["x", "y"] * 4] * 4]
    frame = pl.DataFrame(dict(zip(names, values, strict=True)))
    frame.write_parquet(here / "odd.parquet")
    assert cli("data", "init", "odd.parquet").code == 0
    card = tomllib.loads((here / "odd.toml").read_text())
    assert card["columns"]["user"] == 'user"id'
    assert sorted(card["columns"]["context"].values()) == sorted(names[4:])


@pytest.mark.parametrize(
    ("arguments", "reason", "code"),
    [
        (["nofile.csv"], "nofile.csv: no such file", ExitCode.DATA),
        (["."], ".: is a folder", ExitCode.DATA),
        (["users.csv", "--name", "ml-1m"], "comes with genrank", ExitCode.USAGE),
        (["users.csv", "--name", "My Log"], "'My Log' is not a name", ExitCode.USAGE),
        (["users.csv", "--card", "card.txt"], "a card ends in .toml", ExitCode.USAGE),
        (["users.csv", "--card", "no/card.toml"], "the folder no does not exist", ExitCode.USAGE),
        (["users.csv", "-o", "no/table.md"], "the folder no does not exist", ExitCode.USAGE),
        (["old.csv"], "old.toml is there already", ExitCode.USAGE),
        (["empty.csv"], "empty.csv is empty", ExitCode.DATA),
        (["header.csv"], "has columns but no rows", ExitCode.DATA),
        (["log.xlsx"], "its format is not known", ExitCode.DATA),
        (["bad.parquet"], "bad.parquet cannot be read", ExitCode.DATA),
        (["utf16.csv"], "not UTF-8 text", ExitCode.DATA),
        (["log.parquet", "--items", "bad.parquet"], "bad.parquet cannot be read", ExitCode.DATA),
        (["log.parquet", "--items", "users.csv"], "looks like the id of the items", ExitCode.DATA),
        (["log.parquet", "users.csv"], "are not in the same format", ExitCode.DATA),
        (["log.parquet", "--json", "--format", "md"], "contradict each other", ExitCode.USAGE),
        ([], "Missing argument 'FILE...'", ExitCode.USAGE),
    ],
)
def test_refusals(arguments: list[str], reason: str, code: int, here: Path, cli: Cli) -> None:
    (here / "old.csv").write_text("a\n1\n")
    (here / "old.toml").write_text("mine")
    (here / "empty.csv").touch()
    (here / "header.csv").write_text("a,b\n")
    (here / "log.xlsx").write_text("a,b\n")
    (here / "bad.parquet").write_bytes(b"PAR1" + b"x" * 50 + b"PAR1")
    (here / "utf16.csv").write_text("user,item\n1,2\n", encoding="utf-16")
    before = sorted(here.iterdir())
    outcome = cli("data", "init", *arguments)
    assert outcome.code == code
    assert reason in outcome.err
    assert "hint: " in outcome.err
    assert outcome.out == ""
    assert sorted(here.iterdir()) == before
    assert (here / "old.toml").read_text() == "mine"


def test_force_replaces_a_card_and_a_dash_prints_it(here: Path, cli: Cli) -> None:
    (here / "log.toml").write_text("mine")
    printed = cli("data", "init", "log.parquet", "--card", "-")
    assert tomllib.loads(printed.out)["source"] == "table"
    assert (here / "log.toml").read_text() == "mine"
    assert cli("data", "init", "log.parquet", "--force").code == 0
    assert (here / "log.toml").read_text() == printed.out


def test_the_table_goes_where_that_of_every_command_goes(here: Path, cli: Cli) -> None:
    done = cli("data", "init", "log.parquet", "--name", "mine", "-o", "seen.csv")
    assert (done.code, done.out) == (0, "")
    assert (here / "seen.csv").read_text().startswith("column,")
    assert tomllib.loads((here / "mine.toml").read_text())["name"] == "mine"
