"""``genrank data describe``: what is in a store."""

from __future__ import annotations

from genrank_cli.cli.data.arguments import NameArgument, StoreSplitOption, open_split
from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say, wants_json

EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank data describe ml-100k\n"
    "  genrank data describe ml-100k --split temporal --json"
)


def describe(
    name: NameArgument,
    split: StoreSplitOption = None,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Print sizes, rates, lengths, and the parts of the split with what they let through."""
    check_output(output)
    from genrank_cli.data.describe import describe as figures
    from genrank_cli.report.table import Kind, record_table

    found = figures(*open_split(name, split))
    as_json = wants_json(format, output, json)
    emit(found if as_json else record_table(found, kind=Kind.FIGURE), format, output, json)
    say("next: genrank data validate " + name)
