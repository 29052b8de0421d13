"""Frozen content vectors of the items: from arrays, from Parquet, or made from categories or text.

An item that the file lacks, or lists without content, gets zeros; rows of unknown items are left
out. Everything is computed in pieces of `CHUNK` items and depends on nothing but the files and the
card: hashing has no state, and the decomposition starts from a fixed seed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.data.declare import ContentSpec
from genrank_cli.data.sources.cells import Text
from genrank_cli.data.sources.files import find
from genrank_cli.data.sources.lines import READ_ERRORS, lines, unreadable
from genrank_cli.data.sources.scan import no_column
from genrank_cli.data.sources.tablefile import open_table
from genrank_cli.errors import GenrankError, data_error

log = logging.getLogger(__name__)

CHUNK = 100_000  # items whose texts are turned into vectors at a time
FIT_ITEMS = 200_000  # items that the weights and directions of `tfidf` are found from
NGRAMS = (1, 3)  # characters, so that text without spaces between its words works as well
NGRAM_BUCKETS = 2**18
SEED = 0

Vectors = npt.NDArray[np.float32]


def content_vectors(card: Card, raw_dir: Path, item_ids: pl.Series) -> Vectors:
    """float32 [items, width] as ``card.content`` says; ``item_ids`` are the raw ids in code order.

    Raises `GenrankError` (5) naming file and row or column: absent or unreadable file, missing
    column, an item listed twice, vectors of different widths, values that are not finite.
    """
    spec = card.content
    if spec is None:
        raise data_error(f"{card.name} declares no content")
    known = pl.DataFrame({"id": item_ids.cast(pl.String)}).with_row_index("code")
    content, found = KINDS[spec.kind](card, spec, _Files(card, raw_dir), known)
    missing = len(known) - found
    if missing:
        log.info("content: %s of %s items have none; they get zeros", missing, len(known))
    return content


class _Files:
    """The card's files by key."""

    def __init__(self, card: Card, raw_dir: Path) -> None:
        self._card = card
        self._found = find(card, raw_dir)

    def __call__(self, key: str) -> Path:
        if key in self._found:
            return self._found[key]
        listed = self._card.files.get(key)
        if listed is None:
            offered = ", ".join(self._card.files) or "none"
            raise data_error(f"content.file: the card has no file {key!r}; it has {offered}")
        path = ", ".join(listed.all_paths)
        hint = "get it, or leave [content] out of the card"
        raise data_error(f"{self._card.name}: content is made from {path}, which is absent", hint)


def _from_npy(
    card: Card, spec: ContentSpec, files: _Files, known: pl.DataFrame
) -> tuple[Vectors, int]:
    path = files(spec.file)
    array = _load_npy(path)
    if spec.ids is None:
        ids = pl.int_range(len(array), eager=True).cast(pl.String)
    else:
        ids = pl.Series([text for _, text in lines(files(spec.ids))], dtype=pl.String)
        if len(ids) != len(array):
            message = f"{path} has {len(array):,} rows, but {files(spec.ids)} has {len(ids):,} ids"
            raise data_error(message, "write one id a line, one line for each row of the array")
    listed = pl.DataFrame({"id": ids}).with_row_index("row")
    places = _places(known, listed, files(spec.ids) if spec.ids else path)
    content = np.zeros((len(known), array.shape[1]), np.float32)
    for code, row in _chunks(places):
        content[code] = _finite(array[row], row, path)
    return content, len(places)


def _load_npy(path: Path) -> npt.NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise data_error(f"{path} is not an .npy array: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        shape = getattr(array, "shape", "no shape")
        message = f"{path} holds {getattr(array, 'dtype', 'no array')} {shape}"
        raise data_error(message, "content is a matrix of numbers, one row for each item")
    if array.shape[1] == 0:
        raise data_error(f"{path} has vectors of width 0")
    return array


def _from_column(
    card: Card, spec: ContentSpec, files: _Files, known: pl.DataFrame
) -> tuple[Vectors, int]:
    path = files(spec.file)
    listed = _read_column(path, spec, known)
    places = _places(known, listed, path)
    vectors = listed.filter(pl.col("row").is_in(places["row"].implode()))
    width = _one_width(vectors, path, spec)
    flat = vectors["vector"].explode().cast(pl.Float32).fill_null(float("nan")).to_numpy()
    rows = vectors["row"].to_numpy()
    content = np.zeros((len(known), width), np.float32)
    codes = vectors.join(places, on="row", how="left", maintain_order="left")["code"].to_numpy()
    content[codes] = _finite(flat.reshape(len(rows), width), rows, path)
    return content, len(places)


def _read_column(path: Path, spec: ContentSpec, known: pl.DataFrame) -> pl.DataFrame:
    """``row``, ``id`` and ``vector`` (a list) of the known items that have one."""
    column = spec.column or "content"
    try:
        scan = pl.scan_parquet(path, glob=False)
        schema = scan.collect_schema()
        for name in (spec.id, column):
            if name not in schema:
                raise no_column(str(path), name, list(schema))
        kind = schema[column]
        inner = kind.inner if isinstance(kind, pl.List | pl.Array) else None
        if inner is None or not pl.Series(dtype=inner).dtype.is_numeric():
            raise data_error(f"{path}: column {column!r} holds {kind}, not lists of numbers")
        vector = pl.col(column).cast(pl.List(pl.Float64)).alias("vector")
        table = scan.select(pl.col(spec.id).cast(pl.String).alias("id"), vector)
        wanted = pl.col("id").is_in(known["id"].implode()) & pl.col("vector").is_not_null()
        return table.with_row_index("row").filter(wanted).collect().sort("row")
    except READ_ERRORS as error:
        raise unreadable([path], error) from error


def _one_width(vectors: pl.DataFrame, path: Path, spec: ContentSpec) -> int:
    widths = vectors["vector"].list.len()
    if not len(widths):
        raise data_error(f"{path}: none of its items is in the data", "check the column `id`")
    other = vectors.filter(widths != widths[0])
    if len(other):
        row, width = other["row"][0] + 1, len(other["vector"][0])
        message = f"{path}, row {row:,}: a vector of width {width}, those before have {widths[0]}"
        raise data_error(message, "all vectors must have one width")
    if widths[0] == 0:
        raise data_error(f"{path} has vectors of width 0")
    return int(widths[0])


def _from_categories(
    card: Card, spec: ContentSpec, files: _Files, known: pl.DataFrame
) -> tuple[Vectors, int]:
    from sklearn.feature_extraction import FeatureHasher

    table = _read_texts(card, spec, files, known)
    hasher = FeatureHasher(spec.width, input_type="string", dtype=np.float32)
    content = np.zeros((len(known), spec.width), np.float32)
    for code, part in _texts(table):
        tokens = [_tokens(row) for row in part.select(spec.columns).iter_rows(named=True)]
        content[code] = hasher.transform(tokens).toarray()
    return content, len(table)


def _tokens(row: dict[str, Any]) -> list[str]:
    """``column=value`` of every category that the row has."""
    return [
        f"{name}={one}"
        for name, value in row.items()
        for one in (value if isinstance(value, list) else [value])
        if one not in (None, "")
    ]


def _from_text(
    card: Card, spec: ContentSpec, files: _Files, known: pl.DataFrame
) -> tuple[Vectors, int]:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    table = _read_texts(card, spec, files, known)
    counter = HashingVectorizer(
        analyzer="char",
        ngram_range=NGRAMS,
        n_features=NGRAM_BUCKETS,
        alternate_sign=False,
        norm=None,
        dtype=np.float32,
    )
    sample = table.gather_every(max(1, -(-len(table) // FIT_ITEMS)))
    counts = counter.transform(_documents(sample, spec))
    if counts.nnz == 0:
        columns = ", ".join(spec.columns)
        raise data_error(f"{files(spec.file)}: no item of the data has a text in {columns}")
    weights = TfidfTransformer(sublinear_tf=True).fit(counts)
    # A decomposition of n texts has at most n directions; the rest of the width stays 0.
    svd = TruncatedSVD(min(spec.width, len(sample)), random_state=SEED)
    svd.fit(weights.transform(counts))
    content = np.zeros((len(known), spec.width), np.float32)
    for code, part in _texts(table):
        vectors = svd.transform(weights.transform(counter.transform(_documents(part, spec))))
        content[code, : vectors.shape[1]] = vectors
    return content, len(table)


def _documents(table: pl.DataFrame, spec: ContentSpec) -> list[str]:
    """The text columns of each row, one below the other."""
    columns = [
        pl.col(name).list.join(" ") if isinstance(table[name].dtype, pl.List) else pl.col(name)
        for name in spec.columns
    ]
    return table.select(pl.concat_str(columns, separator="\n", ignore_nulls=True))[:, 0].to_list()


def _read_texts(card: Card, spec: ContentSpec, files: _Files, known: pl.DataFrame) -> pl.DataFrame:
    """``code`` and the text columns of the known items that the file lists, by code."""
    if not spec.columns:
        raise data_error(f"{card.name}: content.columns must name the columns of the text")
    path = files(spec.file)
    columns = [Text(spec.id, missing=False), *(Text(name, several=True) for name in spec.columns)]
    scan = open_table([path], card.files[spec.file]).scan(columns)
    wanted = pl.col(spec.id).cast(pl.String).is_in(known["id"].implode()) | pl.col("refused")
    try:
        table = scan.frame.with_row_index("?row").filter(wanted).collect()
    except READ_ERRORS as error:
        raise scan.explain(str(error)) from error
    if table["refused"].any():
        raise scan.explain(f"{table['refused'].sum():,} bad rows")
    listed = table.select(pl.col("?row").alias("row"), pl.col(spec.id).cast(pl.String).alias("id"))
    places = _places(known, listed, path)
    if not len(places):
        raise data_error(f"{path}: none of its items is in the data", f"is {spec.id!r} the id?")
    coded = table.join(places.rename({"row": "?row"}), on="?row")
    return coded.select("code", *spec.columns).sort("code")


def _places(known: pl.DataFrame, listed: pl.DataFrame, path: Path) -> pl.DataFrame:
    """``code`` and ``row`` of every known item that is ``listed``, by code."""
    both = known.join(listed, on="id").sort("code", "row")
    twice = both.filter(pl.col("code").is_duplicated())
    if len(twice):
        first, second = twice["row"][:2].to_list()
        message = f"{path}: item {twice['id'][0]} is listed twice, in rows {first + 1:,} and "
        raise data_error(message + f"{second + 1:,}", "keep one of the two")
    return both.select("code", "row")


def _chunks(places: pl.DataFrame) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    for part in places.iter_slices(CHUNK):
        yield part["code"].to_numpy(), part["row"].to_numpy()


def _texts(table: pl.DataFrame) -> Iterator[tuple[npt.NDArray[Any], pl.DataFrame]]:
    for part in table.iter_slices(CHUNK):
        yield part["code"].to_numpy(), part


def _finite(vectors: npt.NDArray[Any], rows: npt.NDArray[Any], path: Path) -> Vectors:
    """The vectors [n, width] of ``rows`` in single precision, checked."""
    with np.errstate(over="ignore"):  # too large for single precision is infinite, found below
        exact = vectors.astype(np.float32)
    broken = np.flatnonzero(~np.isfinite(exact).all(axis=1))
    if len(broken):
        first = broken[0]
        column = int(np.flatnonzero(~np.isfinite(exact[first]))[0])
        value = vectors[first, column]
        raise _not_finite(path, int(rows[first]), column, value)
    return exact


def _not_finite(path: Path, row: int, column: int, value: Any) -> GenrankError:
    where = f"{path}, row {row + 1:,}, place {column + 1:,} of the vector"
    return data_error(f"{where}: {value} is not a finite number of single precision")


#: kind → the vectors [items, width] and how many items have one
KINDS: dict[str, Callable[[Card, ContentSpec, _Files, pl.DataFrame], tuple[Vectors, int]]] = {
    "npy": _from_npy,
    "column": _from_column,
    "hash": _from_categories,
    "tfidf": _from_text,
}
