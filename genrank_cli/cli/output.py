"""What a command prints: the result on stdout or in a file, everything else on stderr."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from genrank_cli.errors import GenrankError, unknown_name

if TYPE_CHECKING:
    from genrank_cli.report.table import Table

STDOUT = Path("-")
SUFFIXES = {".md": "md", ".csv": "csv", ".json": "json", ".tex": "latex", ".txt": "table"}
LEVELS = {-1: logging.ERROR, 0: logging.INFO, 1: logging.DEBUG}

log = logging.getLogger("genrank_cli")


class Format(StrEnum):
    """Forms of a result; ``auto`` looks at the file's suffix or the terminal."""

    AUTO = "auto"
    TABLE = "table"
    MD = "md"
    CSV = "csv"
    JSON = "json"
    LATEX = "latex"


class StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to whatever ``sys.stderr`` is at that moment: progress bars and tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)

    def format(self, record: logging.LogRecord) -> str:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        return level + super().format(record)


def configure_logging(verbosity: int) -> None:
    """Send the package's log to stderr: −1 errors, 0 notes as well, 1 and above everything.

    Python warnings of other libraries are shown from 1 on.
    """
    log.handlers = [StderrHandler()]
    log.propagate = False
    log.setLevel(LEVELS[max(-1, min(verbosity, 1))])
    if verbosity < 1 and not sys.warnoptions:
        warnings.simplefilter("ignore")


def say(message: str) -> None:
    """Print a line for the person who waits (stderr; silent with ``-q``)."""
    log.info(message)


def emit(
    result: Table | Mapping[str, Any],
    format: Format = Format.AUTO,
    output: Path | None = None,
    json: bool = False,
) -> None:
    """Print a table, or a record of (nested) fields, in the form and at the place asked for.

    ``output`` is a file that is replaced as a whole, or ``-`` for stdout (the default). ``auto``
    follows the file's suffix; on stdout it is a coloured table for a terminal and Markdown for a
    pipe. Raises `GenrankError` (usage) where ``--json`` meets another format, and where the file
    cannot be written.
    """
    from genrank_cli.report import render

    chosen = _choose(format, output, json)
    if output is None or output == STDOUT:
        write_stdout(render(result, chosen, terminal=_is_terminal()))
        return
    check_output(output)
    from genrank_cli.files import write_text

    text = render(result, chosen)
    write_text(output, text)
    say(f"wrote {output}")


def emit_all(tables: Sequence[Table], format: Format, output: Path | None) -> None:
    """Print ``tables`` below each other; where a form holds one only, say what is left out."""
    from genrank_cli.report import render

    chosen = _choose(format, output, False)
    if chosen not in (Format.TABLE, Format.MD):  # in the others a second table breaks the file
        emit(tables[0], format, output)
        for table in tables[1:]:
            say(f"left out, since {chosen} holds one table: {table.title} ({len(table.rows)} rows)")
        return
    on_stdout = output is None or output == STDOUT
    text = "\n\n".join(
        render(table, chosen, terminal=on_stdout and _is_terminal()).rstrip("\n")
        for table in tables
    )
    if output is None or output == STDOUT:
        write_stdout(text)
        return
    check_output(output)
    from genrank_cli.files import write_text

    write_text(output, text + "\n")
    say(f"wrote {output}")


def wants_json(format: Format, output: Path | None, json: bool) -> bool:
    """Whether `emit` will write JSON: for results that say more there than a table can."""
    return _choose(format, output, json) == Format.JSON


def check_output(output: Path | None, option: str = "-o") -> None:
    """Refuse an unusable file of ``option`` in the first second, before the long work."""
    if output is None or output == STDOUT:
        return
    if output.is_dir():
        raise GenrankError(f"{option} {output} is a folder", "name a file in it")
    if not output.parent.is_dir():
        raise GenrankError(
            f"{option} {output}: the folder {output.parent} does not exist",
            f"mkdir -p {output.parent}",
        )
    probe = output.with_name(f".{output.name}.{os.getpid()}.probe")
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        message = f"{option} {output}: cannot write in {output.parent}: {error.strerror}"
        raise GenrankError(message, "name a file in another folder") from error


def write_stdout(text: str) -> None:
    """Write the result; a reader that stopped reading (``| head``) does not change the outcome."""
    try:
        sys.stdout.write(text if text.endswith("\n") else text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # The interpreter flushes stdout once more at exit, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _is_terminal() -> bool:
    return sys.stdout.isatty()


def _choose(format: Format, output: Path | None, json: bool) -> str:
    if json:
        if format not in (Format.AUTO, Format.JSON):
            raise GenrankError(f"--json and --format {format} contradict each other", "keep one")
        return Format.JSON
    if format is not Format.AUTO:
        return format
    if output is None or output == STDOUT:
        return Format.TABLE if _is_terminal() else Format.MD
    if output.suffix and output.suffix not in SUFFIXES:
        raise unknown_name("file suffix", output.suffix, SUFFIXES, "or give --format")
    return SUFFIXES.get(output.suffix, Format.MD)
