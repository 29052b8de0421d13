"""Event columns as files: their names, writing them piece by piece, the hash of their values."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.lib.format as npy
import numpy.typing as npt

from genrank_cli.data.declare import WindowSpec
from genrank_cli.data.store import FileRecord

HASH_ROWS = 1 << 20


def window_columns(spec: WindowSpec | None) -> list[str]:
    """Names of the event columns of the window statistics; ``spec`` names its tasks."""
    if spec is None:
        return []
    runs = [f"window.{key}_{span}" for key in spec.keys for span in spec.spans]
    return [f"{run}_{what}" for run in runs for what in ("count", *spec.tasks)]


class ColumnWriter:
    """Writes one ``.npy`` file in pieces, so that memory does not grow with its length."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.rows = 0
        self._hash = ValueHash(self.dtype)
        self._file = path.open("wb")
        self._write_header()

    def append(self, values: npt.NDArray[Any]) -> None:
        """Add ``values`` [n], of a type that casts to the column's without loss of kind."""
        exact = np.ascontiguousarray(values.astype(self.dtype, casting="same_kind", copy=False))
        self._file.write(exact.data)
        self._hash.update(exact)
        self.rows += len(exact)

    def close(self) -> FileRecord:
        """Write the final length and force the file to disk."""
        self._file.seek(0)
        self._write_header()  # numpy pads the header, so any length fits in the same bytes
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return FileRecord(bytes=self.path.stat().st_size, sha256=self._hash.hexdigest())

    def _write_header(self) -> None:
        shape = (self.rows,)
        header = {"descr": npy.dtype_to_descr(self.dtype), "fortran_order": False, "shape": shape}
        npy.write_array_header_1_0(self._file, header)

    def __enter__(self) -> ColumnWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


class ValueHash:
    """SHA-256 over the type and the bytes of an array given in pieces."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._hash = hashlib.sha256(dtype.str.encode())

    def update(self, values: npt.NDArray[Any]) -> None:
        self._hash.update(np.ascontiguousarray(values).data)

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


def hash_values(values: npt.NDArray[Any]) -> str:
    """The hash that `ColumnWriter` records, of a stored array; reads it in slices."""
    digest = ValueHash(values.dtype)
    for start in range(0, len(values), HASH_ROWS):
        digest.update(values[start : start + HASH_ROWS])
    return digest.hexdigest()
