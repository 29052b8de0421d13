"""Exit codes, messages, tracebacks, laziness: what every command owes its user."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import Any

import pytest

from genrank_cli import __version__
from genrank_cli.__main__ import global_flags_first
from genrank_cli.cli.app import COMMANDS
from genrank_cli.errors import ExitCode, GenrankError
from tests.conftest import REPOSITORY, Cli

HEAVY = ("torch", "polars", "matplotlib", "scipy", "sklearn", "pyarrow")
WATCHED = (
    "import atexit, sys\n"
    f"found = lambda: [name for name in {HEAVY} if name in sys.modules]\n"
    "atexit.register(lambda: print('heavy:', *found(), file=sys.stderr))\n"
    "from genrank_cli.__main__ import main\n"
    "sys.exit(main(sys.argv[1:]))\n"
)


def python(code: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``code`` in a fresh interpreter at the repository's root."""
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let ``genrank environment`` raise the given exception."""

    def install(error: BaseException) -> None:
        def fail() -> None:
            raise error

        monkeypatch.setattr("genrank_cli.training.environment.environment", fail)

    return install


def test_help_lists_every_command(cli: Cli) -> None:
    done = cli("--help")
    assert done.code == 0
    assert done.err == ""
    for name in COMMANDS:
        assert f"  {name} " in done.out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_short_and_long_help(cli: Cli, name: str) -> None:
    short, long = cli(name, "-h"), cli(name, "--help")
    assert short.code == 0
    assert short.out == long.out
    assert short.out.startswith(f"Usage: genrank {name}")
    assert "╭" not in short.out  # rich's boxes belong to a terminal, not to a pipe


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"genrank {__version__}\n"


def test_module_and_command_are_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "genrank_cli", "--version"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"genrank {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("data", "list", "--help"), ("data", "list"), ("ablate", "--help")],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    done = python(WATCHED, *arguments)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_completion_is_quick_and_complete() -> None:
    words = {"COMP_WORDS": "genrank a", "COMP_CWORD": "1"}
    done = python(WATCHED, _GENRANK_COMPLETE="complete_bash", **words)
    assert done.stdout.split() == ["ablate"]
    assert done.stderr.splitlines()[-1] == "heavy:"


def test_completion_script_prints() -> None:
    done = python(WATCHED, _GENRANK_COMPLETE="source_bash")
    assert "complete -o default -F" in done.stdout
    assert "_GENRANK_COMPLETE=complete_bash" in done.stdout


def test_unknown_command_suggests_the_nearest(cli: Cli) -> None:
    done = cli("abalte")
    assert done.code == ExitCode.USAGE
    assert done.out == ""
    assert "'abalte'" in done.err
    assert "Did you mean 'ablate'?" in done.err
    assert "hint: run: genrank --help" in done.err


def test_unknown_option_suggests_the_nearest(cli: Cli) -> None:
    done = cli("environment", "--jason")
    assert done.code == ExitCode.USAGE
    assert "--jason" in done.err
    assert "--json" in done.err
    assert "hint: run: genrank environment --help" in done.err


def test_no_command_shows_the_help_as_a_usage_error(cli: Cli) -> None:
    done = cli()
    assert done.code == ExitCode.USAGE
    assert done.out == ""
    assert done.err.startswith("Usage: genrank")
    assert "error:" not in done.err


@pytest.mark.parametrize("code", [ExitCode.USAGE, ExitCode.DATA, ExitCode.PARTIAL])
def test_own_errors_show_message_hint_and_code(cli: Cli, failing: Any, code: ExitCode) -> None:
    failing(GenrankError("file u.data, line 3: 'x' is no number", "correct the line", code))
    done = cli("environment")
    assert done.code == code
    assert done.out == ""
    assert done.err == "error: file u.data, line 3: 'x' is no number\nhint: correct the line\n"


def test_unexpected_errors_are_one_line(cli: Cli, failing: Any) -> None:
    failing(ValueError("two\nlines"))
    done = cli("environment")
    assert done.code == ExitCode.INTERNAL
    assert done.err == (
        "error: ValueError: two lines\nhint: run again with --debug for the traceback\n"
    )


@pytest.mark.parametrize("arguments", [("--debug", "environment"), ("environment", "--debug")])
def test_debug_shows_the_traceback(cli: Cli, failing: Any, arguments: tuple[str, str]) -> None:
    failing(GenrankError("no such thing"))
    done = cli(*arguments)
    assert done.code == ExitCode.USAGE
    assert "Traceback (most recent call last)" in done.err
    assert done.err.rstrip().endswith("error: no such thing")


def test_interruption(cli: Cli, failing: Any) -> None:
    failing(KeyboardInterrupt())
    done = cli("environment")
    assert done.code == ExitCode.INTERRUPTED
    assert done.err.startswith("interrupted; what was finished is kept\n")
    assert "Traceback" not in done.err


def test_full_disk(cli: Cli, failing: Any) -> None:
    failing(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "stores/events.arrow"))
    done = cli("environment")
    assert done.code == ExitCode.DATA
    assert "no space left on the disk: stores/events.arrow" in done.err


def test_reader_that_stops_reading_changes_nothing() -> None:
    code = (
        "import sys, genrank_cli.training.environment as e\n"
        "e.environment = lambda: {'field': 'x' * 1_000_000}\n"
        "from genrank_cli.__main__ import main\n"
        "sys.exit(main(['environment', '--json']))\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == 0
    assert errors == ""


def test_narrow_encoding_does_not_fail() -> None:
    code = (
        "import sys, genrank_cli.training.environment as e\n"
        "e.environment = lambda: {'field': '0.80 ± 0.01'}\n"
        "from genrank_cli.__main__ import main\n"
        "sys.exit(main(['environment', '--format', 'csv']))\n"
    )
    done = python(code, PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "0.80 ? 0.01" in done.stdout


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["train", "-v", "--seeds", "0"], ["-v", "train", "--seeds", "0"]),
        (["-q", "data", "list", "--debug"], ["-q", "--debug", "data", "list"]),
        (["train", "-vv"], ["-vv", "train"]),
        (["data", "build", "--", "-v"], ["data", "build", "--", "-v"]),
        ([], []),
    ],
)
def test_global_flags_work_after_the_command(given: list[str], expected: list[str]) -> None:
    assert global_flags_first(given) == expected
