"""A table as aligned plain text: for pipes, files and logs, never cut at a width."""

from __future__ import annotations

from tabulate import SEPARATING_LINE, tabulate

from genrank_cli.report.table import Table


def render(table: Table) -> str:
    """Title, environment lines, the aligned table and its notes."""
    rows: list[list[str] | str] = []
    for number, row in enumerate(table.formatted()):
        if number in table.breaks:
            rows.append(SEPARATING_LINE)
        rows.append(row)
    body = tabulate(
        rows,
        headers=table.headings,
        tablefmt="simple",
        colalign=table.alignments if rows else None,
        disable_numparse=True,
    )
    top = "\n".join(line for line in (table.title, *table.header) if line)
    return "\n\n".join(part for part in (top, body, "\n".join(table.notes)) if part) + "\n"
