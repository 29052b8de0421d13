"""Tables, records and plots. Exporters are fed by a `Table` only, one exporter a file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from genrank_cli.errors import unknown_name
from genrank_cli.report.table import Table, record_table

EXPORTERS = {
    "table": "genrank_cli.report.plain",
    "md": "genrank_cli.report.markdown",
    "csv": "genrank_cli.report.csv",
    "json": "genrank_cli.report.json",
    "latex": "genrank_cli.report.latex",
}


def render(result: Table | Mapping[str, Any], format: str, *, terminal: bool = False) -> str:
    """The text of a table or of a record (nested fields) in one of `EXPORTERS`' formats.

    ``terminal`` asks for the coloured form of ``table``. Records keep their nesting in JSON and
    have one row per leaf elsewhere.
    """
    if format not in EXPORTERS:
        raise unknown_name("format", format, EXPORTERS)
    if format == "json" and isinstance(result, Mapping):
        from genrank_cli.report.json import dump

        return dump(result)
    table = result if isinstance(result, Table) else record_table(result)
    coloured = terminal and format == "table"
    module = import_module("genrank_cli.report.terminal" if coloured else EXPORTERS[format])
    text: str = module.render(table)
    return text
