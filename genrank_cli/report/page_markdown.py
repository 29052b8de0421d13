"""The report as Markdown for a pull request: verdicts first, the long tables folded away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from html import escape

from genrank_cli.report import render
from genrank_cli.report.bench_views import tables
from genrank_cli.report.page_claims import Claims, claims_table, gather, summary_table
from genrank_cli.report.page_load import Records, bench_titles
from genrank_cli.report.page_settings import setting_of, without_command
from genrank_cli.report.study import study_table
from genrank_cli.report.table import Table, Value

#: Begins the line that names the records whose tables found no room.
LEFT_OUT = "Not shown here, as a comment would not hold it (the HTML page and the CSV do): "

#: Characters that a comment on GitHub holds.
COMMENT = 65_536


def render_markdown(records: Records, room: int = COMMENT) -> str:
    """Verdicts and claims open, every record's tables and command in a fold of its own.

    Folds that would not fit into ``room`` characters are left out and named; what is open never is.
    """
    claims = gather(records.studies, records.benches)
    parts = ["## genrank report\n"]
    if claims.known:
        parts += [_shown(summary_table(claims)), _shown(claims_table(claims))]
    return "\n".join([*parts, *_fitting(_folds(records, claims), room - len("\n".join(parts)))])


def _folds(records: Records, claims: Claims) -> Iterator[tuple[str, str]]:
    """Title and text of every record: studies first."""
    for study in records.studies:
        record = study.record
        title = f"{record.title}: {claims.labels[setting_of(record)]}"
        shown = without_command(study_table(record), record.command)
        yield title, _fold(title, [shown], record.command)
    for title, bench in zip(bench_titles(records.benches), records.benches, strict=True):
        yield title, _fold(title, tables(bench.record), bench.record.command)


def _fitting(folds: Iterable[tuple[str, str]], room: int) -> Iterator[str]:
    """The folds that fit, with room kept for the names of those that do not."""
    folds = list(folds)
    if sum(len(text) + 1 for _, text in folds) <= room:
        yield from (text for _, text in folds)
        return
    spare = room - len(LEFT_OUT) - sum(len(_plain(title)) + 2 for title, _ in folds)
    absent = []
    for title, text in folds:
        if len(text) < spare:
            spare -= len(text) + 1
            yield text
        else:
            absent.append(_plain(title))
    yield LEFT_OUT + "; ".join(absent) + "\n"


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
