"""AUC on parts of the test events (cold items) and of the other tasks, where a record has them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from genrank_cli.report.html.build import Html, el, join
from genrank_cli.report.html.tables import table
from genrank_cli.report.table import Column, Kind, Table, Value
from genrank_cli.studies.record import RowResult, StudyRecord

Numbers = Mapping[str, float]


def slices(record: StudyRecord) -> Html | None:
    """A table a set of slices, and one of the other tasks; None where the record has neither."""
    sets = dict.fromkeys(name for row in record.rows for name in row.slices)
    tables = [_slice_table(record, name) for name in sets]
    others = [task for task in record.tasks[1:] if any(task in row.tasks for row in record.rows)]
    if others:
        rows = {row.name: {task: row.tasks.get(task, {}) for task in others} for row in record.rows}
        tables.append(_table(record, "Other tasks", others, rows))
    return join([[el("h4", made.title), table(made)] for made in tables]) if tables else None


def _slice_table(record: StudyRecord, name: str) -> Table:
    rows = {row.name: row.slices.get(name, {}) for row in record.rows}
    parts = list(dict.fromkeys(part for found in rows.values() for part in found))
    return _table(record, f"Slices by {name}", parts, rows)


def _table(
    record: StudyRecord,
    title: str,
    parts: list[str],
    rows: Mapping[str, Mapping[str, Numbers]],
) -> Table:
    """One line a row: AUC of each part, and its difference to the base's there."""
    columns = [Column("row", "variant")]
    for part in parts:
        columns.append(Column(f"auc_{part}", f"AUC, {part}", Kind.NUMBER))
        columns.append(Column(f"delta_{part}", f"ΔAUC, {part}", Kind.NUMBER, signed=True))
    base = rows.get(record.base, {})
    ordered = sorted(record.rows, key=lambda row: row.role == "reference")
    return Table(
        title,
        columns,
        [[_name(row, record), *_cells(rows[row.name], base, parts)] for row in ordered],
        notes=_sizes(parts, rows),
    )


def _name(row: RowResult, record: StudyRecord) -> str:
    return f"{row.name} (base)" if row.name == record.base else row.name


def _cells(
    own: Mapping[str, Numbers], base: Mapping[str, Numbers], parts: list[str]
) -> list[Value]:
    cells: list[Value] = []
    for part in parts:
        auc, theirs = (found.get(part, {}).get("auc", math.nan) for found in (own, base))
        known = math.isfinite(auc)
        compared = known and math.isfinite(theirs) and own is not base
        cells += [auc if known else None, auc - theirs if compared else None]
    return cells


def _sizes(parts: list[str], rows: Mapping[str, Mapping[str, Numbers]]) -> list[str]:
    """How many test events the parts hold; the same for every row."""
    sizes = []
    for part in parts:
        events = next(
            (f[part]["events"] for f in rows.values() if "events" in f.get(part, {})), None
        )
        if events is not None:
            sizes.append(f"{part} {events:,.0f} test events")
    return [*([", ".join(sizes) + "."] if sizes else []), "Means over seeds, without an interval."]
