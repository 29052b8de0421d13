"""``genrank data``: what it prints, where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genrank_cli.errors import ExitCode
from genrank_cli.paths import store_path
from tests.conftest import Cli
from tests.data.own import CARD as CARD_OF_OWN
from tests.data.own import write_own
from tests.data.raw import write_100k, write_csv

CARD = """
name = "mine"
version = 1
title = "Mine"
description = "d"
licence = "none"
source = "movielens"
[options]
layout = "100k"
[files.ratings]
path = "u.data"
[files.items]
path = "u.item"
[files.users]
path = "u.user"
[requests]
rule = "gap"
[[tasks]]
name = "like"
kind = "binary"
[split]
name = "temporal"
train = 0.5
valid = 0.25
test = 0.25
"""


@pytest.fixture
def card(tmp_path: Path) -> str:
    write_100k(tmp_path / "mine")
    path = tmp_path / "mine.toml"
    path.write_text(CARD)
    return str(path)


@pytest.fixture
def built(card: str, home: Path, tmp_path: Path, cli: Cli) -> str:
    assert cli("data", "build", card, "--raw-dir", str(tmp_path)).code == 0
    return "mine"


def test_build_prints_the_counts(card: str, home: Path, tmp_path: Path, cli: Cli) -> None:
    outcome = cli("data", "build", card, "--raw-dir", str(tmp_path), "--json")
    record = json.loads(outcome.out)
    assert outcome.code == 0
    assert record["built"] == "now"
    assert record["events"] == 8
    assert record["dropped_items"] == 1
    assert "next: genrank data describe mine" in outcome.err
    again = cli("data", "build", card, "--raw-dir", str(tmp_path), "--json")
    assert json.loads(again.out)["built"] == "already"
    assert "--force" in again.err


def test_build_settings_and_name(card: str, home: Path, tmp_path: Path, cli: Cli) -> None:
    build = ("data", "build", card, "--raw-dir", str(tmp_path))
    assert cli(*build).code == 0
    changed = (*build, "--set", "requests.gap_seconds=100", "--json")
    refused = cli(*changed)
    assert refused.code == ExitCode.USAGE
    assert "--name" in refused.err
    assert json.loads(cli(*changed, "--name", "wide").out)["requests"] == 4
    assert store_path("wide").is_dir()


def test_show_config_builds_nothing(home: Path, cli: Cli) -> None:
    outcome = cli("data", "build", "ml-100k", "--set", "split.name=user", "--show-config", "--json")
    assert json.loads(outcome.out)["split"]["name"] == "user"
    assert not home.exists()


def test_list_shows_cards_and_stores(built: str, cli: Cli) -> None:
    rows = {row["name"]: row for row in json.loads(cli("data", "list", "--json").out)["rows"]}
    assert rows["ml-100k"]["built"] == "no"
    assert "redistribution" in rows["ml-100k"]["licence"]
    assert rows["mine"]["built"] == "yes"
    assert rows["mine"]["events"] == 8


def test_list_shows_broken_and_foreign_stores(
    home: Path, tmp_path: Path, cli: Cli, card: str
) -> None:
    cli("data", "build", card, "--raw-dir", str(tmp_path), "--name", "ml-100k")
    cli("data", "build", card, "--raw-dir", str(tmp_path), "--name", "ml-1m")
    (home / "ml-1m" / "items.arrow").unlink()
    unfinished = home / ".mine.host.1.abcd0123"
    unfinished.mkdir()
    (unfinished / "manifest.json").touch()
    rows = {row["name"]: row for row in json.loads(cli("data", "list", "--json").out)["rows"]}
    assert rows["ml-100k"]["built"] == "other settings"
    assert rows["ml-1m"]["built"] == "broken"
    assert unfinished.name not in rows


def test_describe(built: str, cli: Cli) -> None:
    record = json.loads(cli("data", "describe", built, "--json").out)
    assert record["counts"]["events"] == 8
    assert record["time"]["first"] == "2001-09-09T01:48:20+00:00"
    assert record["events_per_request"]["max"] == 2
    assert record["events_per_user"] == {
        "min": 2,
        "p10": 2,
        "median": 3,
        "p90": 3,
        "p99": 3,
        "max": 3,
        "mean": 8 / 3,
    }
    assert record["tasks"]["like"]["mean"] == 0.5
    assert sum(action["share"] for action in record["actions"].values()) == 1.0
    assert record["item_fields"]["genres"] == {
        "values": 6,
        "missing_share": 0.2,
        "most_per_row": 2,
    }
    split = record["split"]
    parts = [split[f"{name}_part"] for name in ("train", "valid", "test")]
    assert sum(part["events"] for part in parts) == 8
    assert split["cold_in_test"]["users_share"] == 0.5  # user 12; user 7 has trained
    assert split["train_after_first_test_share"] == 0.0


def test_describe_another_split(built: str, cli: Cli) -> None:
    record = json.loads(cli("data", "describe", built, "--split", "user-temporal", "--json").out)
    assert record["split"]["name"] == "user-temporal"
    assert record["split"]["train_after_first_test_share"] > 0
    assert cli("data", "describe", built, "--split", "x").code == ExitCode.USAGE


def test_order_of_cards(
    home: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path, then a shipped card, then NAME.toml of the current folder, whose files are there."""
    monkeypatch.chdir(write_own(tmp_path / "here", card=CARD_OF_OWN))
    Path("ml-100k.toml").write_text(CARD_OF_OWN)
    show = ("--show-config", "--json")
    assert json.loads(cli("data", "build", "ml-100k", *show).out)["name"] == "ml-100k"
    assert json.loads(cli("data", "build", "ml-100k.toml", *show).out)["name"] == "own"
    assert json.loads(cli("data", "build", "own", "--json").out)["events"] == 12
    missing = cli("data", "build", "mine")
    assert missing.code == ExitCode.USAGE
    assert "mine.toml in this folder" in missing.err


def test_columns_of_a_card_can_be_set(
    home: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_own(tmp_path / "here", card=CARD_OF_OWN))
    setting = ("--set", "columns.actions.click=rating >= 5", "--json")
    assert json.loads(cli("data", "build", "own", *setting).out)["events"] == 12
    described = json.loads(cli("data", "describe", "own", "--json").out)
    assert described["tasks"]["click"]["mean"] == pytest.approx(2 / 12)
    wrong = cli("data", "build", "own", "--set", "columns.usr=x")
    assert wrong.code == ExitCode.USAGE
    assert "columns.usr: Extra inputs" in wrong.err


def test_validate(built: str, cli: Cli) -> None:
    outcome = cli("data", "validate", built)
    assert outcome.code == 0
    assert "broken" not in outcome.out
    file = store_path(built) / "events" / "actions.npy"
    np.save(file, np.load(file)[::-1].copy())
    outcome = cli("data", "validate", built, "--json")
    assert outcome.code == ExitCode.DATA
    states = {row["invariant"]: row["state"] for row in json.loads(outcome.out)["rows"]}
    assert [name for name, state in states.items() if state == "broken"] == ["file hashes"]
    assert "dataset mine is broken: file hashes" in outcome.err
    assert "genrank data build mine --force" in outcome.err


def test_commands_on_a_dataset_that_is_not_built(home: Path, cli: Cli) -> None:
    for command in ("describe", "validate"):
        outcome = cli("data", command, "ml-1m")
        assert outcome.code == ExitCode.DATA
        assert "run: genrank data build ml-1m" in outcome.err


def test_bad_line_reaches_the_user(home: Path, tmp_path: Path, cli: Cli) -> None:
    raw = write_csv(tmp_path / "raw")
    with (raw / "ratings.csv").open("a") as stream:
        stream.write("1,2,3.0")
    outcome = cli("data", "build", "ml-20m", "--raw-dir", str(raw))
    assert outcome.code == ExitCode.DATA
    assert "ratings.csv, line 10: expected 4 fields" in outcome.err
    assert outcome.out == ""


def test_feed_options_are_refused_by_other_sources(
    home: Path, tmp_path: Path, cli: Cli, card: str
) -> None:
    outcome = cli("data", "build", card, "--raw-dir", str(tmp_path), "--users", "5")
    assert outcome.code == ExitCode.USAGE
    assert "users" in outcome.err


def test_synthetic_builds_by_its_own_options(home: Path, cli: Cli) -> None:
    build = ("data", "build", "synthetic", "--users", "30", "--items", "200", "--name", "small")
    record = json.loads(cli(*build, "--requests", "3", "--seed", "1", "--json").out)
    assert record["users"] == 30
    assert record["items"] <= 200
    assert cli("data", "validate", "small").code == 0


def test_list_and_help_import_neither_torch_nor_polars() -> None:
    code = (
        "import sys; from genrank_cli.__main__ import main; main(sys.argv[1:]); "
        "print([name for name in ('torch', 'polars', 'scipy') if name in sys.modules])"
    )
    for arguments in (["data", "list"], ["data", "--help"], ["data", "build", "--help"]):
        command = [sys.executable, "-c", code, *arguments]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        assert printed.splitlines()[-1] == "[]", arguments


@pytest.mark.parametrize("command", ["validate", "describe", "audit"])
def test_a_path_is_no_name_of_a_dataset(command: str, built: str, home: Path, cli: Cli) -> None:
    for name in (f"../{home.name}/{built}", str(home / built), f"./{built}"):
        outcome = cli("data", command, name)
        assert outcome.code == ExitCode.USAGE
        assert f"{name!r} is not a name for a dataset" in outcome.err


def test_a_folder_with_an_odd_name_is_listed(built: str, home: Path, cli: Cli) -> None:
    (home / built).rename(home / "My Log")
    assert "My Log" in cli("data", "list").out


def test_a_run_of_a_cards_file_is_one_of_its_dataset(card: str, cli: Cli) -> None:
    """The same configuration, hence the same run, as that of the dataset's name."""
    shown = [cli("train", "--data", name, "--show-config", "--json") for name in (card, "mine")]
    assert shown[0].out == shown[1].out
    assert json.loads(shown[0].out)["data"]["dataset"] == "mine"
