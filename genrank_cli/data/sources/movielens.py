"""MovieLens in its three layouts: ratings become events, the rating given is their action.

Layouts: ``100k`` (``u.data`` with tabs, ``u.item`` and ``u.user`` with bars, Latin-1), ``1m``
(``ratings.dat`` … with ``::``, Latin-1) and ``csv`` (``ratings.csv``, ``movies.csv``; half stars).
Task ``like`` is 1 for a rating of at least ``like_at``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl

from genrank_cli.data.card import Card, parse_options
from genrank_cli.data.declare import Frozen
from genrank_cli.data.sources import RawTables
from genrank_cli.data.sources.cells import Number
from genrank_cli.data.sources.files import find
from genrank_cli.data.sources.lines import text_rows, whole_number
from genrank_cli.data.sources.scan import Layout as TextLayout
from genrank_cli.data.sources.scan import Scan, header, scan_text
from genrank_cli.errors import data_error

YEAR_STEP = 5  # years to one value of the item field `year`
_YEAR = re.compile(r"\((\d{4})\)\s*$")
_NO_GENRE = {"(no genres listed)", "unknown", ""}
# The flags at the end of a line of u.item, in the order of u.genre.
GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime",
    "Documentary", "Drama", "Fantasy", "Film-Noir", "Horror", "Musical", "Mystery",
    "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


class Options(Frozen):
    """``[options]`` of a MovieLens card."""

    layout: Literal["100k", "1m", "csv"]
    like_at: float = 4.0


@dataclass(frozen=True)
class Layout:
    """How the rating file is written."""

    separator: str
    names: tuple[str, str, str, str]  # user, item, rating, timestamp
    header: bool
    lowest: float
    step: float

    @property
    def columns(self) -> list[Number]:
        user, item, rating, timestamp = self.names
        return [
            Number(user, 0, 2**53, whole=True),
            Number(item, 0, 2**53, whole=True),
            Number(rating, self.lowest, 5, step=self.step),
            # 1990 to 2100. The files are in seconds; milliseconds fall far outside.
            Number(timestamp, 631_152_000, 4_102_444_800, unit=" seconds since 1970"),
        ]

    @property
    def ratings(self) -> list[float]:
        """Every rating that can be given, ascending."""
        return [self.lowest + k * self.step for k in range(int((5 - self.lowest) / self.step) + 1)]


_PLAIN = ("user", "item", "rating", "timestamp")
_CSV = ("userId", "movieId", "rating", "timestamp")
LAYOUTS = {
    "100k": Layout("\t", _PLAIN, header=False, lowest=1, step=1),
    "1m": Layout("::", _PLAIN, header=False, lowest=1, step=1),
    "csv": Layout(",", _CSV, header=True, lowest=0.5, step=0.5),
}


def read(card: Card, raw_dir: Path | None) -> RawTables:
    """The raw tables of a MovieLens dataset in ``raw_dir``.

    Raises `GenrankError` (5) naming the file and line where a row is malformed.
    """
    options = parse_options(card, Options)
    files = find(card, raw_dir or Path())
    layout = LAYOUTS[options.layout]
    ratings = _scan(files["ratings"], layout)
    return RawTables(
        events=_events(ratings.frame, layout, options.like_at),
        users=_users(files["users"], options.layout) if "users" in files else None,
        items=_items(files["items"], options.layout) if "items" in files else None,
        explain=ratings.explain,
    )


def _scan(path: Path, layout: Layout) -> Scan:
    names = () if layout.header else layout.names
    text = TextLayout(layout.separator, names, quoted=False)
    found = header(path, text)
    if found != list(layout.names):
        expected, first = (layout.separator.join(row) for row in (layout.names, found))
        raise data_error(f"{path}, line 1: expected the header {expected!r}, found {first!r}")
    return scan_text([path], layout.columns, text)


def _events(ratings: pl.LazyFrame, layout: Layout, like_at: float) -> pl.LazyFrame:
    user, item, rating, timestamp = (pl.col(name) for name in layout.names)
    return ratings.select(
        user.alias("user"),
        item.alias("item"),
        timestamp.alias("timestamp"),
        (rating >= like_at).cast(pl.Float32).alias("task.like"),
        *(
            (rating == value).cast(pl.UInt8).alias(f"action.{_rating_name(value)}")
            for value in layout.ratings
        ),
        refused="refused",
    )


def _rating_name(value: float) -> str:
    """``rating_4`` for 4.0 stars, ``rating_0_5`` for half a star."""
    return f"rating_{value:g}".replace(".", "_")


def _users(path: Path, layout: str) -> pl.LazyFrame:
    """``age`` (first year of the decade, or ml-1m's own age group), ``gender``, ``occupation``."""
    rows = []
    if layout == "100k":
        for line, (user, age, gender, occupation, _) in text_rows(path, 5, "|", "latin-1"):
            decade = whole_number(path, line, "age", age) // 10 * 10
            rows.append((whole_number(path, line, "user", user), decade, gender, occupation))
    else:
        for line, (user, gender, age, occupation, _) in text_rows(path, 5, "::", "latin-1"):
            group = whole_number(path, line, "age", age)
            rows.append((whole_number(path, line, "user", user), group, gender, occupation))
    schema = {
        "user": pl.Int64,
        "field.age": pl.Int64,
        "field.gender": pl.String,
        "field.occupation": pl.String,
    }
    return pl.LazyFrame(rows, schema=schema, orient="row")


def _items(path: Path, layout: str) -> pl.LazyFrame:
    """``genres`` (several) and ``year`` (from the title, in steps of `YEAR_STEP`)."""
    rows = [
        (whole_number(path, line, "item", item), _names(genres), _year_step(title))
        for line, item, title, genres in _ITEM_ROWS[layout](path)
    ]
    columns = [
        ("item", pl.Int64()),
        ("field.genres", pl.List(pl.String)),
        ("field.year", pl.Int64()),
    ]
    schema = pl.Schema(columns)
    return pl.LazyFrame(rows, schema=schema, orient="row")


ItemRows = Iterator[tuple[int, str, str, list[str]]]  # line, id, title, genres


def _items_100k(path: Path) -> ItemRows:
    width = 5 + len(GENRES_100K)  # id, title, two dates, address, flags
    for line, row in text_rows(path, width, "|", "latin-1"):
        flags = zip(GENRES_100K, row[5:], strict=True)
        yield line, row[0], row[1], [genre for genre, flag in flags if flag == "1"]


def _items_1m(path: Path) -> ItemRows:
    for line, (item, title, genres) in text_rows(path, 3, "::", "latin-1"):
        yield line, item, title, genres.split("|")


def _items_csv(path: Path) -> ItemRows:
    header = ("movieId", "title", "genres")
    for line, (item, title, genres) in text_rows(path, 3, ",", "utf-8", header):
        yield line, item, title, genres.split("|")


_ITEM_ROWS = {"100k": _items_100k, "1m": _items_1m, "csv": _items_csv}


def _names(genres: list[str]) -> list[str]:
    return [genre for genre in genres if genre not in _NO_GENRE]


def _year_step(title: str) -> int | None:
    match = _YEAR.search(title)
    return int(match[1]) // YEAR_STEP * YEAR_STEP if match else None
