"""One table in one or several files: CSV, TSV or Parquet, told by the suffix."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genrank_cli.data.card import FileSpec
from genrank_cli.data.sources.cells import Column, Text, is_finite_number
from genrank_cli.data.sources.lines import READ_ERRORS, REPAIR, csv_rows, unreadable
from genrank_cli.data.sources.scan import (
    Layout,
    Scan,
    cast_frame,
    header,
    no_column,
    scan_text,
)
from genrank_cli.data.sources.widths import COMPRESSED
from genrank_cli.errors import GenrankError, data_error

SAMPLE = 10_000  # rows from which the types of a text file's columns are told
SEPARATORS = {".csv": ",", ".tsv": "\t", ".tab": "\t"}
PARQUET = (".parquet", ".pq")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")  # 007 is a name, not a number


@dataclass(frozen=True)
class TableFile:
    """``types``: of every column, in order. Of text, by the first rows: Int64, Float64, String."""

    paths: tuple[Path, ...]
    layout: Layout | None  # None: Parquet
    types: dict[str, pl.DataType]

    @property
    def names(self) -> list[str]:
        return list(self.types)

    def scan(self, columns: Sequence[Column]) -> Scan:
        """The columns as checked lazy rows; text in their types, Parquet's own where they fit.

        Raises `GenrankError` (5) for a column that is not there or holds something else.
        """
        columns = list(dict.fromkeys(columns))
        if self.layout is not None:
            return scan_text(self.paths, columns, self.layout)
        for column in columns:
            self._check_type(column)
        return Scan(
            cast_frame(pl.scan_parquet(list(self.paths), glob=False), columns, self.types),
            lambda: self._parquet_problem(columns),
            self.paths,
        )

    def place(self, row: int) -> str:
        """File and line (Parquet: row) of a row of the table, counted from 0; reads up to it."""
        for path in self.paths:
            if self.layout is None:
                size = pl.scan_parquet(path, glob=False).select(pl.len()).collect().item()
                if row < size:
                    return f"{path}, row {row + 1:,}"
                row -= size
                continue
            for index, (line, _) in enumerate(csv_rows(path, self.layout.separator)):
                if row + self.layout.header == index:
                    return f"{path}, line {line}"
            row -= index + 1 - self.layout.header
        raise IndexError(row)

    def _check_type(self, column: Column) -> None:
        found = self.types.get(column.name)
        if found is None:
            raise no_column(str(self.paths[0]), column.name, self.names)
        if not _fits(column, found):
            kind = "a number" if column.dtype.is_numeric() else "a text or a category"
            message = f"{self.paths[0]}: column {column.name!r} holds {found}, not {kind}"
            raise data_error(message, "name another column on the card, or convert this one")

    def _parquet_problem(self, columns: Sequence[Column]) -> GenrankError | None:
        for path in self.paths:
            frame = cast_frame(pl.scan_parquet(path, glob=False), columns, self.types)
            names = list(dict.fromkeys(column.name for column in columns))
            raw = pl.scan_parquet(path, glob=False).select(names)
            marked = pl.concat([raw, frame.select("refused")], how="horizontal")
            try:
                first = marked.with_row_index("?row").filter("refused").head(1).collect()
            except READ_ERRORS as error:
                return unreadable([path], error)
            for row in first.iter_rows(named=True):
                problems = (column.problem(_text(row[column.name])) for column in columns)
                reason = next(filter(None, problems), "a value that does not fit its column")
                return data_error(f"{path}, row {row['?row'] + 1:,}: {reason}", REPAIR)
        return None


def open_table(paths: Sequence[Path], spec: FileSpec) -> TableFile:
    """The table in ``paths``; reads names, types and, of text, the first rows.

    Raises `GenrankError` (5): unknown suffix, no header, not readable.
    """
    layouts = {_layout(path, spec) for path in paths}
    if len(layouts) > 1:
        raise data_error(
            f"{paths[0]} and {paths[-1]} are not in the same format",
            "give all files of a table one format",
        )
    layout = layouts.pop()
    types = _parquet_types(paths[0]) if layout is None else _text_types(paths[0], layout)
    if not types:
        raise data_error(f"{paths[0]} has no columns", REPAIR)
    return TableFile(tuple(paths), layout, types)


def suffix_separator(path: Path) -> str | None:
    """What stands between the fields, as the suffix says; None where it does not."""
    return SEPARATORS.get(_kind(path))


def _kind(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    kind = suffixes[-1] if suffixes else ""
    if kind in COMPRESSED:
        kind = suffixes[-2] if len(suffixes) > 1 else ""
    return kind


def _layout(path: Path, spec: FileSpec) -> Layout | None:
    if path.suffix.lower() in PARQUET:
        return None
    separator = spec.separator or suffix_separator(path)
    if separator is None:
        known = ", ".join((*SEPARATORS, ".parquet"))
        raise data_error(
            f"{path}: its format is not known: the suffix is none of {known} (.gz, .zst)",
            'rename it, or say what stands between the fields: separator = "," on the card',
        )
    return Layout(separator, spec.names)


def _text_types(path: Path, layout: Layout) -> dict[str, pl.DataType]:
    names = header(path, layout)
    rows = itertools.islice(csv_rows(path, layout.separator), int(layout.header), SAMPLE)
    cells = zip(*(row for _, row in rows if len(row) == len(names)), strict=True)
    found = dict(zip(names, map(_type_of, cells), strict=False))
    return {name: found.get(name, pl.String()) for name in names}


def _type_of(cells: Iterable[str]) -> pl.DataType:
    values = {cell for cell in cells if cell and cell.lower() != "nan"}
    if values and all(map(_INTEGER.fullmatch, values)):
        return pl.Int64()
    return pl.Float64() if values and all(map(is_finite_number, values)) else pl.String()


def _parquet_types(path: Path) -> dict[str, pl.DataType]:
    if path.stat().st_size == 0:
        raise data_error(f"{path} is empty", REPAIR)
    try:
        return dict(pl.scan_parquet(path, glob=False).collect_schema())
    except READ_ERRORS as error:
        raise unreadable([path], error) from error


def _fits(column: Column, found: pl.DataType) -> bool:
    if column.dtype.is_numeric():
        return found.is_numeric() or found == pl.Boolean
    if column.dtype.is_temporal():
        return found.is_temporal()
    plain = not found.is_nested() and found not in (pl.Binary, pl.Object, pl.Null)
    return plain or (isinstance(found, pl.List) and isinstance(column, Text) and column.several)


def _text(value: Any) -> str:
    """A value of a Parquet file as a text file would hold it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:.17g}"
    return str(value)
