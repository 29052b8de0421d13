"""Entry point of ``genrank`` and ``python -m genrank_cli``: runs a command, explains failures."""

from __future__ import annotations

import errno
import io
import re
import sys
import traceback
from collections.abc import Sequence
from typing import NamedTuple

import typer

from genrank_cli.cli.app import app
from genrank_cli.errors import ExitCode, GenrankError

GLOBAL_FLAG = re.compile(r"--(debug|quiet|verbose)|-q+|-v+")
INTERRUPTED = "interrupted; what was finished is kept"


class Failure(NamedTuple):
    """What the user is told about an exception."""

    message: str
    hint: str
    code: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``genrank`` with ``arguments`` (default: the process's own) and return its exit code."""
    _survive_narrow_encodings()
    arguments = global_flags_first(sys.argv[1:] if arguments is None else arguments)
    try:
        command = typer.main.get_command(app)
        result = command.main(args=arguments, prog_name="genrank", standalone_mode=False)
    except KeyboardInterrupt:
        result = ExitCode.INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        return _report(explain(error))
    if result == ExitCode.INTERRUPTED:
        return _report(Failure(INTERRUPTED, "the same command goes on from there", result))
    return int(result) if isinstance(result, int) else ExitCode.OK


def global_flags_first(arguments: Sequence[str]) -> list[str]:
    """Move ``--debug``, ``-q`` and ``-v`` to the front: they work after a subcommand too."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    flags = [word for word in arguments[:end] if GLOBAL_FLAG.fullmatch(word)]
    others = [word for word in arguments[:end] if not GLOBAL_FLAG.fullmatch(word)]
    return [*flags, *others, *arguments[end:]]


def explain(error: Exception) -> Failure:
    """The message, the remedy and the exit code that belong to an exception."""
    if isinstance(error, GenrankError):
        return Failure(error.message, error.hint, error.exit_code)
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        hint = f"run: {context.command_path} --help" if context else ""
        return Failure(error.format_message(), hint, ExitCode.USAGE)
    if isinstance(error, typer.Abort):
        return Failure(INTERRUPTED, "", ExitCode.INTERRUPTED)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        where = f": {error.filename}" if error.filename else ""
        return Failure(f"no space left on the disk{where}", "free some space", ExitCode.DATA)
    text = " ".join(str(error).split())
    message = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return Failure(message, "run again with --debug for the traceback", ExitCode.INTERNAL)


def _report(failure: Failure) -> int:
    if failure.message.startswith("Usage:"):  # a group without a subcommand: typer's help text
        typer.echo(failure.message, err=True)
    else:
        prefix = "" if failure.code == ExitCode.INTERRUPTED else "error: "
        typer.echo(prefix + failure.message, err=True)
        if failure.hint:
            typer.echo(f"hint: {failure.hint}", err=True)
    return failure.code


def _survive_narrow_encodings() -> None:
    """Let a terminal without ``±`` or ``×`` show a question mark instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
