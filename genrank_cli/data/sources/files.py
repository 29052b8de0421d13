"""Raw files: where they are, whether they are the right ones, and what is wrong with a line."""

from __future__ import annotations

import csv
import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.errors import GenrankError, data_error

log = logging.getLogger(__name__)

_REPAIR = "get the file again, or correct the line"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


def find(card: Card, raw_dir: Path) -> dict[str, Path]:
    """Key on the card → file, in ``raw_dir`` itself or in a folder there named like the dataset.

    Optional files may be absent. Raises `GenrankError` (5) naming the first missing one.
    """
    found = {}
    for key, spec in card.files.items():
        places = [raw_dir / spec.path, raw_dir / card.name / spec.path]
        file = next((place for place in places if place.is_file()), None)
        if file is not None:
            found[key] = file
        elif not spec.optional:
            message = f"{card.name}: no file {spec.path} in {raw_dir} or {raw_dir / card.name}"
            raise data_error(message, _where_to_get(card))
    return found


def checksums(card: Card, raw_dir: Path, verify: bool = True) -> dict[str, str]:
    """Path on the card → SHA-256 of the file found.

    Raises `GenrankError` (5) where the card knows another one, unless ``verify`` is off: then it
    is a warning.
    """
    sums = {}
    for key, file in find(card, raw_dir).items():
        spec = card.files[key]
        with file.open("rb") as stream:
            sums[spec.path] = hashlib.file_digest(stream, "sha256").hexdigest()
        if spec.sha256 not in (None, sums[spec.path]):
            message = (
                f"{file} is not the official file: "
                f"expected SHA-256 {spec.sha256}, found {sums[spec.path]}"
            )
            if verify:
                hint = f"{_where_to_get(card)}; or accept this file with --no-verify"
                raise data_error(message, hint)
            log.warning("%s; accepted by --no-verify", message)
    return sums


def _where_to_get(card: Card) -> str:
    if not card.downloads:
        return "give its folder with --raw-dir"
    return (
        "build without --raw-dir to download it, or get it from "
        f"{card.homepage or card.downloads[0].url} and name its folder with --raw-dir"
    )


@dataclass(frozen=True)
class Number:
    """A column that must hold a number in [low, high], in multiples of ``step`` if that is set."""

    name: str
    low: float
    high: float
    step: float | None = None
    whole: bool = False
    unit: str = ""

    @property
    def dtype(self) -> pl.DataType:
        return pl.Int64() if self.whole else pl.Float64()

    def allowed(self) -> pl.Expr:
        """Whether the value may stand here; NaN and null may not."""
        value = pl.col(self.name)
        # NaN compares greater than every number in polars, so the upper bound refuses it.
        good = value.is_between(self.low, self.high)
        if self.step:
            good &= (value / self.step) == (value / self.step).floor()
        return good.fill_null(False)

    def problem(self, text: str) -> str:
        """Why ``text`` may not stand here; empty if it may. Spaces around it do not matter."""
        text = text.strip(" ")
        if not (re.fullmatch(r"[+-]?\d+", text) if self.whole else _NUMBER.fullmatch(text)):
            kind = "whole number" if self.whole else "number"
            return f"{self.name} {text!r} is not a {kind}"
        value = float(text)
        if not self.low <= value <= self.high:
            bounds = f"{self.low:.15g} to {self.high:.15g}{self.unit}"
            return f"{self.name} {text} is outside {bounds}{self._milliseconds(value)}"
        if self.step and not (value / self.step).is_integer():
            return f"{self.name} {text} is not a multiple of {self.step:g}"
        return ""

    def _milliseconds(self, value: float) -> str:
        looks_so = self.unit and self.low <= value / 1000 <= self.high
        return "; this looks like milliseconds, seconds are expected" if looks_so else ""


def scan_numbers(
    path: Path, columns: Sequence[Number], separator: str, header: bool
) -> pl.LazyFrame:
    """A file of numbers as a lazy frame, after one streaming pass that checks every value.

    ``separator`` may be one character repeated (``::``). Raises `GenrankError` (5) naming the
    first bad line and what is wrong with it.
    """
    if path.stat().st_size == 0:
        raise data_error(f"{path} is empty", _REPAIR)
    width = len(separator)
    schema: dict[str, pl.DataType] = {}
    for index, column in enumerate(columns):
        if index:  # polars splits at single characters: a::b has an empty column between
            schema |= {f"_{index}_{empty}": pl.String() for empty in range(width - 1)}
        schema[column.name] = column.dtype
    scan = pl.scan_csv(
        path, schema=schema, separator=separator[0], has_header=header, quote_char=None
    )
    good = pl.all_horizontal(
        [column.allowed() for column in columns]
        + [pl.col(name).is_null() for name in schema if name.startswith("_")]
    )
    if header:
        _check_header(path, [column.name for column in columns], separator)
    try:
        bad = scan.select((~good).sum()).collect(engine="streaming").item()
    except pl.exceptions.PolarsError as error:
        raise _first_bad_line(path, columns, separator, header, str(error)) from error
    if bad:
        raise _first_bad_line(path, columns, separator, header, f"{bad:,} bad rows")
    return scan.select(column.name for column in columns)


def _check_header(path: Path, names: list[str], separator: str) -> None:
    _, first = next(lines(path, "utf-8"), (1, ""))
    if first.split(separator) != names:
        expected = separator.join(names)
        raise data_error(f"{path}, line 1: expected the header {expected!r}, found {first!r}")


def _first_bad_line(
    path: Path, columns: Sequence[Number], separator: str, header: bool, otherwise: str
) -> GenrankError:
    """The error that names the first bad line; a slow pass, made only when something is wrong."""
    try:
        for number, line in lines(path, "utf-8"):
            reason = "" if header and number == 1 else _line_problem(line, columns, separator)
            if reason:
                return data_error(f"{path}, line {number}: {reason}", _REPAIR)
    except GenrankError as error:
        return error
    return data_error(f"{path} cannot be read: {otherwise}", _REPAIR)


def _line_problem(line: str, columns: Sequence[Number], separator: str) -> str:
    texts = line.split(separator)
    if len(texts) != len(columns):
        return f"expected {len(columns)} fields separated by {separator!r}, found {len(texts)}"
    problems = (column.problem(text) for column, text in zip(columns, texts, strict=True))
    return next(filter(None, problems), "")


def lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Line number from 1 and text without its end; raises `GenrankError` (5) on a bad byte."""
    with path.open("rb") as stream:
        for number, raw in enumerate(stream, start=1):
            try:
                yield number, raw.decode(encoding).rstrip("\r\n")
            except UnicodeDecodeError as error:
                message = f"{path}, line {number}: not {encoding.upper()} text ({error.reason})"
                raise data_error(message, _REPAIR) from error


def text_rows(
    path: Path, fields: int, separator: str, encoding: str, header: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of a small text table; commas may be quoted, as in CSV.

    Raises `GenrankError` (5) naming the line where the header or the number of fields is wrong.
    """
    numbered = lines(path, encoding)
    if separator == ",":
        split = _csv_rows(path, numbered)
    else:
        split = ((number, text.split(separator)) for number, text in numbered)
    if header:
        number, found = next(split, (1, []))
        if found != list(header):
            raise data_error(f"{path}, line {number}: expected the header {separator.join(header)}")
    for number, row in split:
        if len(row) != fields:
            message = f"{path}, line {number}: expected {fields} fields, found {len(row)}"
            raise data_error(message, _REPAIR)
        yield number, row


def _csv_rows(path: Path, numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader((text + "\n" for _, text in numbered), strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise data_error(f"{path}, line {reader.line_num}: {error}", _REPAIR) from error


def whole_number(path: Path, line: int, name: str, text: str) -> int:
    """``text`` as an integer; raises `GenrankError` (5) naming file, line and column."""
    if not re.fullmatch(r"\d+", text):
        raise data_error(f"{path}, line {line}: {name} {text!r} is not a whole number", _REPAIR)
    return int(text)
