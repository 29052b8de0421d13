"""A table, or a record of nested fields, as JSON with raw values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from genrank_cli.report.table import Interval, Table


def render(table: Table) -> str:
    """``title, header, columns, rows`` (one object per row) and ``notes``."""
    keys = [column.key for column in table.columns]
    return dump(
        {
            "title": table.title,
            "header": list(table.header),
            "columns": [
                {"key": column.key, "title": column.title, "unit": column.unit}
                for column in table.columns
            ],
            "rows": [dict(zip(keys, row, strict=True)) for row in table.rows],
            "notes": list(table.notes),
        }
    )


def dump(value: Any) -> str:
    """Strict JSON: an interval as ``value, low, high``; what is not a finite number as null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Interval):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
