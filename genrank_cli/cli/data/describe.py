"""``genrank data describe``: what is in a store."""

from __future__ import annotations

from typing import Annotated

import typer

from genrank_cli.cli.data.arguments import NameArgument
from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say

EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank data describe ml-100k\n"
    "  genrank data describe ml-100k --split temporal --json"
)


def describe(
    name: NameArgument,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Describe this split, not the store's own."),
    ] = None,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Print sizes, rates, lengths, and the parts of the split with what they let through."""
    check_output(output)
    from genrank_cli.data.describe import describe as figures
    from genrank_cli.data.store import Store
    from genrank_cli.paths import store_path

    store = Store.open(store_path(name))
    spec = store.manifest.split.named(split) if split else None
    emit(figures(store, spec), format, output, json)
    say("next: genrank data validate " + name)
