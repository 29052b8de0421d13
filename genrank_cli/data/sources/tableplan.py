"""What is read of one of the user's own files, and which canonical columns are made of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import polars as pl

from genrank_cli.data.mapping import TODO, CategoryColumn, IdColumn, Rule, TimeColumn
from genrank_cli.data.sources.cells import Column, Number, Text
from genrank_cli.data.sources.moment import Moment
from genrank_cli.data.sources.scan import Scan, no_column
from genrank_cli.data.sources.tablefile import SAMPLE, TableFile
from genrank_cli.errors import data_error

_TESTS = {
    "==": pl.Expr.__eq__,
    "!=": pl.Expr.__ne__,
    ">=": pl.Expr.__ge__,
    "<=": pl.Expr.__le__,
    ">": pl.Expr.__gt__,
    "<": pl.Expr.__lt__,
}


@dataclass
class TablePlan:
    """Columns of ``file`` with their rules, and the outputs made of them; ``card`` is its name.

    Every method raises `GenrankError` (5) for a column that the file lacks or that does not fit.
    """

    card: str
    file: TableFile
    columns: list[Column] = field(default_factory=list)
    outputs: dict[str, pl.Expr] = field(default_factory=dict)

    def scan(self) -> Scan:
        """The outputs, ``refused`` and ``doubtful``, lazily."""
        scan = self.file.scan(self.columns)
        return replace(scan, frame=scan.frame.select("refused", "doubtful", **self.outputs))

    def add_id(self, output: str, key: str, spec: IdColumn) -> bool:
        """A column that is never empty: whole numbers, or text. Returns whether it is numbers."""
        whole = self._is_whole(spec, key)
        column: Column = Text(spec.column, missing=False)
        if whole:
            column = Number(
                spec.column, -(2**63), 2**63 - 1, whole=True, note=self._note(spec, key)
            )
        dtype = pl.Int64() if whole else pl.String()
        self._add(output, column, pl.col(spec.column).cast(dtype))
        return whole

    def add_time(self, spec: TimeColumn) -> None:
        """``timestamp`` in seconds since 1970."""
        moment = self._moment(spec)
        self._add("timestamp", moment, moment.seconds())

    def add_label(
        self, output: str, key: str, rule: Rule, dtype: pl.DataType, binary: bool
    ) -> None:
        """A label by its rule; a ``binary`` one is 0 or 1."""
        try:
            name, test, value = rule.parse(self.file.names)
        except ValueError as error:
            hint = "write COLUMN, COLUMN >= NUMBER, or COLUMN == 'TEXT'"
            raise data_error(f"{self.card}: {key}: {error}", hint) from error
        self._type_of(name, key)
        if test is None:
            column: Column = Number(name, 0, 1, step=1) if binary else Number(name)
            self._add(output, column, pl.col(name).cast(dtype))
            return
        text = isinstance(value, str)
        read = pl.col(name).cast(pl.String) if text else pl.col(name)
        column = Text(name, missing=False) if text else Number(name)
        self._add(output, column, _TESTS[test](read, pl.lit(value)).cast(dtype))

    def add_category(self, output: str, key: str, spec: CategoryColumn, several: bool) -> None:
        """A raw category, null where the cell is empty; ``several`` allows a list of them."""
        found = self._type_of(spec.column, key)
        self.columns.append(Text(spec.column, several=several))
        value = pl.col(spec.column)
        if isinstance(found, pl.List):
            self.outputs[output] = value.cast(pl.List(pl.String))
        elif spec.separator is not None:
            parts = _filled(value.cast(pl.String)).str.split(spec.separator)
            parts = parts.list.eval(_filled(pl.element().str.strip_chars(" ")).drop_nulls())
            self.outputs[output] = parts
        elif self.file.layout is None and found.is_integer():
            self.outputs[output] = value
        else:
            self.outputs[output] = _filled(value.cast(pl.String))

    def add_number(self, output: str, key: str, name: str) -> None:
        """A number, null or NaN where it is missing."""
        self._type_of(name, key)
        self._add(output, Number(name, missing=True), pl.col(name))

    def _add(self, output: str, column: Column, value: pl.Expr) -> None:
        self.columns.append(column)
        self.outputs[output] = value

    def _type_of(self, name: str, key: str) -> pl.DataType:
        if name == TODO:
            message = f"{self.card}: {key} is still {TODO} on the card: which column is it?"
            raise data_error(message, f"the columns are: {', '.join(self.file.names)}")
        if name not in self.file.types:
            raise no_column(f"{self.card}: {key}: {self.file.paths[0]}", name, self.file.names)
        return self.file.types[name]

    def _is_whole(self, spec: IdColumn, key: str) -> bool:
        found = self._type_of(spec.column, key)
        if spec.type is not None:
            return spec.type == "integer"
        # Ids with gaps are often floats in Parquet; in a text file 12.0 is a name like any other.
        return found.is_integer() or (self.file.layout is None and found.is_numeric())

    def _note(self, spec: IdColumn, key: str) -> str:
        if spec.type is not None:
            return ""
        remedy = f'{key.rpartition(".")[2]} = {{ column = "{spec.column}", type = "text" }}'
        if self.file.layout is None:
            large = self.file.types[spec.column] == pl.UInt64
            return f"; to keep such ids as text, write {remedy}" if large else ""
        return f", as the first {SAMPLE:,} rows are; if it may be text, write {remedy}"

    def _moment(self, spec: TimeColumn) -> Moment:
        found = self._type_of(spec.column, "columns.timestamp")
        where = f"{self.card}: columns.timestamp: column {spec.column!r} of {self.file.paths[0]}"
        if found.is_temporal() and found not in (pl.Date, pl.Datetime):
            raise data_error(f"{where} holds {found}, not a moment", "name another column")
        if found.is_temporal():
            if spec.unit not in (None, "iso"):
                hint = "take `unit` out of the card: the file says it itself"
                raise data_error(f"{where} holds {found}, not {spec.unit}", hint)
            return Moment(spec.column, "date")
        if spec.format is not None or spec.unit == "iso":
            if found.is_numeric() and self.file.layout is None:
                hint = 'write unit = "s", "ms", "us" or "ns"'
                raise data_error(f"{where} holds numbers, not text", hint)
            return Moment(spec.column, "text", format=spec.format)
        if found == pl.String and spec.unit is None:
            hint = 'write unit = "iso", a format, or the unit of a number: s, ms, us, ns'
            raise data_error(f"{where} holds text, not seconds", hint)
        return Moment(spec.column, "number", spec.unit or "s", relative=spec.relative)


def _filled(text: pl.Expr) -> pl.Expr:
    """``text``, with null for an empty one."""
    return pl.when(text != "").then(text)
