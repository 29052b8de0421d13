"""The report as Markdown for a pull request: verdicts first, the long tables folded away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape

from genrank_cli.report import render
from genrank_cli.report.bench_views import tables
from genrank_cli.report.page_claims import claims_table, gather, summary_table
from genrank_cli.report.page_load import Records, bench_titles
from genrank_cli.report.page_settings import setting_of, without_command
from genrank_cli.report.study import study_table
from genrank_cli.report.table import Table, Value


def render_markdown(records: Records) -> str:
    """Verdicts and claims open, every record's tables and command in a fold of its own."""
    claims = gather(records.studies, records.benches)
    parts = ["## genrank report\n"]
    if claims.known:
        parts += [_shown(summary_table(claims)), _shown(claims_table(claims))]
    for study in records.studies:
        record = study.record
        title = f"{record.title}: {claims.labels[setting_of(record)]}"
        parts.append(
            _fold(title, [without_command(study_table(record), record.command)], record.command)
        )
    for title, bench in zip(bench_titles(records.benches), records.benches, strict=True):
        parts.append(_fold(title, tables(bench.record), bench.record.command))
    return "\n".join(parts)


def _fold(title: str, shown: Sequence[Table], command: str) -> str:
    inner = "\n".join(_shown(table) for table in shown)
    code = _plain(command).replace("`", "'")
    return f"<details><summary>{_plain(title)}</summary>\n\n{inner}\n`{code}`\n\n</details>\n"


def _shown(table: Table) -> str:
    """A table whose text cannot break out of its cell or bring HTML of its own."""
    safe = replace(
        table,
        title=_plain(table.title),
        columns=[replace(column, title=_plain(column.title)) for column in table.columns],
        rows=[[_cell(value) for value in row] for row in table.rows],
        header=[_plain(line) for line in table.header],
        notes=[_plain(line) for line in table.notes],
    )
    return render(safe, "md")


def _cell(value: Value) -> Value:
    return _plain(value) if isinstance(value, str) else value


def _plain(text: str) -> str:
    """On one line, its ``<``, ``>`` and ``&`` written out."""
    return escape(" ".join(text.split()), quote=False)
