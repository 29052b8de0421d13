"""What is in the columns of a file: types, number of values, missing cells, ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from genrank_cli.data.card import FileSpec
from genrank_cli.data.sources.cells import Text, short
from genrank_cli.data.sources.lines import READ_ERRORS, unreadable
from genrank_cli.data.sources.moment import Moment
from genrank_cli.data.sources.tablefile import PARQUET, SEPARATORS, TableFile, open_table
from genrank_cli.errors import data_error

ROWS = 1_000_000  # rows looked at
CELLS = 50_000_000  # and cells, of very wide files
SHOWN = 20  # a column with at most so many values has them listed
EXACT = 2.0**53  # larger integers are not all different as floats
_INTEGER = r"^-?(0|[1-9][0-9]{0,17})$"  # 007 is a name, not a number
_NUMBER = r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class Seen:
    """A column of the rows looked at.

    ``kind``: integer, number, text, boolean, date, list, or other (binary and the like).
    ``low`` and ``high``: of numbers. ``values``: all of them, as text, where they are few; first
    and last of dates.
    ``separated``: share of cells that hold ``|``.
    """

    name: str
    kind: str
    distinct: int
    missing: float
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    separated: float = 0.0

    @property
    def summary(self) -> str:
        """Values or range in a few words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:.15g} to {self.high:.15g}"
        if self.kind == "date" and self.values:
            return f"{self.values[0]} to {self.values[-1]}"
        shown = ", ".join(value[:20] for value in self.values[:4])
        return shown + (", …" if len(self.values) > 4 else "")


@dataclass(frozen=True)
class Look:
    """The columns of a table in ``paths``; ``complete``: all rows were looked at."""

    table: TableFile
    columns: tuple[Seen, ...]
    rows: int
    complete: bool
    frame: pl.DataFrame


def look(paths: list[Path], spec: FileSpec) -> Look:
    """Look at the first rows of a table; raises `GenrankError` (5) where it cannot be read.

    So it does for a blank line between others, and where the separator is another one.
    """
    table = open_table(paths, spec)
    _check_separator(table)
    limit = max(1, min(ROWS, CELLS // len(table.names)))
    frame = _head(table, limit + 1)
    if frame.is_empty():
        raise data_error(f"{paths[0]} has columns but no rows", "name a file with events")
    complete = len(frame) <= limit
    frame = frame.head(limit)
    _check_blank(table, frame)
    columns = tuple(_seen(frame[name], table.layout is not None) for name in table.names)
    return Look(table, columns, len(frame), complete, frame)


def file_spec(path: Path, separator: str | None) -> FileSpec:
    """The file as on a card; ``separator`` (or ``tab``) is for text, where the suffix misleads."""
    if separator is None or path.suffix.lower() in PARQUET:
        return FileSpec(path=str(path))
    return FileSpec(path=str(path), separator="\t" if separator in ("tab", "\\t") else separator)


def _check_separator(table: TableFile) -> None:
    """One column whose name holds what could stand between several."""
    layout, name = table.layout, table.names[0]
    others = [mark for mark in (";", "|", *SEPARATORS.values()) if mark in name]
    if layout is None or len(table.names) > 1 or not others:
        return
    shown = "tab" if others[0] == "\t" else others[0]
    message = f"{table.paths[0]}, line 1: one column only, {short(name)}"
    toml = "\\t" if others[0] == "\t" else others[0]
    raise data_error(
        f"{message}; {shown!r} seems to separate the fields, not {layout.separator!r}",
        f'give --separator "{shown}"; on a card it is separator = "{toml}" in [files.events]',
    )


def _check_blank(table: TableFile, frame: pl.DataFrame) -> None:
    """A blank line would be a row without anything, and no column would be complete."""
    if table.layout is None or not frame.select(pl.all_horizontal(pl.all().is_null())).sum().item():
        return
    problem = table.scan([Text(name) for name in table.names]).problem()
    if problem is not None:
        raise problem


def _head(table: TableFile, rows: int) -> pl.DataFrame:
    if table.layout is None:
        scan = pl.scan_parquet(list(table.paths), glob=False)
        try:
            return scan.head(rows).collect()
        except READ_ERRORS as error:
            raise unreadable(table.paths, error) from error
    text = table.scan([Text(name) for name in table.names])
    head = text.frame.drop("refused", "doubtful").head(rows)
    unmarked = head.with_columns(refused=pl.lit(False), doubtful=pl.lit(False))
    return replace(text, frame=unmarked).checked()


def _seen(raw: pl.Series, is_text: bool) -> Seen:
    name, values = raw.name, raw
    if raw.dtype == pl.String and is_text:
        values = pl.select(pl.when(raw != "").then(raw)).to_series().alias(name)
    kind = _kind(values)
    if kind in ("list", "other"):
        return Seen(name, kind, 0, values.null_count() / len(values))
    raw = present = values.drop_nulls()
    if kind in ("integer", "number"):
        present = present.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
    missing = 1 - len(present) / len(values)
    large = present.dtype == pl.Float64 and bool((present.abs() > EXACT).any())
    distinct = (raw if large else present).n_unique()
    shown = present.unique().sort().head(SHOWN) if distinct <= SHOWN else present.head(0)
    if kind == "date" and len(present):
        shown = pl.Series([present.min(), present.max()])
    seen = Seen(name, kind, distinct, missing, values=tuple(map(_written, shown.to_list())))
    if kind in ("integer", "number") and len(present):
        numbers = present.cast(pl.Float64).to_numpy()
        return replace(seen, low=float(numbers.min()), high=float(numbers.max()))
    if kind == "text" and len(present):
        return replace(seen, separated=_share(present))
    return seen


def _share(texts: pl.Series) -> float:
    """Share of the texts that hold ``|``."""
    return int(texts.cast(pl.String).str.contains("|", literal=True).sum()) / len(texts)


def _kind(values: pl.Series) -> str:
    dtype = values.dtype
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_numeric():
        return "integer" if dtype.is_integer() else "number"
    if dtype in (pl.Date, pl.Datetime):
        return "date"
    if isinstance(dtype, pl.List):
        return "list"
    if dtype == pl.String:
        return _text_kind(values.drop_nulls())
    return "text" if dtype in (pl.Categorical, pl.Enum) else "other"


def _text_kind(texts: pl.Series) -> str:
    present = texts.filter(texts.str.to_lowercase() != "nan")
    if present.is_empty():
        return "text"
    if present.str.contains(_INTEGER).all():
        return "integer"
    if present.str.contains(_NUMBER).all():
        return "number"
    moment = Moment(present.name, "text")
    is_date = present.head(1000).to_frame().select(moment.allowed().all()).item()
    return "date" if is_date else "text"


def _written(value: object) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
