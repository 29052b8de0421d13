"""Raw text, line by line: the slow and exact reader of small tables and of error messages."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from genrank_cli.errors import GenrankError, data_error

# What polars raises where a file is damaged; the last is no `Exception`.
READ_ERRORS = (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException)
REPAIR = "get the file again, or correct the line"


def lines(path: Path, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    """Line number from 1 and text without its end, of a file that may be compressed.

    Raises `GenrankError` (5) on a byte that is no text and where the compressed data are damaged.
    """
    for number, raw in enumerate(_raw_lines(path), start=1):
        try:
            yield number, raw.decode(encoding).rstrip("\r\n")
        except UnicodeDecodeError as error:
            message = f"{path}, line {number}: not {encoding.upper()} text ({error.reason})"
            raise data_error(message, REPAIR) from error


def _raw_lines(path: Path) -> Iterator[bytes]:
    if path.suffix == ".zst":
        yield from _zstd_lines(path)
        return
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield from stream
    except (OSError, EOFError, zlib.error) as error:
        raise unreadable([path], error) from error


def _zstd_lines(path: Path) -> Iterator[bytes]:
    try:
        for batch in pl.scan_lines(path).collect_batches():
            yield from (text.encode() for text in batch["line"].to_list())
    except READ_ERRORS as error:
        raise unreadable([path], error) from error


def unreadable(paths: Sequence[Path], said: object) -> GenrankError:
    """The error about files of which the reader says no more than this."""
    reason = str(said).strip().split("\n")[0] or type(said).__name__
    which = str(paths[0]) if len(paths) == 1 else f"one of {len(paths)} files from {paths[0]} on"
    return data_error(f"{which} cannot be read: {reason}", "get the file again, or write it anew")


def csv_rows(
    path: Path, separator: str = ",", encoding: str = "utf-8"
) -> Iterator[tuple[int, list[str]]]:
    """Number of the last line and cells of each row; cells may be quoted and hold line ends.

    Raises `GenrankError` (5) naming the line where the quotes are wrong.
    """
    numbered = lines(path, encoding)
    reader = csv.reader((text + "\n" for _, text in numbered), delimiter=separator, strict=True)
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise data_error(f"{path}, line {reader.line_num}: {error}", REPAIR) from error


def text_rows(
    path: Path, fields: int, separator: str, encoding: str, header: Sequence[str] = ()
) -> Iterator[tuple[int, list[str]]]:
    """Line number and fields of a small text table; commas may be quoted, as in CSV.

    Raises `GenrankError` (5) naming the line where the header or the number of fields is wrong.
    """
    if separator == ",":
        split = csv_rows(path, separator, encoding)
    else:
        split = ((number, text.split(separator)) for number, text in lines(path, encoding))
    if header:
        number, found = next(split, (1, []))
        if found != list(header):
            raise data_error(f"{path}, line {number}: expected the header {separator.join(header)}")
    for number, row in split:
        if len(row) != fields:
            message = f"{path}, line {number}: expected {fields} fields, found {len(row)}"
            raise data_error(message, REPAIR)
        yield number, row


def whole_number(path: Path, line: int, name: str, text: str) -> int:
    """``text`` as an integer; raises `GenrankError` (5) naming file, line and column."""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise data_error(f"{path}, line {line}: {name} {text!r} is not a whole number", REPAIR)
    return int(text)
