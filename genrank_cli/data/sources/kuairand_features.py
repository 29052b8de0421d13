"""KuaiRand's tables of users and videos, as fields and numbers.

An empty cell, ``UNKNOWN`` and every negative number (the files write -124) mean that the value is
missing. The files write some whole numbers as ``1.0``: that is the category 1.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import polars as pl

from genrank_cli.data.sources.cells import Column, Number, Text
from genrank_cli.data.sources.lines import READ_ERRORS
from genrank_cli.data.sources.scan import Layout, header, scan_text

log = logging.getLogger(__name__)

UNKNOWN = "UNKNOWN"
USER_TEXTS = (
    "user_active_degree", "follow_user_num_range", "fans_user_num_range",
    "friend_user_num_range", "register_days_range",
)  # fmt: skip
USER_CODES = (
    "is_lowactive_period", "is_live_streamer", "is_video_author",
    *(f"onehot_feat{number}" for number in range(18)),
)  # fmt: skip
USER_NUMBERS = ("follow_user_num", "fans_user_num", "friend_user_num", "register_days")
ITEM_TEXTS = ("video_type", "upload_type")
ITEM_CODES = ("author_id", "visible_status", "music_type")
LEVELS = ("first", "second", "third", "fourth")
_PLAIN = Layout()
_MAX_ID = 2**53


class SideRows(NamedTuple):
    """Rows of users or items, and what was counted in their file."""

    rows: pl.LazyFrame | None
    counts: dict[str, int]


def user_table(files: Mapping[str, Path]) -> SideRows:
    """The users, from the file ``users``; raises `GenrankError` (5) naming a bad line."""
    if "users" not in files:
        return SideRows(None, {})
    columns = [_id("user_id"), *map(Text, USER_TEXTS), *map(_code, USER_CODES)]
    columns += map(_number, USER_NUMBERS)
    warn_of_others(files["users"], columns)
    rows, counts = _checked(files["users"], columns)
    selected = rows.select(
        pl.col("user_id").alias("user"),
        *(_text_field(name) for name in USER_TEXTS),
        *(_code_field(name) for name in USER_CODES),
        *(_known(name).alias(f"number.{name}") for name in USER_NUMBERS),
    )
    return SideRows(selected, {f"user_{name}": count for name, count in counts.items()})


def item_table(files: Mapping[str, Path], statistics: bool, music: bool) -> SideRows:
    """The videos, from ``items``, ``categories`` and, if wanted, the files ``statistic…``.

    Raises `GenrankError` (5) naming a bad line.
    """
    if "items" not in files:
        return SideRows(None, {})
    rows, counts = _basic(files["items"], music)
    if "categories" in files:
        rows = _joined(rows, _categories(files["categories"]))
    averages = [files[key] for key in files if key.startswith("statistic")]
    if statistics:
        rows = _joined(rows, pl.concat(map(_statistics, averages)))
    return SideRows(rows, {f"item_{name}": count for name, count in counts.items()})


def _joined(rows: pl.LazyFrame, more: pl.LazyFrame) -> pl.LazyFrame:
    """``rows`` with the columns of ``more``, which may list far more items."""
    listed = more.join(rows.select("item"), on="item", how="semi")
    return rows.join(listed, on="item", how="left")


def warn_of_others(path: Path, columns: Sequence[Column]) -> None:
    """Name the columns of the file that are none of ``columns``."""
    known = {column.name for column in columns}
    others = [name for name in header(path, _PLAIN) if name not in known]
    if others:
        log.warning("%s: columns that are not known are left out: %s", path, ", ".join(others))


def _basic(path: Path, music: bool) -> tuple[pl.LazyFrame, dict[str, int]]:
    columns = [_id("video_id"), *map(Text, (*ITEM_TEXTS, "upload_dt", "tag"))]
    columns += map(_code, (*ITEM_CODES, "music_id"))
    columns += map(_number, ("video_duration", "server_width", "server_height"))
    warn_of_others(path, columns)
    rows, counts = _checked(path, columns)
    duration, tune = _known("video_duration"), _known("music_id")
    day = pl.col("upload_dt").str.to_date("%Y-%m-%d", strict=False)
    selected = rows.select(
        pl.col("video_id").alias("item"),
        *(_text_field(name) for name in ITEM_TEXTS),
        *(_code_field(name) for name in ITEM_CODES),
        *([pl.when(tune > 0).then(tune).cast(pl.Int64).alias("field.music_id")] if music else []),
        _tags(pl.col("tag")).alias("field.tag"),
        _orientation(_known("server_width"), _known("server_height")).alias("field.orientation"),
        pl.when(duration > 0).then(duration / 1000).alias("number.video_duration"),  # seconds
        day.dt.epoch("d").alias("number.upload_day"),  # days since 1970
    )
    return selected, counts


def _categories(path: Path) -> pl.LazyFrame:
    """``field.category``: the categories of every level as ``level:id``, such as ``1:7``."""
    names = [f"{level}_level_category_id" for level in LEVELS]
    rows, _ = _checked(path, [_id("final_video_id"), *map(_code, names)])
    levels = [
        pl.format("{}:{}", pl.lit(place), _known(name).cast(pl.Int64))
        for place, name in enumerate(names, start=1)
    ]
    return rows.select(
        pl.col("final_video_id").alias("item"),
        pl.concat_list(levels).list.drop_nulls().alias("field.category"),
    )


def _statistics(path: Path) -> pl.LazyFrame:
    """Every column beside the id as a statistic."""
    names = [name for name in header(path, _PLAIN) if name != "video_id"]
    rows, _ = _checked(path, [_id("video_id"), *map(_number, names)])
    return rows.select(
        pl.col("video_id").alias("item"), *(pl.col(n).alias(f"statistic.{n}") for n in names)
    )


def _checked(path: Path, columns: Sequence[Column]) -> tuple[pl.LazyFrame, dict[str, int]]:
    """The rows of a table that may be too large for memory, after passes that check every cell.

    Also counts the cells that are empty, and those that hold a special value. Raises `GenrankError`
    (5) naming the first bad line.
    """
    scan = scan_text([path], columns, _PLAIN)
    empty = [pl.col(column.name).is_null() for column in columns]
    special = [_special(column) for column in columns]
    counts = {"cells_empty": _total(empty), "cells_special": _total(special)}
    try:
        marks = pl.col("refused", "doubtful").sum()
        found = scan.frame.select(marks, **counts).collect(engine="streaming")
    except READ_ERRORS as error:
        raise scan.explain(str(error)) from error
    bad = found["refused"].item()
    if bad:
        raise scan.explain(f"{bad:,} bad rows")
    if found["doubtful"].item() and (problem := scan.recheck()):
        raise problem
    rows = scan.frame.drop("refused", "doubtful")
    return rows, {name: int(found[name].item()) for name in counts}


def _special(column: Column) -> pl.Expr:
    cell = pl.col(column.name)
    return cell == UNKNOWN if isinstance(column, Text) else cell < 0


def _total(flags: Sequence[pl.Expr]) -> pl.Expr:
    return pl.sum_horizontal(flag.sum() for flag in flags)


def _id(name: str) -> Column:
    return Number(name, 0, _MAX_ID, whole=True)


def _code(name: str) -> Column:
    return Number(name, -_MAX_ID, _MAX_ID, step=1, missing=True)


def _number(name: str) -> Column:
    return Number(name, missing=True)


def _known(name: str) -> pl.Expr:
    """A number; null where it is negative or not a number."""
    value = pl.col(name)
    return pl.when((value >= 0) & value.is_not_nan()).then(value)


def _code_field(name: str) -> pl.Expr:
    return _known(name).cast(pl.Int64).alias(f"field.{name}")


def _text_field(name: str) -> pl.Expr:
    return pl.when(pl.col(name) != UNKNOWN).then(pl.col(name)).alias(f"field.{name}")


def _tags(text: pl.Expr) -> pl.Expr:
    """``12,65`` → ["12", "65"]."""
    one = pl.element().str.strip_chars()
    return text.str.split(",").list.eval(one.filter((one != "") & (one != UNKNOWN)))


def _orientation(width: pl.Expr, height: pl.Expr) -> pl.Expr:
    """The form of the picture; null where its size is not known."""
    form = (
        pl.when(width < height)
        .then(pl.lit("portrait"))
        .when(width > height)
        .then(pl.lit("landscape"))
        .otherwise(pl.lit("square"))
    )
    return pl.when((width > 0) & (height > 0)).then(form)
