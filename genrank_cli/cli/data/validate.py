"""``genrank data validate``: is a store intact."""

from __future__ import annotations

from genrank_cli.cli.data.arguments import NameArgument, open_store
from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say
from genrank_cli.errors import data_error

EPILOG = "\b\nExamples:\n  genrank data validate ml-100k\n  genrank data validate ml-1m --json"


def validate(
    name: NameArgument,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Check every invariant and every hash of a built dataset; exit code 5 if one is broken."""
    check_output(output)
    from genrank_cli.data.invariants import check
    from genrank_cli.data.store import rebuild_hint
    from genrank_cli.report.table import Column, Table

    findings = list(check(open_store(name)))
    columns = (
        Column("invariant", "invariant"),
        Column("state", "state"),
        Column("detail", "detail"),
    )
    rows = [(f.invariant, "broken" if f.detail else "holds", f.detail or None) for f in findings]
    emit(Table(f"Invariants of {name}", columns, rows), format, output, json)
    broken = [finding.invariant for finding in findings if finding.detail]
    if broken:
        raise data_error(f"dataset {name} is broken: {', '.join(broken)}", rebuild_hint(name))
    say(f"{name} is intact")
