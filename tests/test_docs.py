"""The documents are true: every command is described, every command line in them exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module

import pytest

from genrank_cli.cli.app import COMMANDS
from tests.conftest import REPOSITORY, Cli

DOCUMENTS = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
MAKEFILE = (REPOSITORY / "Makefile").read_text()


def subcommands() -> list[tuple[str, ...]]:
    """Every command that can be run: ``("ablate",)``, ``("data", "list")``; longer ones first."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        app = import_module(f"genrank_cli.cli.{name}").app
        commands = [
            command.name or command.callback.__name__ for command in app.registered_commands
        ]
        callback = app.registered_callback
        runs_alone = callback is not None and callback.invoke_without_command is True
        if len(commands) > 1 or runs_alone:
            found += [(name, command) for command in commands]
        if len(commands) == 1 or runs_alone:
            found.append((name,))
    return found


def command_lines() -> Iterator[str]:
    """The ``genrank`` and ``make`` lines of the documents' code blocks, and the Makefile's job."""
    for document in DOCUMENTS:
        for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", document.read_text(), re.S):
            for line in block.replace("\\\n", " ").splitlines():
                line = line.removeprefix("$ ").partition("#")[0].strip()
                if line.startswith(("genrank ", "make ")):
                    yield line
    job = re.search(r"^JOB \?= (.*)$", MAKEFILE, re.M)
    assert job is not None
    yield f"genrank {job[1]}"


COMMAND_LINES = sorted(set(command_lines()))


def test_the_first_screen_of_the_readme_has_the_two_commands() -> None:
    assert {"make run", "make test"} <= set(COMMAND_LINES)


@pytest.mark.parametrize("path", subcommands(), ids=" ".join)
def test_every_subcommand_is_documented(path: tuple[str, ...]) -> None:
    documents = "\n".join(document.read_text() for document in DOCUMENTS)
    assert f"genrank {' '.join(path)}" in documents


@pytest.mark.parametrize("path", subcommands(), ids=" ".join)
def test_every_subcommand_has_help_and_an_example(cli: Cli, path: tuple[str, ...]) -> None:
    done = cli(*path, "--help")
    assert done.code == 0, done.err
    name = " ".join(path)
    description = done.out.splitlines()[2].strip()
    assert re.fullmatch(r"[A-Z].*[.?:,\w)]", description)
    examples = done.out.partition("Examples:")[2]
    assert f"genrank {name}" in examples


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_command_lines_are_real(cli: Cli, line: str) -> None:
    if line.startswith("make "):
        target = line.split()[-1]
        assert re.search(rf"^{re.escape(target)}:", MAKEFILE, re.M)
        return
    _, *words = shlex.split(line)
    path = next(path for path in subcommands() if tuple(words[: len(path)]) == path)
    help_text = cli(*path, "--help").out + cli("--help").out
    for word in words[len(path) :]:
        if word.startswith("-") and word != "-":
            option = word.partition("=")[0]
            assert re.search(rf"(^|[\s,]){re.escape(option)}\b", help_text), option


@pytest.mark.parametrize("path", subcommands(), ids=" ".join)
def test_examples_in_the_help_are_real(cli: Cli, path: tuple[str, ...]) -> None:
    help_text = cli(*path, "--help").out
    examples = re.findall(r"^\s+genrank (.*)$", help_text.partition("Examples:")[2], re.M)
    for example in examples:
        words = shlex.split(example, comments=True)
        if tuple(words[: len(path)]) == path:
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= set(re.findall(r"--[a-z-]+", help_text.partition("Examples:")[0]))
