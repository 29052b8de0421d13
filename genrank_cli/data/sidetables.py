"""Users' and items' fields: raw values → codes, one row per code of the store."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.data.columns import hash_values
from genrank_cli.data.declare import QUANTILES, Buckets
from genrank_cli.data.side import hash_side, read_column
from genrank_cli.data.sources import RawTables
from genrank_cli.data.staging import Stage, number
from genrank_cli.data.store import CONTENT, FieldInfo, FileRecord, Manifest, NumberInfo
from genrank_cli.data.vocabulary import Vocabulary
from genrank_cli.data.workspace import disk_full
from genrank_cli.errors import data_error

log = logging.getLogger(__name__)

GROUPS = ("field.", "number.", "statistic.")


@dataclass(frozen=True)
class SideSummary:
    """What was written, and which rows did not match the events."""

    fields: dict[str, FieldInfo]
    numbers: dict[str, NumberInfo]
    content_width: int
    dropped: int  # rows of the source without events
    unlisted: int  # ids with events that the source does not list


def write_sides(
    card: Card, tables: RawTables, raw_dir: Path | None, staged: Stage, folder: Path
) -> tuple[SideSummary, SideSummary]:
    """Write the tables of users and of items with their content vectors."""
    numbers = card.numbers
    users = write_side(tables.users, "user", staged.users, numbers.get("user", {}), folder)
    items = write_side(tables.items, "item", staged.items, numbers.get("item", {}), folder)
    width = _write_content(card, raw_dir, staged.items, folder)
    return users, replace(items, content_width=width or items.content_width)


def _write_content(card: Card, raw_dir: Path | None, items: Vocabulary, folder: Path) -> int:
    """Write the content vectors that the card declares; their width, 0 without any."""
    if card.content is None:
        return 0
    if raw_dir is None:
        raise data_error(f"{card.name}: content vectors come from raw files, and there are none")
    if (folder / CONTENT).exists():
        hint = "leave [content] out of the card"
        raise data_error(f"{card.name}: the source gives content vectors of its own", hint)
    from genrank_cli.data.content import content_vectors

    content = content_vectors(card, raw_dir, items.values)
    write_content(content, folder)
    return int(content.shape[1])


def write_side(
    raw: pl.LazyFrame | None,
    key: str,
    ids: Vocabulary,
    buckets: Mapping[str, Buckets],
    folder: Path,
) -> SideSummary:
    """Write ``users.arrow`` or ``items.arrow`` (``key`` is ``user`` or ``item``) into ``folder``.

    ``buckets`` are those that the card declares, by number. Raises `GenrankError` (5): an id listed
    twice, an unknown column, a number or content that is not finite.
    """
    nothing = pl.LazyFrame(schema={key: ids.values.dtype})
    table = _staged(nothing if raw is None else raw, key, ids, folder)
    coded, infos = _fields(table)
    numbers, number_infos = _numbers(table, key, buckets)
    frame = pl.DataFrame([ids.values.cast(pl.String).alias("id"), *coded, *numbers])
    frame.write_ipc(folder / f"{key}s.arrow", compression="uncompressed")
    content = _content(table, key)
    if content is not None:
        write_content(content, folder)
    table.file.unlink()
    unlisted = table.rows.null_count()
    return SideSummary(
        fields=infos,
        numbers=number_infos,
        content_width=0 if content is None else content.shape[1],
        dropped=table.listed - (len(ids) - unlisted),
        unlisted=0 if raw is None else unlisted,
    )


def side_hash(folder: Path, file: str, manifest: Manifest) -> str:
    """The hash of ``users.arrow`` or ``items.arrow`` of the store in ``folder``."""
    if file == "users.arrow":
        return hash_side(folder / file, manifest.user_fields, manifest.user_numbers)
    return hash_side(folder / file, manifest.item_fields, manifest.item_numbers)


def write_content(content: npt.NDArray[np.float32], folder: Path) -> None:
    """Write the content matrix [items, C] of the store in ``folder``."""
    np.save(folder / CONTENT, content, allow_pickle=False)


def content_record(folder: Path) -> FileRecord:
    """Size and hash of the content matrix."""
    file = folder / CONTENT
    return FileRecord(bytes=file.stat().st_size, sha256=hash_values(np.load(file, mmap_mode="r")))


@dataclass(frozen=True)
class _Table:
    """A raw side table on disk, read column by column."""

    file: Path
    columns: list[str]
    listed: int  # rows
    ids: Vocabulary
    rows: pl.Series  # u32 [ids], row of each id in the file; null where it is not listed

    def column(self, name: str) -> pl.Series:
        """Values of the ids, in the order of their codes; null where one is not listed."""
        return read_column(self.file, name).gather(self.rows)


def _staged(raw: pl.LazyFrame, key: str, ids: Vocabulary, folder: Path) -> _Table:
    file = folder / f"{key}s.raw.arrow"
    try:
        raw.sink_ipc(file)
        keys = read_column(file, key).cast(ids.values.dtype)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if disk_full(error):
            raise
        raise data_error(f"the {key}s of the source cannot be read: {error}") from error
    columns = pl.scan_ipc(file).collect_schema().names()
    unknown = [c for c in columns if c not in (key, "content") and not c.startswith(GROUPS)]
    if unknown:
        raise data_error(f"the source gives the {key}s an unknown column {unknown[0]!r}")
    if keys.n_unique() < len(keys):
        first = keys.filter(keys.is_duplicated()).cast(pl.String).sort()[0]
        raise data_error(f"{key} {first} is listed twice among the {key}s of the source")
    places = pl.DataFrame({key: keys}).with_row_index("row")
    known = pl.DataFrame({key: ids.values})
    rows = known.join(places, on=key, how="left", maintain_order="left")["row"]
    return _Table(file, columns, len(keys), ids, rows)


def _fields(table: _Table) -> tuple[list[pl.Series], dict[str, FieldInfo]]:
    coded, infos = [], {}
    for column in table.columns:
        if not column.startswith("field."):
            continue
        raw = table.column(column)
        multi = isinstance(raw.dtype, pl.List)
        codes, size = (_encode_lists if multi else _encode_values)(raw)
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


def _numbers(
    table: _Table, key: str, buckets: Mapping[str, Buckets]
) -> tuple[list[pl.Series], dict[str, NumberInfo]]:
    """The numbers as float32, NaN = missing, and what is to be known of each."""
    columns: list[pl.Series] = []
    found: list[tuple[str, bool]] = []
    for column in table.columns:
        group, _, name = column.partition(".")
        if group not in ("number", "statistic"):
            continue
        if name in dict(found):
            raise data_error(f"the source gives the {key}s a number and a statistic {name!r}")
        raw = table.column(column).to_frame()
        columns.append(raw.select(number(column)).to_series())
        found.append((name, group == "statistic"))
        infinite = columns[-1].is_infinite().arg_true()
        if len(infinite):
            raise data_error(f"{column} of {key} {table.ids.values[infinite[0]]} is not finite")
    chosen = choose_buckets([name for name, _ in found], buckets, key)
    infos = {
        name: NumberInfo(buckets=chosen[name], statistic=statistic) for name, statistic in found
    }
    return columns, infos


def choose_buckets(
    names: list[str], declared: Mapping[str, Buckets], key: str
) -> dict[str, Buckets]:
    """Buckets of each number: the card's, else quantiles. Warns where the card names another."""
    for name in sorted(set(declared) - set(names)):
        log.warning("the card has buckets for %s number %s, which the source lacks", key, name)
    default = Buckets(quantiles=QUANTILES)
    return {name: declared.get(name, default) for name in names}


def _content(table: _Table, key: str) -> npt.NDArray[np.float32] | None:
    """float32 [rows, C]; zeros for items that the source does not list."""
    if "content" not in table.columns:
        return None
    column = table.column("content")
    if not isinstance(column.dtype, pl.Array) or column.dtype.size == 0:
        raise data_error(f"item content must be an array of one width, found {column.dtype}")
    content = np.zeros((len(column), column.dtype.size), dtype=np.float32)
    present = column.is_not_null().to_numpy()
    content[present] = column.drop_nulls().to_numpy()
    broken = np.flatnonzero(~np.isfinite(content).all(axis=1))
    if broken.size:
        raise data_error(f"content of {key} {table.ids.values[int(broken[0])]} is not finite")
    return content
