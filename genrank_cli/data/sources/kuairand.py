"""KuaiRand: logs of exposures with their feedback, and tables of users and videos.

The keys of the card's files tell what each holds: ``standard…`` (one log or several), ``random…``
(exposures at random, kept apart), ``users``, ``items``, and, where they are found, ``statistic…``
(read only with the option ``statistics``) and ``categories``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from genrank_cli.data.card import Card, parse_options
from genrank_cli.data.declare import Frozen
from genrank_cli.data.sources import RawTables
from genrank_cli.data.sources.cells import Column, Number
from genrank_cli.data.sources.files import find
from genrank_cli.data.sources.kuairand_features import item_table, user_table, warn_of_others
from genrank_cli.data.sources.lines import unreadable
from genrank_cli.data.sources.scan import Layout, Scan, scan_text
from genrank_cli.errors import GenrankError, data_error

log = logging.getLogger(__name__)

#: the binary feedback, in the order of the files
ACTIONS = (
    "is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view",
    "is_profile_enter",
)  # fmt: skip
#: label in seconds → column in milliseconds
TIMES = {
    "play_time": "play_time_ms",
    "profile_stay_time": "profile_stay_time",
    "comment_stay_time": "comment_stay_time",
}
#: how the keys of the files begin that are always read
READ = ("standard", "random", "users", "items", "categories")
CHINA = 8 * 3600  # seconds by which local time is ahead of UTC, all the year
MAX_ID = 2**53
MAX_MS = 2**31 - 1


class Options(Frozen):
    """``[options]`` of a KuaiRand card.

    ``statistics``: give the items' statistics, which are averages over the whole month and leak.
    ``music``: give the items' ``music_id``, which is another one for nearly every item.
    """

    statistics: bool = False
    music: bool = False


def read(card: Card, raw_dir: Path | None) -> RawTables:
    """The raw tables of a KuaiRand dataset in ``raw_dir``.

    Raises `GenrankError` (5): no standard log, or a bad file, named with its line. Lines of the
    logs are checked while the events are read.
    """
    options = parse_options(card, Options)
    folder = raw_dir or Path()
    files = find(card, folder)
    absent = _absent(card, files, options)
    standard, random = (_named(files, kind) for kind in ("standard", "random"))
    if not standard:
        raise _no_log(card, folder)
    scans = {"standard": _scan(standard)} | ({"random": _scan(random)} if random else {})
    users = user_table(files)
    items = item_table(files, options.statistics, options.music)
    return RawTables(
        events=pl.concat(_events(scan.frame, kind) for kind, scan in scans.items()),
        users=users.rows,
        items=items.rows,
        quirks={"absent_files": absent, **users.counts, **items.counts},
        explain=lambda said: _explain(list(scans.values()), said),
    )


def _named(files: Mapping[str, Path], kind: str) -> list[Path]:
    return [file for key, file in files.items() if key.startswith(kind)]


def _absent(card: Card, files: Mapping[str, Path], options: Options) -> int:
    """How many of the files that would be read are not there; each is named in a warning."""
    kinds = (*READ, "statistic") if options.statistics else READ
    absent = [key for key in card.files if key not in files and key.startswith(kinds)]
    for key in absent:
        if key.startswith("statistic"):
            hint = "options.statistics asks for it: leave that out, or get the file"
            raise data_error(f"{card.name}: no file {card.files[key].path}", hint)
        log.warning("%s: no file %s; going on without it", card.name, card.files[key].path)
    return len(absent)


def _no_log(card: Card, folder: Path) -> GenrankError:
    paths = [spec.path or key for key, spec in card.files.items() if key.startswith("standard")]
    message = f"{card.name}: none of the standard logs is in {folder}: {', '.join(paths)}"
    return data_error(message, f"at least one of them is needed, from {card.homepage}")


def _scan(logs: Sequence[Path]) -> Scan:
    columns = log_columns()
    for path in logs:
        warn_of_others(path, columns)
    return scan_text(logs, columns, Layout())


def log_columns() -> list[Column]:
    """What a log holds, in the order of the official files."""
    return [
        Number("user_id", 0, MAX_ID, whole=True),
        Number("video_id", 0, MAX_ID, whole=True),
        Number("date", 19700101, 21001231, whole=True),
        Number("hourmin", 0, 2359, whole=True),
        Number("time_ms", 0, 4_102_444_800_000, whole=True),  # 1970 to 2100
        *(Number(name, 0, 1, whole=True) for name in ACTIONS[:-1]),
        Number("play_time_ms", 0, MAX_MS),
        Number("duration_ms", 0, MAX_MS, missing=True),
        Number("profile_stay_time", 0, MAX_MS),
        Number("comment_stay_time", 0, MAX_MS),
        Number("is_profile_enter", 0, 1, whole=True),
        Number("is_rand", 0, 1, whole=True),
        Number("tab", 0, MAX_ID, whole=True),
    ]


def _events(rows: pl.LazyFrame, kind: str) -> pl.LazyFrame:
    in_random, is_rand = pl.lit(kind == "random"), pl.col("is_rand") == 1
    local = pl.col("time_ms") // 1000 + CHINA  # seconds
    duration = pl.col("duration_ms") / 1000
    return rows.select(
        pl.col("user_id").alias("user"),
        pl.col("video_id").alias("item"),
        (pl.col("time_ms") / 1000).alias("timestamp"),
        *(pl.col(name).alias(f"action.{name}") for name in ACTIONS),
        *(pl.col(name).alias(f"task.{name}") for name in ACTIONS),
        *((pl.col(column) / 1000).alias(f"task.{name}") for name, column in TIMES.items()),
        pl.col("tab").alias("context.tab"),
        (local % 86400 // 3600).alias("context.hour"),
        ((local // 86400 + 3) % 7).alias("context.weekday"),  # 0 = Monday; day 0 was a Thursday
        pl.when(duration > 0).then(duration).alias("number.duration"),
        (in_random | is_rand).alias("apart"),
        *_quirks(local, in_random != is_rand),
        "refused",
    )


def _quirks(local: pl.Expr, other_log: pl.Expr) -> list[pl.Expr]:
    """Peculiarities of a row; ``local`` is its time in seconds of local time."""
    date = (local // 86400).cast(pl.Int32, strict=False).cast(pl.Date)
    day = date.dt.year() * 10000 + date.dt.month().cast(pl.Int32) * 100 + date.dt.day()
    same_user = pl.col("user_id") == pl.col("user_id").shift()
    duration, played = pl.col("duration_ms"), pl.col("play_time_ms") > 0
    other_hour = local % 86400 // 3600 != pl.col("hourmin") // 100
    found = {
        "zero_duration": duration == 0,
        "empty_duration": duration.is_null() | duration.is_nan(),
        "zero_play_time": ~played,
        "played_without_click": played & (pl.col("is_click") == 0),
        "date_or_hour_not_of_time": (day != pl.col("date")) | other_hour,
        "earlier_than_row_before": same_user & (pl.col("time_ms") < pl.col("time_ms").shift()),
        "is_rand_of_other_log": other_log,
    }
    return [flag.fill_null(False).alias(f"quirk.{name}") for name, flag in found.items()]


def _explain(scans: Sequence[Scan], said: str) -> GenrankError:
    """The error about the first bad line of the logs, else about what was ``said`` of them."""
    found = next(filter(None, (scan.problem() for scan in scans)), None)
    return found or unreadable([path for scan in scans for path in scan.paths], said)
