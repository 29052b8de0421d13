"""The files of a KuaiRand-shaped log: written block by block, whole or not at all."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.progress import Report, quiet
from genrank_cli.data.workspace import require_space, sync, workspace
from genrank_cli.errors import GenrankError
from genrank_cli.simulate.kuairand import Shape, World, blocks, make_world
from genrank_cli.simulate.streams import stream

LOGS = (
    "data/log_standard_4_08_to_4_21_pure.csv",
    "data/log_standard_4_22_to_5_08_pure.csv",
    "data/log_random_4_22_to_5_08_pure.csv",
)
USERS_FILE = "data/user_features_pure.csv"
ITEMS_FILE = "data/video_features_basic_pure.csv"
ITEM_ROWS = 1_000_000  # rows of the items' table drawn at a time
SPACE = "free some space, or name a folder on a larger disk with --out"
ROW_BYTES = {"event": 80, "user": 140, "item": 90}  # at most, on average

Values = npt.NDArray[Any]

ACTIVE = {"full_active": 66, "high_active": 22.5, "middle_active": 7.8, "2_14_day_new": 2.3,
          "low_active": 1.1, "single_low_active": 0.25, "UNKNOWN": 0.05}  # fmt: skip
FOLLOWS = (
    (0, 10, 50, 100, 150, 250, 500),
    ("0", "(0,10]", "(10,50]", "(50,100]", "(100,150]", "(150,250]", "(250,500]", "500+"),
)
FANS = (
    (0, 9, 99, 999, 4999, 9999, 99_999),
    ("0", "[1,10)", "[10,100)", "[100,1k)", "[1k,5k)", "[5k,1w)", "[1w,10w)", "[10w,100w)"),
)
FRIENDS = (
    (0, 4, 29, 59, 119, 249),
    ("0", "[1,5)", "[5,30)", "[30,60)", "[60,120)", "[120,250)", "250+"),
)
REGISTERED = (
    (14, 30, 60, 90, 180, 365, 730),
    ("8-14", "15-30", "31-60", "61-90", "91-180", "181-365", "366-730", "730+"),
)
#: number of values of the anonymous one-hot features, and which of them are empty for some users
ONEHOT = (2, 7, 50, 1471, 16, 34, 3, 118, 454, 7, 5, 5, 2, 2, 2, 2, 2, 2)
EMPTY_ONEHOT = (4, 12, 13, 14, 15, 16, 17)
UPLOADS = {"LongImport": 39, "Web": 32, "ShortImport": 12, "Kmovie": 11.6, "LongPicture": 1.9,
           "UNKNOWN": 1.1, "PictureSet": 1, "LongCamera": 0.9}  # fmt: skip
TAGS = 69
MISSING = {"onehot": 0.03, "video_duration": 0.032, "music_type": 0.027, "tag": 0.0127}


def synthesize(shape: Shape, target: Path, report: Report = quiet) -> dict[str, Any]:
    """Write a log of ``shape`` into the folder ``target``; what was written, for the report.

    The folder appears when everything is in it. Raises `GenrankError`: 2 where there is something
    at ``target`` already, 5 where the disk is too small.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise GenrankError(f"{target} exists already", "name a new folder, or remove this one")
    rows = {"event": shape.events + shape.random_events, "user": shape.users, "item": shape.items}
    require_space(
        target, sum(ROW_BYTES[kind] * count for kind, count in rows.items()), "the log", hint=SPACE
    )
    target = target.absolute()
    with workspace(target, hint=SPACE) as folder:
        (folder / "data").mkdir()
        world = make_world(shape)
        _write_logs(shape, world, folder, report)
        _write_users(shape, folder / USERS_FILE)
        _write_items(shape, world, folder / ITEMS_FILE, report)
        for file in folder.rglob("*"):
            sync(file)
        written = sum(file.stat().st_size for file in folder.rglob("*.csv"))
        if target.exists():
            target.rmdir()
        folder.rename(target)
        sync(target.parent)
    return {
        "path": str(target),
        "events": shape.events,
        "copies": shape.copies,
        "random_events": shape.random_events,
        "users": shape.users,
        "items": shape.items,
        "days": shape.days,
        "seed": shape.seed,
        "bytes": written,
    }


def _write_logs(shape: Shape, world: World, folder: Path, report: Report) -> None:
    last = _last_date(shape)
    done = 0
    with _opened(folder / name for name in LOGS) as (early, late, random):
        for block in blocks(shape, world):
            in_first = block.standard["date"] <= last
            _append(early, block.standard.filter(in_first))
            _append(late, block.standard.filter(~in_first))
            _append(random, block.random)
            done += len(block.standard)
            report("writing the logs", done, shape.events)
    if not shape.random_events:
        (folder / LOGS[2]).unlink()


def _last_date(shape: Shape) -> int:
    """``YYYYMMDD`` of the first log's last day."""
    day = np.datetime64("2022-04-08") + (shape.first_days - 1)
    return int(str(day).replace("-", ""))


@contextlib.contextmanager
def _opened(paths: Iterator[Path]) -> Iterator[list[IO[bytes]]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(path.open("wb")) for path in paths]


def _append(file: IO[bytes], rows: pl.DataFrame) -> None:
    rows.write_csv(file, include_header=file.tell() == 0)


def _write_users(shape: Shape, path: Path) -> None:
    draw = stream(shape.seed, "user features")
    size = shape.users
    follow, fans, friend = (_count(draw, size, median) for median in (150, 60, 20))
    registered = 8 + _count(draw, size, 900) % 3000
    columns: dict[str, Any] = {
        "user_id": np.arange(size),
        "user_active_degree": _choice(draw, ACTIVE, size),
        "is_lowactive_period": np.zeros(size, np.int64),
        "is_live_streamer": np.where(draw.random(size) < 0.226, 1, -124),
        "is_video_author": (draw.random(size) < 0.816).astype(np.int64),
    }
    for name, values, (bounds, labels) in (
        ("follow_user_num", follow, FOLLOWS),
        ("fans_user_num", fans, FANS),
        ("friend_user_num", friend, FRIENDS),
        ("register_days", registered, REGISTERED),
    ):
        columns |= {name: values, f"{name}_range": _range(values, bounds, labels)}
    known = pl.Series(draw.random(size) >= MISSING["onehot"])
    nothing = pl.Series([None], dtype=pl.Float64)
    for number, count in enumerate(ONEHOT):
        value = pl.Series((count * draw.random(size) ** 2).astype(np.int64))
        if number in EMPTY_ONEHOT:  # the real file writes these as 1.0
            value = value.cast(pl.Float64).zip_with(known, nothing)
        columns[f"onehot_feat{number}"] = value
    pl.DataFrame(columns).write_csv(path)


def _write_items(shape: Shape, world: World, path: Path, report: Report) -> None:
    with path.open("wb") as file:
        for number, start in enumerate(range(0, shape.items, ITEM_ROWS)):
            draw = stream(shape.seed, "video features", number)
            stop = min(start + ITEM_ROWS, shape.items)
            _append(file, _item_rows(draw, shape, world, np.arange(start, stop)))
            report("writing the items", stop, shape.items)


def _item_rows(draw: np.random.Generator, shape: Shape, world: World, ids: Values) -> pl.DataFrame:
    size = len(ids)
    tall = draw.random(size) < 0.8
    day = np.datetime64("2022-04-08") + draw.integers(0, shape.days, size)
    authors = max(1, int(0.86 * shape.items))
    return pl.DataFrame(
        {
            "video_id": ids,
            "author_id": draw.integers(0, authors, size),
            "video_type": _choice(draw, {"NORMAL": 99, "AD": 1, "UNKNOWN": 0.01}, size),
            "upload_dt": pl.Series(day).dt.to_string("%Y-%m-%d"),
            "upload_type": _choice(draw, UPLOADS, size),
            "visible_status": np.zeros(size),
            "video_duration": _blank(draw, "video_duration", world.duration[ids].astype(float)),
            "server_width": np.where(tall, 720.0, 1280.0),
            "server_height": np.where(tall, 1280.0, 720.0),
            "music_id": draw.integers(0, 10**10, size) * (draw.random(size) >= 0.027),
            "music_type": _blank(draw, "music_type", np.where(draw.random(size) < 0.9, 9.0, 4.0)),
            "tag": _tags(draw, size),
        }
    )


def _tags(draw: np.random.Generator, size: int) -> pl.Series:
    """One tag in most cells, two in a third (``"12,65"``, quoted for its comma), a few empty."""
    first, second = (TAGS * draw.random((2, size)) ** 2).astype(np.int64)
    one = pl.Series(first).cast(pl.String)
    both = one + "," + pl.Series(second).cast(pl.String)
    several = pl.Series((draw.random(size) < 0.3) & (first != second))
    return _blank(draw, "tag", both.zip_with(several, one))


def _blank(draw: np.random.Generator, name: str, values: Any) -> pl.Series:
    """``values`` with as many empty cells as the real column has."""
    column = pl.Series(values)
    kept = pl.Series(draw.random(len(column)) >= MISSING[name])
    return column.zip_with(kept, pl.Series([None], dtype=column.dtype))


def _choice(draw: np.random.Generator, shares: dict[str, float], size: int) -> pl.Series:
    bounds = np.cumsum(list(shares.values())) / sum(shares.values())
    picked = np.searchsorted(bounds[:-1], draw.random(size), side="right")
    return pl.Series(list(shares)).gather(picked)


def _count(draw: np.random.Generator, size: int, median: float) -> Values:
    """Whole numbers of many magnitudes, 0 included."""
    return np.asarray(median * np.exp(1.6 * draw.standard_normal(size))).astype(np.int64)


def _range(values: Values, bounds: tuple[int, ...], labels: tuple[str, ...]) -> pl.Series:
    """The label of each value; ``bounds`` are the largest values of all labels but the last."""
    return pl.Series(labels).gather(np.searchsorted(bounds, values))
