"""Tiny made-up KuaiRand files with everything odd that the real ones hold, and cards for them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.data.sources import RawTables, read
from genrank_cli.data.store import Store

LOG = (
    "user_id", "video_id", "date", "hourmin", "time_ms", "is_click", "is_like", "is_follow",
    "is_comment", "is_forward", "is_hate", "long_view", "play_time_ms", "duration_ms",
    "profile_stay_time", "comment_stay_time", "is_profile_enter", "is_rand", "tab",
)  # fmt: skip
LOG_1 = "data/log_standard_4_08_to_4_21_pure.csv"
LOG_2 = "data/log_standard_4_22_to_5_08_pure.csv"
RANDOM_LOG = "data/log_random_4_22_to_5_08_pure.csv"
USER_FILE = "data/user_features_pure.csv"
ITEM_FILE = "data/video_features_basic_pure.csv"
STATISTIC_FILE = "data/video_features_statistic_pure.csv"
NOON = 1_649_563_200_000  # 2022-04-10 12:00:00 in China, a Sunday

Row = dict[str, Any]


def exposure(user: int, video: int, after_ms: int, **cells: Any) -> Row:
    """One row of a log, ``after_ms`` later than `NOON`, within the hour; nothing was done."""
    row: Row = dict.fromkeys(LOG, 0)
    row |= {"user_id": user, "video_id": video, "date": 20220410, "hourmin": 1200, "tab": 1}
    return row | {"time_ms": NOON + after_ms, "duration_ms": 20_000} | cells


_CLICK = {"is_click": 1, "play_time_ms": 9_000}
FIRST = (
    exposure(7, 10, 5_000, **_CLICK),
    exposure(7, 20, 5_000, play_time_ms=1_500, tab=0),  # the same moment
    exposure(7, 30, 1_000),  # earlier than the row before; not played
    exposure(3, 10, 2_000, is_click=1, long_view=1, play_time_ms=25_000, duration_ms=0),
    exposure(3, 10, 2_000, is_click=1, long_view=1, play_time_ms=25_000, duration_ms=0),  # a copy
    exposure(3, 20, 3_000, play_time_ms=800, duration_ms=""),  # a second later: the same request
    exposure(3, 30, 4_001, **_CLICK, is_like=1, is_follow=1, is_comment=1),  # 1.001 s later
)
SECOND = (
    exposure(7, 40, 60_000, **_CLICK, is_profile_enter=1, profile_stay_time=2_500),
    exposure(7, 40, 60_000, **_CLICK, is_profile_enter=1, profile_stay_time=2_500, hourmin=1300),
    exposure(3, 40, 90_000, **_CLICK, is_forward=1, is_hate=1, comment_stay_time=7_250, tab=14),
    # The same but for the play time, which is kept only where it is a task of the card.
    exposure(3, 40, 90_000, **(_CLICK | {"play_time_ms": 9_100}), is_forward=1, is_hate=1,
             comment_stay_time=7_250, tab=14),
)  # fmt: skip
RANDOM = (
    exposure(3, 50, 80_000, is_rand=1, play_time_ms=3_000),
    exposure(7, 30, 61_500, is_rand=1, **_CLICK),
)

_ONEHOT = tuple(f"onehot_feat{number}" for number in range(18))
USERS = (
    {
        "user_id": 3, "user_active_degree": "full_active", "is_lowactive_period": 0,
        "is_live_streamer": -124, "is_video_author": 1, "follow_user_num": 514,
        "follow_user_num_range": "500+", "fans_user_num": 150, "fans_user_num_range": "[100,1k)",
        "friend_user_num": 34, "friend_user_num_range": "[30,60)", "register_days": 799,
        "register_days_range": "730+", **dict.fromkeys(_ONEHOT, 0), "onehot_feat4": "1.0",
    },
    {
        "user_id": 7, "user_active_degree": "UNKNOWN", "is_lowactive_period": 0,
        "is_live_streamer": 1, "is_video_author": 0, "follow_user_num": 8,
        "follow_user_num_range": "(0,10]", "fans_user_num": "", "fans_user_num_range": "",
        "friend_user_num": 0, "friend_user_num_range": "0", "register_days": 31,
        "register_days_range": "31-60", **dict.fromkeys(_ONEHOT, 1), "onehot_feat4": 1,
        "onehot_feat17": "",
    },
)  # fmt: skip
_ITEM = {
    "video_id": 10, "author_id": 900, "video_type": "NORMAL", "upload_dt": "2022-04-10",
    "upload_type": "LongImport", "visible_status": "0.0", "video_duration": "20000.0",
    "server_width": "720.0", "server_height": "1280.0", "music_id": 77, "music_type": "9.0",
    "tag": "39",
}  # fmt: skip
ITEMS = (
    _ITEM,
    _ITEM | {"video_id": 20, "tag": "12,65", "video_duration": "", "server_height": 720},
    _ITEM | {"video_id": 30, "tag": "", "music_type": "", "music_id": 0, "video_type": "UNKNOWN"},
    _ITEM | {"video_id": 40, "author_id": "901.0", "server_width": 1280, "server_height": 720},
    _ITEM | {"video_id": 50, "upload_dt": "1970-01-03", "server_width": 0, "music_id": -124},
    _ITEM | {"video_id": 60, "upload_type": "Web"},
)
STATISTICS = tuple(
    {"video_id": video, "counts": video, "show_cnt": video / 8, "play_progress": 0.25}
    for video in (10, 20, 30, 40, 60)
)
_LEVELS = ("first", "second", "third", "fourth")
CATEGORIES = (
    (10, ("7.0", "126.0", "1056.0", "-124.0")),
    (20, ("7.0", "-124.0", "-124.0", "-124.0")),
    (40, ("8.0", "126.0", "", "")),
    (99, ("9.0", "9.0", "9.0", "9.0")),
)


def write_table(file: Path, rows: Sequence[Row]) -> None:
    """A file with a header; cells with a comma are quoted."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_kuairand(folder: Path, version: str = "pure") -> Path:
    """The files of the archive of a version (``27k``: in parts) with the same content in all."""
    data = folder / "data"
    logs = {"log_standard_4_08_to_4_21": FIRST, "log_standard_4_22_to_5_08": SECOND}
    for name, rows in logs.items():
        if version == "27k":
            write_table(data / f"{name}_27k_part1.csv", rows[:2])
            write_table(data / f"{name}_27k_part2.csv", rows[2:])
        else:
            write_table(data / f"{name}_{version}.csv", rows)
    write_table(data / f"log_random_4_22_to_5_08_{version}.csv", RANDOM)
    write_table(data / f"user_features_{version}.csv", USERS)
    write_table(data / f"video_features_basic_{version}.csv", ITEMS)
    statistics = f"video_features_statistic_{version}"
    if version == "27k":
        for part in range(3):
            rows = STATISTICS[part * 2 : part * 2 + 2]
            write_table(data / f"{statistics}_part{part + 1}.csv", rows)
    else:
        write_table(data / f"{statistics}.csv", STATISTICS)
    return folder


def write_categories(folder: Path) -> None:
    """The categories of the supplement."""
    rows = []
    for video, ids in CATEGORIES:
        row: Row = {"final_video_id": video}
        for level, number in zip(_LEVELS, ids, strict=True):
            row[f"{level}_level_category_id"] = number
            row[f"{level}_level_category_name"] = "运动, 健身"
            row[f"{level}_level_category_prob"] = "0.9996"
        rows.append(row)
    write_table(folder / "kuairand_video_categories.csv", rows)


def kuairand_card(version: str = "pure", **changes: Any) -> Card:
    """The shipped card without the checksums of the official files; ``changes`` replace fields."""
    fields = load_card(f"kuairand-{version}").model_dump()
    for spec in fields["files"].values():
        spec["sha256"] = None
    return Card.model_validate(fields | changes)


def build_kuairand(raw: Path, version: str = "pure", **changes: Any) -> Store:
    """The store of the files in ``raw``; ``changes`` replace fields of the card."""
    return build_store(kuairand_card(version, **changes), raw).store


def read_kuairand(raw: Path, **options: bool) -> RawTables:
    """What the reader makes of the files in ``raw``."""
    return read(kuairand_card(options=options), raw)
