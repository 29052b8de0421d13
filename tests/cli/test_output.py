"""Where a result goes and in which form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genrank_cli.cli.output import Format, check_output, configure_logging, emit, say
from genrank_cli.errors import ExitCode, GenrankError
from tests.conftest import Cli

RECORD = {"name": "ml-100k", "counts": {"events": 100_000}}


@pytest.fixture(autouse=True)
def _quick_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("genrank_cli.training.environment.environment", lambda: RECORD)


def test_pipe_gets_markdown(cli: Cli) -> None:
    done = cli("environment")
    assert done.code == 0
    assert done.err == ""
    assert done.out.splitlines()[2] == "| name          | ml-100k |"


def test_json_is_the_nested_record(cli: Cli) -> None:
    assert json.loads(cli("environment", "--json").out) == RECORD
    assert json.loads(cli("environment", "--format", "json").out) == RECORD


def test_output_file_by_suffix(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    file.write_text("old")
    done = cli("environment", "-o", str(file))
    assert done.code == 0
    assert done.out == ""
    assert done.err == f"wrote {file}\n"
    assert json.loads(file.read_text()) == RECORD
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_dash_is_stdout(cli: Cli) -> None:
    assert cli("environment", "-o", "-", "--format", "csv").out.startswith("field,value\n")


def test_quiet_keeps_the_result_and_drops_the_rest(cli: Cli, tmp_path: Path) -> None:
    done = cli("environment", "-q", "-o", str(tmp_path / "x.md"))
    assert (done.code, done.out, done.err) == (0, "", "")


def test_contradicting_formats(cli: Cli) -> None:
    done = cli("environment", "--json", "--format", "csv")
    assert done.code == ExitCode.USAGE
    assert "--json and --format csv" in done.err


def test_unknown_suffix_names_the_known_ones(cli: Cli, tmp_path: Path) -> None:
    done = cli("environment", "-o", str(tmp_path / "x.jsn"))
    assert done.code == ExitCode.USAGE
    assert "did you mean '.json'?" in done.err
    assert list(tmp_path.iterdir()) == []


def test_unknown_format_names_the_known_ones(cli: Cli) -> None:
    done = cli("environment", "--format", "xml")
    assert done.code == ExitCode.USAGE
    assert "'latex'" in done.err


@pytest.mark.parametrize("name", ["", "missing/x.md"])
def test_unusable_output_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(GenrankError) as caught:
        check_output(tmp_path / name)
    assert caught.value.exit_code is ExitCode.USAGE
    assert str(tmp_path) in caught.value.message


def test_failed_rendering_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    file = tmp_path / "x.md"
    file.write_text("old")

    def fail(*args: object, **kwargs: object) -> str:
        raise RuntimeError

    monkeypatch.setattr("genrank_cli.report.render", fail)
    with pytest.raises(RuntimeError):
        emit(RECORD, Format.MD, file)
    assert file.read_text() == "old"


def test_terminal_gets_the_coloured_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    emit(RECORD)
    out = capsys.readouterr().out
    assert "\x1b[" in out
    assert "counts.events" in out


def test_say_is_for_people(capsys: pytest.CaptureFixture[str], cli: Cli) -> None:
    configure_logging(0)
    say("reading")
    configure_logging(-1)
    say("silent")
    assert capsys.readouterr() == ("", "reading\n")
