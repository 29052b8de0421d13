"""Raw files as lazy frames that are checked in the pass which the builder makes over them anyway.

A row that breaks the rules of its columns is marked in the column ``refused``. Which line it is and
what is wrong with it is found by a second, slow pass, made only when something is wrong.
"""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrank_cli.data.sources.cells import Column, short
from genrank_cli.data.sources.lines import READ_ERRORS, REPAIR, csv_rows, lines, unreadable
from genrank_cli.data.sources.widths import blank_end, uneven
from genrank_cli.errors import GenrankError, data_error

#: a column that several rules name is read as the first of these that one of them asks for
PREFERRED = (pl.Float64, pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.String)


@dataclass(frozen=True)
class Scan:
    """``frame``: the columns asked for, ``refused`` and ``doubtful`` (bool).

    ``problem`` looks for the first bad row in a slow pass: the error that names it, None if all
    rows are good. ``recheck`` does so where rows are ``doubtful``: they are good unless their line
    is too short, which the frame cannot tell. ``paths``: the files.
    """

    frame: pl.LazyFrame
    problem: Callable[[], GenrankError | None]
    paths: tuple[Path, ...]
    recheck: Callable[[], GenrankError | None] = lambda: None

    def explain(self, said: str) -> GenrankError:
        """The error that names the first bad row, else one with what a reader ``said``."""
        return self.problem() or unreadable(self.paths, said)

    def checked(self) -> pl.DataFrame:
        """All rows of a small file; raises `GenrankError` (5) naming the first bad one."""
        try:
            table = self.frame.collect()
        except READ_ERRORS as error:
            raise self.explain(str(error)) from error
        bad = int(table["refused"].sum())
        if bad:
            raise self.explain(f"{bad:,} bad rows")
        if table["doubtful"].any() and (found := self.recheck()):
            raise found
        return table.drop("refused", "doubtful")


@dataclass(frozen=True)
class Layout:
    """How a text file is written: separator (one character, or one repeated), header, quotes.

    ``names``: the columns where no header names them.
    """

    separator: str = ","
    names: tuple[str, ...] = ()
    quoted: bool = True

    @property
    def header(self) -> bool:
        return not self.names


def header(path: Path, layout: Layout) -> list[str]:
    """Names of the file's columns; raises `GenrankError` (5) where the file is empty or no text."""
    if path.stat().st_size == 0:
        raise data_error(f"{path} is empty", REPAIR)
    if not layout.header:
        return list(layout.names)
    _, names = next(_rows(path, layout), (1, []))
    if not any(names):
        raise data_error(f"{path}, line 1: no header that names the columns", REPAIR)
    return [names[0].removeprefix("\ufeff"), *names[1:]]


def scan_text(paths: Sequence[Path], columns: Sequence[Column], layout: Layout) -> Scan:
    """Columns of one or several text files of the same layout, by their names in the header.

    A name may stand in several ``columns``: then it is read once and must satisfy all. Raises
    `GenrankError` (5) for a missing, doubled or differing header column.
    """
    names = header(paths[0], layout)
    for path in paths:
        _check_header(path, header(path, layout), names, columns)
    scan = _scan(paths, columns, names, layout)
    between = [pl.col(name).is_null() for name in _between(names, layout)]
    wanted = dict.fromkeys(column.name for column in columns)
    frame = scan.select(
        *wanted, refused=refused(columns, between), doubtful=_doubtful(columns, names)
    )
    return Scan(
        frame,
        lambda: _text_problem(paths, columns, names, layout),
        tuple(paths),
        lambda: _short_row(paths, columns, names, layout),
    )


def cast_frame(
    scan: pl.LazyFrame, columns: Sequence[Column], types: Mapping[str, pl.DataType]
) -> pl.LazyFrame:
    """The columns of ``scan``, numbers cast to their types, and ``refused``.

    A value that the cast would change is refused: a text that is no number, an integer that is too
    large, the fraction of a whole number.
    """
    casts, kept = [], [pl.lit(True)]
    for name in {column.name for column in columns if column.dtype.is_numeric()}:
        value, dtype = pl.col(name), read_type(name, columns)
        cast = value.cast(dtype, strict=False)
        casts.append(cast)
        kept.append(value.is_null() == cast.is_null())
        if dtype.is_integer() and (types[name].is_float() or types[name].is_decimal()):
            kept.append((value == cast).fill_null(True))
    names = list(dict.fromkeys(column.name for column in columns))
    marked = scan.select(*names, _kept=pl.all_horizontal(kept)).with_columns(*casts)
    bad = refused(columns, [pl.col("_kept")])
    return marked.select(*names, refused=bad, doubtful=pl.lit(False))


def refused(columns: Iterable[Column], further: Iterable[pl.Expr] = ()) -> pl.Expr:
    """Whether a row breaks the rule of one of its columns."""
    return ~pl.all_horizontal(*(column.allowed() for column in columns), *further)


def read_type(name: str, columns: Iterable[Column]) -> pl.DataType:
    """The type as which a column is read that several rules name: a number before text."""
    wanted = [column.dtype for column in columns if column.name == name]
    return next((dtype() for dtype in PREFERRED if dtype() in wanted), pl.String())


def no_column(where: str, name: str, names: Sequence[str]) -> GenrankError:
    """The error about a column that a file lacks: what it has, and the nearest match."""
    close = difflib.get_close_matches(name, names, n=1)
    offered = ", ".join(short(found)[1:-1] for found in names[:40])
    more = f" and {len(names) - 40:,} more" if len(names) > 40 else ""
    hint = f"did you mean {close[0]!r}?" if close else "correct the card or the file"
    return data_error(f"{where}: no column {name!r}; it has {offered}{more}", hint)


def _check_header(
    path: Path, found: list[str], names: list[str], columns: Sequence[Column]
) -> None:
    for column in columns:
        if column.name not in found:
            raise no_column(f"{path}, line 1", column.name, found)
        if found.count(column.name) > 1:
            raise data_error(f"{path}, line 1: the column {column.name!r} stands there twice")
    if found != names:
        message = f"{path}, line 1: not the columns of the first file: {', '.join(found[:40])}"
        raise data_error(message, "give all files of a table the same columns in the same order")


def _scan(
    paths: Sequence[Path],
    columns: Sequence[Column],
    names: list[str],
    layout: Layout,
    as_text: bool = False,
) -> pl.LazyFrame:
    """Columns by place: polars would refuse names that a file has twice. Others get other names.

    Blank lines at the end of a file are left out.
    """
    blank = [blank_end(path) for path in paths]
    if any(blank) and len(paths) > 1:
        return pl.concat(_scan([path], columns, names, layout, as_text) for path in paths)
    wanted = {column.name for column in columns}
    schema: dict[str, pl.DataType] = {}
    for index, name in enumerate(names):
        # polars splits at single characters: a::b has an empty column between
        schema |= dict.fromkeys(_gaps(index, layout), pl.String())
        dtype = pl.String() if as_text else read_type(name, columns)
        schema[name if name in wanted else f"?{index}"] = dtype
    scan = pl.scan_csv(
        list(paths),
        schema=schema,
        separator=layout.separator[0],
        has_header=False,
        skip_rows=int(layout.header),
        quote_char='"' if layout.quoted else None,
        glob=False,
    )
    if any(blank):  # of one file: its last rows are those that have none so many rows further on
        scan = scan.filter(pl.col(next(iter(schema))).is_null().shift(-blank[0]).is_not_null())
    return scan


def _doubtful(columns: Sequence[Column], names: list[str]) -> pl.Expr:
    """Whether the last cell is empty or missing, where the rules do not refuse it anyway."""
    name, last = names[-1], [column for column in columns if column.name == names[-1]]
    if any(column.problem("") for column in last):
        return pl.lit(False)
    return pl.col(name if last else f"?{len(names) - 1}").is_null()


def _gaps(index: int, layout: Layout) -> list[str]:
    """Names of the empty columns before a column, where the separator has several characters."""
    return [f"|{index}.{place}" for place in range(1, len(layout.separator))] if index else []


def _between(names: list[str], layout: Layout) -> list[str]:
    return [gap for index in range(len(names)) for gap in _gaps(index, layout)]


def _rows(path: Path, layout: Layout) -> Iterator[tuple[int, list[str]]]:
    if layout.quoted:
        return csv_rows(path, layout.separator)
    return ((number, text.split(layout.separator)) for number, text in lines(path))


def _text_problem(
    paths: Sequence[Path], columns: Sequence[Column], names: list[str], layout: Layout
) -> GenrankError | None:
    """The first bad row: looked for from where a fast pass finds one, else everywhere."""
    starts = [(path, _first_suspect(path, columns, names, layout)) for path in paths]
    suspects = [(path, start) for path, start in starts if start is not None]
    found = (
        _problem_from(path, start, columns, names, layout)
        for path, start in (*suspects, *((path, 0) for path in paths))
    )
    return next((error for error in found if error is not None), None)


def _short_row(
    paths: Sequence[Path], columns: Sequence[Column], names: list[str], layout: Layout
) -> GenrankError | None:
    """The first row that is too short; slow only for files that seem to have one."""
    for path in paths:
        try:
            suspect = uneven(path, len(names), layout.separator, layout.quoted)
        except READ_ERRORS as error:
            return unreadable([path], error)
        if suspect and (found := _problem_from(path, 0, columns, names, layout)):
            return found
    return None


def _first_suspect(
    path: Path, columns: Sequence[Column], names: list[str], layout: Layout
) -> int | None:
    """Index of the first row that is refused, read as text; 0 where polars cannot say."""
    scan = _scan([path], columns, names, layout, as_text=True)
    frame = cast_frame(scan, columns, dict.fromkeys(names, pl.String()))
    try:
        rows = frame.select("refused").with_row_index().filter("refused").head(1).collect()
    except READ_ERRORS:
        return 0
    return int(rows["index"][0]) if len(rows) else None


def _problem_from(
    path: Path, start: int, columns: Sequence[Column], names: list[str], layout: Layout
) -> GenrankError | None:
    places = [(column, names.index(column.name)) for column in columns]
    blank = 0
    try:
        for number, row in itertools.islice(_rows(path, layout), start + layout.header, None):
            if not any(row) and len(row) < min(2, len(names)):
                blank = blank or number
                continue
            reason = "" if blank else _row_problem(row, len(names), places, layout.separator)
            if blank or reason:
                return _bad_line(path, blank or number, reason)
    except GenrankError as error:
        return error
    return _bad_line(path, blank) if blank and not blank_end(path) else None


def _bad_line(path: Path, number: int, reason: str = "") -> GenrankError:
    return data_error(f"{path}, line {number}: {reason or 'a blank line'}", REPAIR)


def _row_problem(
    row: list[str], width: int, places: list[tuple[Column, int]], separator: str
) -> str:
    if len(row) != width:
        return f"expected {width} fields separated by {separator!r}, found {len(row)}"
    return next(filter(None, (column.problem(row[place]) for column, place in places)), "")
