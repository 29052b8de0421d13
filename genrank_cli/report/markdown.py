"""A table as GitHub-flavoured Markdown."""

from __future__ import annotations

from tabulate import tabulate

from genrank_cli.report.table import Table


def render(table: Table) -> str:
    """Heading, environment lines as a list, the table, and its notes as a list."""
    body = tabulate(
        [[_escape(cell) for cell in row] for row in table.formatted()],
        headers=[_escape(heading) for heading in table.headings],
        tablefmt="pipe",
        colalign=table.alignments if table.rows else None,
        disable_numparse=True,
    )
    parts = (
        f"### {table.title}" if table.title else "",
        "\n".join(f"- {line}" for line in table.header),
        body,
        "\n".join(f"- {line}" for line in table.notes),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _escape(cell: str) -> str:
    return " ".join(cell.replace("|", "\\|").splitlines())
