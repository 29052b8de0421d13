"""A card for a log that nobody has described yet."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from genrank_cli.data.card import list_cards
from genrank_cli.data.init.guess import Guess, guess
from genrank_cli.data.init.look import Look, file_spec, look
from genrank_cli.data.init.reasons import todo
from genrank_cli.data.init.text import Side, card_text
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.report.table import Column, Kind, Table, Value

COLUMNS = (
    Column("column", "column"),
    Column("type", "type"),
    Column("values", "values", Kind.COUNT),
    Column("missing_share", "missing", Kind.PERCENT, digits=1),
    Column("range", "range"),
    Column("role", "taken as"),
    Column("note", "note"),
)


@dataclass(frozen=True)
class Draft:
    """A card as text, and what it was made from."""

    name: str
    text: str
    look: Look
    guesses: tuple[Guess, ...]

    @property
    def missing(self) -> dict[str, str]:
        """Keys that the user must fill in, and what is in the way of a guess, where it is known."""
        return todo(self.look, list(self.guesses))

    def table(self) -> Table:
        """What was seen in each column, and what it was taken as."""
        note = f"Seen in {'all' if self.look.complete else 'the first'} {self.look.rows:,} rows."
        rows = [_row(guess) for guess in self.guesses]
        return Table(f"Columns of {self.look.table.paths[0]}", COLUMNS, rows, notes=[note])


def draft_card(
    files: Sequence[Path],
    name: str,
    folder: Path,
    sides: Mapping[str, Path | None],
    separator: str | None = None,
) -> Draft:
    """Draft the card ``name``, which will lie in ``folder``, for the log in ``files``.

    ``sides``: files of ``users`` and ``items``. ``separator``: what stands between the fields of
    the text files, if it is not what their suffix says. Raises `GenrankError` (5) for a file that
    cannot be read.
    """
    found = look(list(files), file_spec(files[0], separator))
    guesses = guess(found)
    tables = {
        key: _side(key.removesuffix("s"), file, guesses, folder, separator)
        for key, file in sides.items()
        if file is not None
    }
    paths = [_relative(file, folder) for file in files]
    text = card_text(name, paths, found, guesses, tables)
    return Draft(name, text, found, tuple(guesses))


def check_files(files: Sequence[Path]) -> None:
    """Raise `GenrankError` (5) for the first file that is not there."""
    for file in files:
        if not file.is_file():
            what = "is a folder" if file.is_dir() else "no such file"
            raise data_error(f"{file}: {what}", "name CSV, TSV or Parquet files: DIR/*.csv")


def dataset_name(given: str | None, file: Path) -> str:
    """Name of the dataset: as given, or made of the file's.

    Raises `GenrankError` (2) for a name that cannot be used, or that a shipped dataset has.
    """
    name = given or re.sub(r"[^a-z0-9_-]+", "-", file.name.lower().partition(".")[0]).strip("-_")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) or name.endswith(".toml"):
        hint = "use lower-case letters, digits, dots, dashes and underscores: --name NAME"
        raise GenrankError(f"{name!r} is not a name for a dataset", hint)
    if name in {card.name for card in list_cards()}:
        message = f"{name!r} is the name of a dataset that comes with genrank"
        raise GenrankError(message, "choose another one with --name")
    return name


def _side(key: str, file: Path, guesses: list[Guess], folder: Path, separator: str | None) -> Side:
    found = look([file], file_spec(file, separator))
    names = [seen.name for seen in found.columns]
    wanted = next((guess.seen.name for guess in guesses if guess.role == key), None)
    own = next((guess.seen.name for guess in guess_ids(found, key)), None)
    chosen = wanted if wanted in names else own
    if chosen is None:
        message = f"{file}: no column looks like the id of the {key}s; it has {', '.join(names)}"
        raise data_error(message, f"name it as in the log: {wanted or key}")
    return Side(_relative(file, folder), found, chosen)


def guess_ids(found: Look, key: str) -> list[Guess]:
    """Guesses of the column that identifies a user or an item."""
    return [guessed for guessed in guess(found) if guessed.role == key]


def _relative(file: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(file, folder)).as_posix()
    except ValueError:  # another drive
        return file.absolute().as_posix()


def _row(guessed: Guess) -> list[Value]:
    seen = guessed.seen
    return [
        seen.name,
        seen.kind,
        seen.distinct,
        seen.missing,
        seen.summary or None,
        guessed.role or None,
        guessed.note or None,
    ]
