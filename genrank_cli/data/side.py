"""The file of a side table, one column at a time: its memory is a column, not the table."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import polars as pl

    from genrank_cli.data.store import FieldInfo, NumberInfo

HASH_ROWS = 1 << 20


def read_column(file: Path, name: str) -> pl.Series:
    """Column ``name`` as it is stored."""
    import polars as pl

    return pl.scan_ipc(file).select(name).collect()[name]


def read_field(file: Path, name: str, info: FieldInfo) -> npt.NDArray[np.int64]:
    """Codes of a field: int64 [rows], or [rows, K] padded with 0 where a row may hold several."""
    column = read_column(file, f"field.{name}")
    return _padded(column) if info.multi else _codes(column)


def read_number(file: Path, name: str, info: NumberInfo) -> npt.NDArray[np.float32]:
    """A number or statistic: float32 [rows], NaN = missing."""
    return read_column(file, f"{'statistic' if info.statistic else 'number'}.{name}").to_numpy()


def hash_side(file: Path, fields: dict[str, FieldInfo], numbers: dict[str, NumberInfo]) -> str:
    """SHA-256 over ids, field codes and numbers, whatever file they are stored in."""
    digest = hashlib.sha256()
    ids = read_column(file, "id")
    digest.update(ids.str.len_bytes().to_numpy().astype(np.uint32).tobytes())
    for part in ids.to_frame().iter_slices(HASH_ROWS):
        digest.update(part["id"].str.join("").item().encode())
    for name, info in sorted(fields.items()):
        codes = read_field(file, name, info)
        digest.update(f"{name} {info.size} {codes.shape}".encode())
        digest.update(np.ascontiguousarray(codes).data)
    for name, number in sorted(numbers.items()):
        values = read_number(file, name, number)
        digest.update(f"{name} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _codes(column: pl.Series) -> npt.NDArray[np.int64]:
    return column.to_numpy().astype(np.int64)


def _padded(column: pl.Series) -> npt.NDArray[np.int64]:
    """The lists of ``column`` as rows [rows, K], K ≥ 1, padded with 0."""
    lengths = _codes(column.list.len())  # [rows]
    padded = np.zeros((len(column), max(1, int(lengths.max(initial=0)))), dtype=np.int64)
    filled = np.arange(padded.shape[1]) < lengths[:, None]  # [rows, K]
    padded[filled] = _codes(column.explode().drop_nulls())
    return padded
