"""``genrank data init``: a card for one's own log."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import STDOUT, Format, check_output, emit, say, write_stdout
from genrank_cli.errors import GenrankError

EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank data init mylog.parquet\n"
    "  genrank data init logs/day-*.csv.gz --name mylog --items items.csv\n"
    "  genrank data init mylog.csv --card cards/mylog.toml --force --json"
)


def init(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="The log: CSV, TSV, Parquet; .gz, .zst."),
    ],
    users: Annotated[
        Path | None, typer.Option("--users", metavar="FILE", help="A table of the users.")
    ] = None,
    items: Annotated[
        Path | None, typer.Option("--items", metavar="FILE", help="A table of the items.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Name of the dataset (default: the file's)."),
    ] = None,
    card: Annotated[
        Path | None,
        typer.Option("--card", metavar="FILE", help="The card; default NAME.toml; - is stdout."),
    ] = None,
    separator: Annotated[
        str | None,
        typer.Option("--separator", metavar="CHAR", help="Between fields, as ; or tab."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a card that is there.")] = False,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Look at a log, show what its columns seem to be, and write a card to edit."""
    check_output(output)
    check_output(card)
    if card is not None and card != STDOUT and card.suffix != ".toml":
        raise GenrankError(f"--card {card}: a card ends in .toml", f"write --card {card}.toml")
    from genrank_cli.data.init.draft import check_files, dataset_name, draft_card
    from genrank_cli.files import write_text

    check_files([*files, *(side for side in (users, items) if side is not None)])
    chosen = dataset_name(name, files[0])
    target = card or Path(f"{chosen}.toml")
    if target != STDOUT and target.exists() and not force:
        hint = "replace it with --force, or choose --card FILE"
        raise GenrankError(f"{target} is there already", hint)
    if separator is not None and len(separator) != 1 and separator not in ("tab", "\\t"):
        raise GenrankError(f"--separator {separator!r} is not one character", "write ; or tab")
    sides = {"users": users, "items": items}
    drafted = draft_card(files, chosen, target.parent, sides, separator)
    for key, reason in drafted.missing.items():
        why = f" ({reason})" if reason else ""
        say(f"TODO: no column looks like the {key}{why}: fill it in on the card")
    if target == STDOUT:
        write_stdout(drafted.text)
        return
    emit(drafted.table(), format, output, json)  # first: it refuses contradictory options
    write_text(target, drafted.text)
    say(f"wrote {target} · next: check it, then: genrank data build {card or chosen}")
