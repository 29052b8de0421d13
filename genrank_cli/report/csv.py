"""A table as CSV: raw values at full precision, an interval as three columns."""

from __future__ import annotations

import csv
import io

from genrank_cli.report.table import Interval, Table, Value


def render(table: Table) -> str:
    """One line of keys, then one per row; an interval ``auc`` adds ``auc_low, auc_high``."""
    wide = [
        any(isinstance(row[index], Interval) for row in table.rows)
        for index in range(len(table.columns))
    ]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    keys: list[str] = []
    for column, is_wide in zip(table.columns, wide, strict=True):
        keys += [column.key, f"{column.key}_low", f"{column.key}_high"] if is_wide else [column.key]
    writer.writerow(keys)
    for row in table.rows:
        cells: list[str] = []
        for value, is_wide in zip(row, wide, strict=True):
            cells += _cells(value, is_wide)
        writer.writerow(cells)
    return buffer.getvalue()


def _cells(value: Value, wide: bool) -> list[str]:
    if isinstance(value, Interval):
        return [repr(value.value), repr(value.low), repr(value.high)]
    return [_raw(value), "", ""] if wide else [_raw(value)]


def _raw(value: str | int | float | bool | None) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else repr(value)
