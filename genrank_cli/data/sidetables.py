"""Users' and items' fields: raw values → codes, one row per code of the store."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from genrank_cli.data.columns import hash_values
from genrank_cli.data.store import CONTENT, FieldInfo, FileRecord, SideTable
from genrank_cli.data.vocabulary import Vocabulary
from genrank_cli.errors import data_error


@dataclass(frozen=True)
class SideSummary:
    """What was written, and which rows did not match the events."""

    fields: dict[str, FieldInfo]
    content_width: int
    dropped: int  # rows of the source without events
    unlisted: int  # ids with events that the source does not list


def write_side(raw: pl.LazyFrame | None, key: str, ids: Vocabulary, folder: Path) -> SideSummary:
    """Write ``users.arrow`` or ``items.arrow`` (``key`` is ``user`` or ``item``) into ``folder``.

    Raises `GenrankError` (5): an id listed twice, an unknown column, content that is not finite.
    """
    known = pl.DataFrame({key: ids.values})
    table = known if raw is None else _collect(raw, key, ids)
    joined = known.join(table.with_columns(listed=True), on=key, how="left").sort(key)
    coded, infos = _encode(joined)
    frame = pl.DataFrame([ids.values.cast(pl.String).alias("id"), *coded])
    frame.write_ipc(folder / f"{key}s.arrow", compression="uncompressed")
    content = _content(joined)
    if content is not None:
        np.save(folder / CONTENT, content, allow_pickle=False)
    listed = joined["listed"].count()
    return SideSummary(
        fields=infos,
        content_width=0 if content is None else content.shape[1],
        dropped=0 if raw is None else len(table) - listed,
        unlisted=0 if raw is None else len(ids) - listed,
    )


def hash_side(table: SideTable) -> str:
    """SHA-256 over ids and field codes, whatever file they are stored in."""
    digest = hashlib.sha256()
    lengths = table.ids.str.len_bytes().to_numpy()
    digest.update(lengths.astype(np.uint32).tobytes())
    digest.update(table.ids.str.join("").item().encode())
    for name, codes in sorted(table.fields.items()):
        digest.update(f"{name} {table.sizes[name]} {codes.shape}".encode())
        digest.update(np.ascontiguousarray(codes).data)
    return digest.hexdigest()


def content_record(folder: Path) -> FileRecord:
    """Size and hash of the content matrix."""
    file = folder / CONTENT
    return FileRecord(bytes=file.stat().st_size, sha256=hash_values(np.load(file, mmap_mode="r")))


def _collect(raw: pl.LazyFrame, key: str, ids: Vocabulary) -> pl.DataFrame:
    table = raw.collect()
    unknown = [c for c in table.columns if c not in (key, "content") and c[:6] != "field."]
    if unknown:
        raise data_error(f"the source gives the {key}s an unknown column {unknown[0]!r}")
    table = table.with_columns(pl.col(key).cast(ids.values.dtype))
    twice = table.filter(pl.col(key).is_duplicated())[key]
    if len(twice):
        first = twice.cast(pl.String).sort()[0]
        raise data_error(f"{key} {first} is listed twice among the {key}s of the source")
    return table


def _encode(joined: pl.DataFrame) -> tuple[list[pl.Series], dict[str, FieldInfo]]:
    coded, infos = [], {}
    for column in joined.columns:
        if not column.startswith("field."):
            continue
        multi = isinstance(joined[column].dtype, pl.List)
        codes, size = (_encode_lists if multi else _encode_values)(joined[column])
        coded.append(codes.alias(column))
        infos[column.removeprefix("field.")] = FieldInfo(size=size, multi=multi)
    return coded, infos


def _encode_values(raw: pl.Series) -> tuple[pl.Series, int]:
    vocabulary = Vocabulary.of(raw)
    return pl.Series(vocabulary.field(raw)), vocabulary.size


def _encode_lists(raw: pl.Series) -> tuple[pl.Series, int]:
    """Lists of distinct codes, ascending; empty where the row has none."""
    rows = pl.DataFrame({"row": np.arange(len(raw)), "value": raw})
    long = rows.explode("value").drop_nulls().unique()
    vocabulary = Vocabulary.of(long["value"])
    codes = long.with_columns(code=pl.Series(vocabulary.field(long["value"]), dtype=pl.UInt32))
    lists = codes.sort("row", "code").group_by("row", maintain_order=True).agg("code")
    joined = rows.select("row").join(lists, on="row", how="left").sort("row")
    return joined["code"].fill_null(pl.Series([[]], dtype=pl.List(pl.UInt32))), vocabulary.size


def _content(joined: pl.DataFrame) -> np.ndarray | None:
    """float32 [rows, C]; zeros for items that the source does not list."""
    if "content" not in joined.columns:
        return None
    column = joined["content"]
    if not isinstance(column.dtype, pl.Array) or column.dtype.size == 0:
        raise data_error(f"item content must be an array of one width, found {column.dtype}")
    content = np.zeros((len(column), column.dtype.size), dtype=np.float32)
    present = column.is_not_null().to_numpy()
    content[present] = column.drop_nulls().to_numpy()
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    if broken.size:
        raise data_error(f"content of item {joined['item'][int(broken[0])]} is not finite")
    return content
