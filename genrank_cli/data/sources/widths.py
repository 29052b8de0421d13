"""Rows of a comma-separated file that are too short: their missing cells would parse as empty."""

from __future__ import annotations

from pathlib import Path

import polars as pl

_QUOTED = '"[^"]*"'
_NOWHERE = "\x1f"  # a separator that stands in no line, so that a line is one column


def uneven(path: Path, width: int) -> bool:
    """Whether some line does not hold ``width`` cells; a pass that streams.

    Commas inside quotes do not count. A line end inside quotes counts as the end of a line, so
    that True means: look closer.
    """
    schema = {"line": pl.String()}
    rows = pl.scan_csv(path, schema=schema, has_header=False, separator=_NOWHERE, quote_char=None)
    commas = pl.col("line").str.replace_all(_QUOTED, "").str.count_matches(",", literal=True)
    wrong = (commas != width - 1).fill_null(True).any()
    return bool(rows.select(wrong).collect(engine="streaming").item())
