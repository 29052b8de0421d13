"""``genrank data init`` on logs with a flaw: it is named, and does not turn the guesses over."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.errors import ExitCode
from tests.conftest import Cli
from tests.data.own import START

ROWS = 40


@pytest.fixture
def here(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def log(**changes: Any) -> pl.DataFrame:
    columns = {
        "user": [row % 4 for row in range(ROWS)],
        "item": [row % 9 for row in range(ROWS)],
        "time": [START + 60 * row for row in range(ROWS)],
        "click": [row % 2 for row in range(ROWS)],
    }
    return pl.DataFrame(columns | changes)


def columns_of(card: str) -> dict[str, Any]:
    columns: dict[str, Any] = tomllib.loads(Path(card).read_text())["columns"]
    return columns


def test_blank_lines_at_the_end_do_not_matter(here: Path, cli: Cli) -> None:
    (here / "x.csv").write_text(log().write_csv() + "\n\n")
    outcome = cli("data", "init", "x.csv")
    assert "TODO" not in outcome.err
    assert columns_of("x.toml")["actions"] == {"click": "click"}
    assert json.loads(cli("data", "build", "x", "--json").out)["events"] == ROWS


def test_a_blank_line_between_others_is_refused(here: Path, cli: Cli) -> None:
    lines = log().write_csv().split("\n")
    (here / "x.csv").write_text("\n".join([*lines[:7], "", *lines[7:]]))
    outcome = cli("data", "init", "x.csv")
    assert outcome.code == ExitCode.DATA
    assert "x.csv, line 8: a blank line" in outcome.err
    assert not (here / "x.toml").exists()


def test_an_empty_label_is_the_reason(here: Path, cli: Cli) -> None:
    clicks = [None if row == 6 else row % 2 for row in range(ROWS)]
    log(click=clicks).write_csv(here / "x.csv")
    outcome = cli("data", "init", "x.csv")
    reason = "'click' may be it, but 1 of 40 cells are empty, the first in row 7"
    assert f"TODO: no column looks like the action ({reason}): fill it in" in outcome.err
    assert "context" not in columns_of("x.toml")  # a label among the context gives itself away


@pytest.mark.parametrize(
    ("changes", "role", "reason"),
    [
        ({"user": [None, *range(1, ROWS)]}, "user", "1 of 40 cells are empty, the first in row 1"),
        ({"item": [5] * ROWS}, "item", "it has one value only"),
        ({"time": ["soon", "late"] * (ROWS // 2)}, "timestamp", "it holds text values such as"),
        ({"click": [row % 3 for row in range(ROWS)]}, "action", "it is not 0 or 1: write a test"),
    ],
)
def test_what_is_in_the_way(
    changes: dict[str, Any], role: str, reason: str, here: Path, cli: Cli
) -> None:
    log(**changes).write_parquet(here / "x.parquet")
    outcome = cli("data", "init", "x.parquet")
    assert f"TODO: no column looks like the {role} (" in outcome.err
    assert reason in outcome.err


@pytest.mark.parametrize(("separator", "given", "shown"), [(";", ";", ";"), ("\t", "tab", "tab")])
def test_another_separator_is_named(
    separator: str, given: str, shown: str, here: Path, cli: Cli
) -> None:
    log().write_csv(here / "x.csv", separator=separator)
    outcome = cli("data", "init", "x.csv")
    assert outcome.code == ExitCode.DATA
    assert f"{shown!r} seems to separate the fields, not ','" in outcome.err
    assert f'give --separator "{shown}"' in outcome.err
    assert f"separator = {json.dumps(separator)} in [files.events]" in outcome.err
    assert cli("data", "init", "x.csv", "--separator", given).code == 0
    card = tomllib.loads((here / "x.toml").read_text())
    assert card["files"]["events"] == {"path": "x.csv", "separator": separator}
    assert json.loads(cli("data", "build", "x", "--json").out)["events"] == ROWS


def test_a_separator_is_one_character(here: Path, cli: Cli) -> None:
    log().write_csv(here / "x.csv")
    outcome = cli("data", "init", "x.csv", "--separator", "::")
    assert outcome.code == ExitCode.USAGE
    assert "--separator '::' is not one character" in outcome.err


@pytest.mark.parametrize("odd", [1000 * START, -1])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_time_that_does_not_fit_the_others_is_named(
    suffix: str, odd: int, here: Path, cli: Cli
) -> None:
    times = [START + 60 * row for row in range(ROWS)]
    times[11] = odd
    frame = log(time=times)
    file = here / f"x{suffix}"
    frame.write_csv(file) if suffix == ".csv" else frame.write_parquet(file)
    assert cli("data", "init", file.name).code == 0
    assert columns_of("x.toml")["timestamp"] == {"column": "time", "unit": "s"}
    assert f"seconds, but not in row 12: {odd}. Correct the file" in Path("x.toml").read_text()
    built = cli("data", "build", "x")
    assert built.code == ExitCode.DATA
    assert ("line 13: " if suffix == ".csv" else "row 12: ") + f"time {odd} is outside" in built.err


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_ids_that_int64_does_not_hold_are_text(suffix: str, here: Path, cli: Cli) -> None:
    ids = [2**63 + row % 9 for row in range(ROWS)]  # as floats they are all the same
    frame = log(item=pl.Series(ids, dtype=pl.UInt64))
    file = here / f"x{suffix}"
    frame.write_csv(file) if suffix == ".csv" else frame.write_parquet(file)
    assert "TODO" not in cli("data", "init", file.name).err
    assert columns_of("x.toml")["item"] == {"column": "item", "type": "text"}
    assert json.loads(cli("data", "build", "x", "--json").out)["items"] == 9


def test_a_folder_is_no_log(here: Path, cli: Cli) -> None:
    (here / "logs").mkdir()
    outcome = cli("data", "init", "logs")
    assert outcome.code == ExitCode.DATA
    assert "logs: is a folder" in outcome.err
    assert "DIR/*.csv" in outcome.err
