"""The one error type that users see, and the exit codes of every command."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class ExitCode(IntEnum):
    """Process exit codes; the same meaning in every command."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    REGRESSION = 3
    CANNOT_JUDGE = 4
    DATA = 5
    PARTIAL = 6
    INTERRUPTED = 130


class GenrankError(Exception):
    """A failure that the user can act on.

    ``message`` names the value that was wrong and where (file, line, column, option); ``hint`` says
    what to do next. Shown without a traceback unless ``--debug`` is given.
    """

    def __init__(self, message: str, hint: str = "", exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


def data_error(message: str, hint: str = "") -> GenrankError:
    """A `GenrankError` about missing, corrupt or contradictory data (exit code 5)."""
    return GenrankError(message, hint, ExitCode.DATA)


def unknown_name(kind: str, name: str, known: Iterable[str], hint: str = "") -> GenrankError:
    """The error for a name that is not in a registry: allowed values and the nearest match."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    message = f"unknown {kind} {name!r}; allowed: {', '.join(names)}"
    suggestion = f"did you mean {close[0]!r}?" if close else ""
    return GenrankError(message, " ".join(part for part in (suggestion, hint) if part))


def one_of(kind: str, name: str, known: Iterable[str]) -> str:
    """``name`` where it is known; else a ValueError that lists the names and the nearest."""
    names = list(known)
    if name not in names:
        error = unknown_name(kind, name, names)
        raise ValueError(f"{error.message}. {error.hint}".removesuffix(". "))
    return name
