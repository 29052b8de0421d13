"""The canonical store: one folder of memory-mapped event columns, side tables and a manifest.

::

    <name>/manifest.json           counts, schema, checksums
    <name>/events/<column>.npy     one array per event column, all of length E
    <name>/users.arrow             id, field.*, number.*, statistic.*; row = user code
    <name>/items.arrow             the same of each item; row = item code
    <name>/content.npy             float32 [I, C], optional

Events are sorted by (user, timestamp, row in the source). Columns:
``user`` u32 [E] 0…U−1; ``item`` u32 [E] 0…I−1; ``timestamp`` f64 [E] seconds since 1970;
``request`` u32 [E] 0…R−1, non-decreasing; ``actions`` u32 [E] bitmask, bit k =
``manifest.actions[k]``; ``task.<name>`` f32 [E]; ``truth.<name>`` f32 [E], the probability or
expectation behind the label (synthetic data only); ``context.<name>`` u32 [E];
``number.<name>`` f32 [E], NaN = missing; ``apart`` u8 [E], where the source tells it: 1 = seen by
the user, but never trained on; ``window.<key>_<span>_count`` and ``window.<key>_<span>_<task>``
f32 [E], what was known when the event's request began.
Field and context codes: 0 = missing, 1…n = sorted raw values.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from genrank_cli.data.card import Task, canonical_hash, problems
from genrank_cli.data.declare import Buckets, Frozen, WindowSpec
from genrank_cli.data.side import read_column, read_field, read_number
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.errors import data_error

if TYPE_CHECKING:
    import polars as pl

BUILD_VERSION = 2
MANIFEST = "manifest.json"
EVENTS = "events"
CONTENT = "content.npy"


_NUMBERS = ("event_numbers", "user_numbers", "item_numbers")


class Counts(Frozen):
    """Rows kept and rows left out."""

    events: int
    users: int
    items: int
    requests: int
    dropped_duplicates: int  # exact copies of another event
    dropped_users: int  # listed by the source, but without events
    dropped_items: int
    unlisted_users: int  # with events, but unknown to the source's own table: all fields missing
    unlisted_items: int


class FieldInfo(Frozen):
    """A categorical field: number of codes including 0, and whether a row may hold several."""

    size: int
    multi: bool


class NumberInfo(Frozen):
    """A number of a side table: how it becomes a category, and whether it may tell the future.

    A ``statistic`` sums up a period of the log, the test period included.
    """

    buckets: Buckets
    statistic: bool


class TimeRange(Frozen):
    """First and last event, seconds since 1970."""

    first: float
    last: float


class FileRecord(Frozen):
    """What a stored file must look like: its size, and a hash of the values in it."""

    bytes: int
    sha256: str


class Manifest(Frozen):
    """Everything about a store but its rows."""

    name: str
    dataset_version: int
    build_version: int
    card_hash: str
    content_hash: str
    counts: Counts
    actions: list[str]
    tasks: list[Task]
    context: dict[str, int]  # name → number of codes including 0
    user_fields: dict[str, FieldInfo]
    item_fields: dict[str, FieldInfo]
    event_numbers: dict[str, Buckets]
    user_numbers: dict[str, NumberInfo]
    item_numbers: dict[str, NumberInfo]
    content_width: int
    windows: WindowSpec | None  # the tasks that it means are filled in
    apart: bool  # whether there is a column `apart`
    truth: bool
    request_rule: str
    split: SplitSpec
    time: TimeRange
    quirks: dict[str, int]  # peculiarity of the raw data → rows that show it
    sources: dict[str, str]  # raw file → SHA-256
    options: dict[str, Any]
    files: dict[str, FileRecord]  # stored file → size and hash

    def hash_content(self) -> str:
        """The content hash that this manifest's schema and file hashes add up to.

        It depends on the values and on their meaning (names of actions and tasks), not on the
        name of the store or on the libraries that wrote it.
        """
        meaning: dict[str, Any] = {
            "actions": self.actions,
            "tasks": [task.model_dump(mode="json") for task in self.tasks],
            "files": {name: record.sha256 for name, record in self.files.items()},
        }
        numbers = self.model_dump(mode="json", include=set(_NUMBERS))
        if any(numbers.values()):  # a store without numbers keeps the hash that it always had
            meaning["numbers"] = numbers
        return canonical_hash(meaning)

    @property
    def data_hash(self) -> str:
        """What a result on this store depends on: its content, and the split of its card."""
        return canonical_hash([self.content_hash, self.split.model_dump(mode="json")])

    def write(self, folder: Path) -> None:
        """Write ``manifest.json``, signed with a checksum of itself."""
        fields = self.model_dump(mode="json")
        fields["checksum"] = canonical_hash(fields)
        text = json.dumps(fields, indent=1, ensure_ascii=False)
        (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True, eq=False)
class SideTable:
    """Users or items; row = code.

    ``fields`` are int64 [rows], or [rows, K] padded with 0 where a row may hold several values.
    ``sizes`` are the numbers of codes including 0. ``content`` is float32 [rows, C], items only.
    ``numbers`` are float32 [rows], NaN = missing.
    """

    ids: pl.Series
    fields: dict[str, npt.NDArray[np.int64]]
    sizes: dict[str, int]
    content: npt.NDArray[np.float32] | None
    numbers: dict[str, npt.NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Store:
    """A built dataset, read-only. Opening maps files; it reads no events."""

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path) -> Store:
        """The store in folder ``path``.

        Raises `GenrankError` (5) when it is absent, incomplete, of another build version, or its
        manifest was edited. Values are not read: ``genrank data validate`` does that.
        """
        manifest = _read_manifest(path)
        for name, record in manifest.files.items():
            file = path / name
            found = file.stat().st_size if file.is_file() else None
            if found != record.bytes:
                size = "is missing" if found is None else f"has {found:,} bytes"
                message = f"{file} {size}; the manifest says {record.bytes:,} bytes"
                raise data_error(message, rebuild_hint(path.name))
        return cls(path, manifest)

    def column(self, name: str) -> npt.NDArray[Any]:
        """Event column ``name``, [E], mapped from the file: read-only and without a copy."""
        if name not in self._columns:
            mapped = np.load(self.path / EVENTS / f"{name}.npy", mmap_mode="r")
            # A plain ndarray view: numpy's memmap subclass is slow to slice.
            self._columns[name] = mapped.view(np.ndarray)
        return self._columns[name]

    @cached_property
    def columns(self) -> list[str]:
        """Names of the event columns, sorted."""
        files = sorted(self.manifest.files)
        return [Path(file).stem for file in files if file.startswith(f"{EVENTS}/")]

    @cached_property
    def user_offsets(self) -> npt.NDArray[np.int64]:
        """int64 [U + 1]: events of user u are rows ``[offsets[u], offsets[u + 1])``."""
        return _offsets(self.column("user"), self.manifest.counts.users)

    @cached_property
    def request_offsets(self) -> npt.NDArray[np.int64]:
        """int64 [R + 1]: events of request r are rows ``[offsets[r], offsets[r + 1])``."""
        return _offsets(self.column("request"), self.manifest.counts.requests)

    @cached_property
    def users(self) -> SideTable:
        """The users' side table."""
        manifest = self.manifest
        file = self.path / "users.arrow"
        return _read_side(file, manifest.user_fields, manifest.user_numbers, None)

    @cached_property
    def items(self) -> SideTable:
        """The items' side table, with the frozen content matrix where there is one."""
        manifest, content = self.manifest, None
        if manifest.content_width:
            content = np.load(self.path / CONTENT, mmap_mode="r")
        file = self.path / "items.arrow"
        return _read_side(file, manifest.item_fields, manifest.item_numbers, content)

    @cached_property
    def _columns(self) -> dict[str, npt.NDArray[Any]]:
        return {}


def rebuild_hint(name: str) -> str:
    """What to type when a store is absent or broken."""
    return f"run: genrank data build {name} --force"


def _read_manifest(path: Path) -> Manifest:
    file = path / MANIFEST
    try:
        fields = dict(json.loads(file.read_text(encoding="utf-8")))
        checksum = fields.pop("checksum", None)
    except FileNotFoundError:
        message = f"dataset {path.name!r} is not built: no {file}"
        raise data_error(message, f"run: genrank data build {path.name}") from None
    except (OSError, ValueError, TypeError) as error:
        message = f"{file} is not readable: {error}"
        raise data_error(message, rebuild_hint(path.name)) from error
    version = fields.get("build_version")
    if version != BUILD_VERSION:
        message = f"{file} has build version {version}; this genrank reads {BUILD_VERSION}"
        raise data_error(message, rebuild_hint(path.name))
    if canonical_hash(fields) != checksum:
        raise data_error(f"{file} was edited after the build", rebuild_hint(path.name))
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise data_error(f"{file}: {problems(error)}", rebuild_hint(path.name)) from error


def _offsets(codes: npt.NDArray[Any], size: int) -> npt.NDArray[np.int64]:
    """Row bounds of the runs of sorted ``codes``; int64 [size + 1]."""
    return np.searchsorted(codes, np.arange(size + 1, dtype=codes.dtype)).astype(np.int64)


def _read_side(
    file: Path,
    fields: dict[str, FieldInfo],
    numbers: dict[str, NumberInfo],
    content: npt.NDArray[np.float32] | None,
) -> SideTable:
    return SideTable(
        ids=read_column(file, "id"),
        fields={name: read_field(file, name, info) for name, info in fields.items()},
        sizes={name: info.size for name, info in fields.items()},
        content=content,
        numbers={name: read_number(file, name, info) for name, info in numbers.items()},
    )
