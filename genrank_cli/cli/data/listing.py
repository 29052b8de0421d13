"""``genrank data list``: which datasets there are."""

from __future__ import annotations

from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say

EPILOG = "\b\nExamples:\n  genrank data list\n  genrank data list --json -o datasets.json"


def list_datasets(
    format: FormatOption = Format.AUTO, output: OutputOption = None, json: JsonOption = False
) -> None:
    """List the datasets that can be built, and those that are."""
    check_output(output)
    from genrank_cli.data.catalogue import catalogue

    emit(catalogue(), format, output, json)
    say("next: genrank data build NAME")
