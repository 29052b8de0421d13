"""Lines of a text file that are no full rows: too short ones, and blank ones at the end.

To polars a missing cell and an empty one are the same.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

COMPRESSED = (".gz", ".zst")
_TAIL = 1 << 16  # bytes
_QUOTED = '"[^"]*"'
_NOWHERE = "\x1f"  # a separator that stands in no line, so that a line is one column


def uneven(path: Path, width: int, separator: str = ",", quoted: bool = True) -> bool:
    """Whether some line does not hold ``width`` cells; a pass that streams.

    Separators inside quotes do not count. A line end inside quotes counts as the end of a line, so
    that True means: look closer. Blank lines pass: without an id, their rows are refused anyway.
    """
    schema = {"line": pl.String()}
    rows = pl.scan_csv(path, schema=schema, has_header=False, separator=_NOWHERE, quote_char=None)
    line = pl.col("line").str.replace_all(_QUOTED, "") if quoted else pl.col("line")
    found = line.str.count_matches(separator, literal=True)
    wrong = (found != width - 1).fill_null(False).any()
    return bool(rows.select(wrong).collect(engine="streaming").item())


def blank_end(path: Path) -> int:
    """How many blank lines end a file; 0 of a compressed one, whose end is far to read."""
    if path.suffix in COMPRESSED:
        return 0
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - _TAIL))
        tail = stream.read()
    return max(0, tail[len(tail.rstrip(b"\r\n")) :].count(b"\n") - 1)
