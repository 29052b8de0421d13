"""KuaiRand's official layout: its logs → events, its cards, its commands."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card
from genrank_cli.data.invariants import check
from genrank_cli.data.sources import read
from genrank_cli.data.sources.cells import Number
from genrank_cli.data.sources.kuairand import log_columns
from genrank_cli.errors import ExitCode
from tests.conftest import Cli
from tests.data.kuairand_raw import (
    FIRST,
    ITEM_FILE,
    ITEMS,
    LOG_1,
    LOG_2,
    NOON,
    RANDOM,
    RANDOM_LOG,
    SECOND,
    STATISTIC_FILE,
    USER_FILE,
    USERS,
    Row,
    build_kuairand,
    exposure,
    kuairand_card,
    write_kuairand,
    write_table,
)

VERSIONS = ("pure", "1k", "27k")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The made-up files of KuaiRand-Pure."""
    return write_kuairand(tmp_path / "raw")


def events_of(rows: tuple[Row, ...], folder: Path) -> list[dict[str, Any]]:
    """What the reader makes of a log with these rows, row by row."""
    write_table(write_kuairand(folder) / LOG_1, rows)
    events = read(kuairand_card(), folder).events.collect()
    return events.head(len(rows)).to_dicts()


@pytest.mark.parametrize("version", VERSIONS)
def test_events_of_each_version(version: str, home: Path, tmp_path: Path) -> None:
    store = build_kuairand(write_kuairand(tmp_path / "raw", version), version)
    # User 3, then user 7, each in order of time; three rows repeat another one.
    assert store.users.ids.to_list() == ["3", "7"]
    assert store.column("user").tolist() == [0] * 5 + [1] * 5
    videos = store.items.ids.cast(int).gather(store.column("item")).to_list()
    assert videos == [10, 20, 30, 50, 40, 30, 10, 20, 40, 30]
    after = np.array([2_000, 3_000, 4_001, 80_000, 90_000, 1_000, 5_000, 5_000, 60_000, 61_500])
    assert store.column("timestamp").tolist() == ((NOON + after) / 1000).tolist()
    assert store.column("request").tolist() == [0, 0, 1, 2, 3, 4, 5, 5, 6, 7]
    assert store.column("apart").tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 1]
    assert store.column("task.is_click").tolist() == [1, 0, 1, 0, 1, 0, 1, 0, 1, 1]
    assert store.column("task.long_view").tolist() == [1] + [0] * 9
    assert store.column("context.tab").tolist() == [2, 2, 2, 2, 3, 2, 2, 1, 2, 2]  # of 0, 1, 14
    duration = store.column("number.duration")
    assert np.isnan(duration[:2]).all()
    assert (duration[2:] == 20).all()
    assert store.manifest.counts.dropped_duplicates == 3
    assert all(not finding.detail for finding in check(store))


def test_all_actions_are_in_the_mask(raw: Path, home: Path) -> None:
    store = build_kuairand(raw)
    names = store.manifest.actions
    taken = [
        {name for bit, name in enumerate(names) if mask >> bit & 1}
        for mask in store.column("actions").tolist()
    ]
    assert len(names) == 8
    assert taken == [
        {"is_click", "long_view"},
        set(),
        {"is_click", "is_like", "is_follow", "is_comment"},
        set(),
        {"is_click", "is_forward", "is_hate"},
        set(),
        {"is_click"},
        set(),
        {"is_click", "is_profile_enter"},
        {"is_click"},
    ]


def test_times_are_labels_in_seconds(raw: Path, home: Path) -> None:
    names = ["play_time", "profile_stay_time", "comment_stay_time"]
    tasks = [{"name": name, "kind": "regression"} for name in names]
    store = build_kuairand(raw, tasks=tasks)
    # Two reports of one exposure that differ in the play time are now two events.
    played = [25, 0.8, 9, 3, 9, 9.1, 0, 9, 1.5, 9, 9]
    assert store.column("task.play_time") == pytest.approx(np.array(played))
    assert store.column("task.profile_stay_time").tolist() == [0.0] * 9 + [2.5, 0.0]
    assert store.column("task.comment_stay_time").tolist() == [0.0] * 4 + [7.25] * 2 + [0.0] * 5
    assert store.manifest.counts.dropped_duplicates == 2


def test_every_binary_label_can_be_a_task(raw: Path, home: Path) -> None:
    names = ["is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate"]
    names += ["is_profile_enter", "long_view"]
    store = build_kuairand(raw, tasks=[{"name": name, "kind": "binary"} for name in names])
    mask = store.column("actions")
    for name in names:
        bit = store.manifest.actions.index(name)
        assert store.column(f"task.{name}").tolist() == (mask >> bit & 1).tolist()


def test_quirks_are_counted_over_the_rows_as_they_are(raw: Path, home: Path) -> None:
    quirks = build_kuairand(raw).manifest.quirks
    rows = [*FIRST, *SECOND, *RANDOM]
    unclicked = [row for row in rows if row["play_time_ms"] and not row["is_click"]]
    assert quirks["zero_duration"] == 2
    assert quirks["empty_duration"] == 1
    assert quirks["zero_play_time"] == 1
    assert quirks["played_without_click"] == len(unclicked) == 3
    assert quirks["date_or_hour_not_of_time"] == 1
    assert quirks["earlier_than_row_before"] == 1
    assert quirks.get("is_rand_of_other_log", 0) == 0
    assert quirks["absent_files"] == 1  # the categories
    assert quirks["user_cells_special"] == 2
    assert quirks["user_cells_empty"] == 3
    assert quirks["item_cells_special"] == 2
    assert quirks["item_cells_empty"] == 3


def test_hour_and_weekday_are_those_of_china(tmp_path: Path) -> None:
    china = timezone(timedelta(hours=8))
    day, hour = 86_400_000, 3_600_000
    steps = [k * 7 * hour + offset for k in range(60) for offset in (-1, 0, 1)]
    rows = tuple(exposure(1, k, k * day // 7 + step) for k, step in enumerate(steps))
    found = events_of(rows, tmp_path)
    for row, event in zip(rows, found, strict=True):
        local = datetime.fromtimestamp(row["time_ms"] // 1000, china)
        assert (event["context.hour"], event["context.weekday"]) == (local.hour, local.weekday())
        date = int(f"{local:%Y%m%d}")
        differs = (date, local.hour) != (20220410, 12)
        assert event["quirk.date_or_hour_not_of_time"] == differs


def test_a_date_and_an_hour_that_are_those_of_the_time_in_china_are_no_quirk(
    tmp_path: Path,
) -> None:
    china, hour = timezone(timedelta(hours=8)), 3_600_000
    rows = []
    for step in range(80 * 24):  # every hour, the first and the last moment of it
        for moment in (step * hour, (step + 1) * hour - 1):
            row = exposure(1, step, moment)
            local = datetime.fromtimestamp(row["time_ms"] // 1000, china)
            rows.append(row | {"date": int(f"{local:%Y%m%d}"), "hourmin": 100 * local.hour + 59})
    found = events_of(tuple(rows), tmp_path)
    assert not any(event["quirk.date_or_hour_not_of_time"] for event in found)


def test_time_is_exact_to_the_millisecond(tmp_path: Path) -> None:
    rows = tuple(exposure(1, 1, k) for k in range(999))
    found = [event["timestamp"] for event in events_of(rows, tmp_path)]
    assert [round(second * 1000) for second in found] == [row["time_ms"] for row in rows]
    assert len(set(found)) == len(rows)


def test_order_of_rows_counts_within_one_user(tmp_path: Path) -> None:
    rows = (exposure(1, 1, 50), exposure(2, 1, 40), exposure(2, 2, 40), exposure(2, 3, 39))
    found = [event["quirk.earlier_than_row_before"] for event in events_of(rows, tmp_path)]
    assert found == [False, False, False, True]


def test_random_exposures_are_apart_whichever_log_holds_them(tmp_path: Path) -> None:
    rows = (exposure(1, 1, 50), exposure(1, 2, 60, is_rand=1))
    found = events_of(rows, tmp_path)
    assert [event["apart"] for event in found] == [False, True]
    assert [event["quirk.is_rand_of_other_log"] for event in found] == [False, True]
    write_table(tmp_path / RANDOM_LOG, (exposure(1, 1, 70),))
    events = read(kuairand_card(), tmp_path).events.collect()
    assert events["apart"].to_list()[-1] is True
    assert events["quirk.is_rand_of_other_log"].to_list()[-1] is True


def test_parts_hold_the_same_as_whole_files(home: Path, tmp_path: Path) -> None:
    hashes = {
        build_kuairand(write_kuairand(tmp_path / version, version), version).manifest.content_hash
        for version in VERSIONS
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("file", [LOG_1, LOG_2, RANDOM_LOG, STATISTIC_FILE])
def test_an_optional_file_may_be_absent(
    file: str, raw: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (raw / file).unlink()
    with caplog.at_level(logging.WARNING):
        store = build_kuairand(raw, tasks=[{"name": "is_click", "kind": "binary"}])
    said = [record.getMessage() for record in caplog.records if file in record.getMessage()]
    assert len(said) == (0 if file == STATISTIC_FILE else 1)
    assert store.manifest.quirks["absent_files"] == 1 + len(said)
    lost = {LOG_1: 6, LOG_2: 2, RANDOM_LOG: 2, STATISTIC_FILE: 0}
    assert store.manifest.counts.events == 10 - lost[file]


def test_columns_are_found_by_name(raw: Path, home: Path) -> None:
    before = build_kuairand(raw).manifest.content_hash
    for file, rows in ((LOG_1, FIRST), (LOG_2, SECOND), (USER_FILE, USERS), (ITEM_FILE, ITEMS)):
        turned = [dict(reversed(row.items())) for row in rows]
        write_table(raw / file, turned)
    after = build_store(kuairand_card(), raw, "turned").store.manifest.content_hash
    assert after == before


@pytest.mark.parametrize("file", [LOG_1, RANDOM_LOG, USER_FILE, ITEM_FILE])
def test_further_columns_are_named_and_left_out(
    file: str, raw: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = build_kuairand(raw).manifest.content_hash
    lines = (raw / file).read_text().splitlines()
    extended = [f"{line},{'colour' if number == 0 else 'red'}" for number, line in enumerate(lines)]
    (raw / file).write_text("\n".join(extended) + "\n")
    if file == LOG_1:
        lines = (raw / LOG_2).read_text().splitlines()
        extended = [f"{line},{'colour' if n == 0 else 'red'}" for n, line in enumerate(lines)]
        (raw / LOG_2).write_text("\n".join(extended) + "\n")
    with caplog.at_level(logging.WARNING):
        after = build_store(kuairand_card(), raw, "extended").store
    assert after.manifest.content_hash == before
    assert f"{raw / file}: columns that are not known are left out: colour" in caplog.text


def test_command_line_counts_quirks_and_names_a_bad_line(raw: Path, home: Path, cli: Cli) -> None:
    build_ = ("data", "build", "kuairand-pure", "--raw-dir", str(raw))
    assert cli(*build_).code == ExitCode.DATA  # not the official files
    few = ("--set", "split.name=leave-one-out")
    assert cli(*build_, "--no-verify", *few).code == ExitCode.OK
    found = cli("data", "describe", "kuairand-pure", "--format", "csv")
    assert "quirks.played_without_click,3" in found.out.splitlines()
    assert "quirks.user_cells_special,2" in found.out.splitlines()
    text = (raw / LOG_2).read_text()
    (raw / LOG_2).write_text(text.replace(",1649563260000,", ",-1,", 1))
    failed = cli(*build_, "--no-verify", "--force")
    assert failed.code == ExitCode.DATA
    assert f"{LOG_2}, line 2: time_ms -1 is outside" in failed.err
    assert "Traceback" not in failed.err


@pytest.mark.parametrize("version", VERSIONS)
def test_shipped_cards(version: str) -> None:
    shares = (0.85, 0.1) if version == "pure" else (0.8, 0.1)
    card = load_card(f"kuairand-{version}")
    assert card.downloads[0].url.startswith("https://zenodo.org/records/10439422/files/KuaiRand-")
    assert [task.name for task in card.tasks] == ["is_click", "long_view"]
    assert (card.split.name, card.split.train, card.split.test) == ("temporal", *shares)
    names = {spec.path.rpartition("/")[2] for spec in card.files.values()}
    logs = {f"log_random_4_22_to_5_08_{version}.csv"}
    periods = ("log_standard_4_08_to_4_21", "log_standard_4_22_to_5_08")
    parts = ("_part1", "_part2") if version == "27k" else ("",)
    logs |= {f"{period}_{version}{part}.csv" for period in periods for part in parts}
    assert {name for name in names if name.startswith("log_")} == logs
    assert not card.options["statistics"]
    assert {spec.sha256 is not None for key, spec in card.files.items() if key in ("users",)} == {
        version == "pure"
    }
    assert json.dumps(card.model_dump(mode="json"))


def test_a_column_is_read_in_the_narrowest_type_that_holds_what_is_allowed() -> None:
    types = {column.name: str(column.dtype) for column in log_columns()}
    names = ("is_click", "hourmin", "date", "time_ms", "video_id", "duration_ms")
    found = [types[name] for name in names]
    assert found == ["Int8", "Int16", "Int32", "Int64", "Int64", "Float64"]
    assert Number("any", whole=True).dtype == pl.Int64
    assert Number("n", -129, 127, whole=True).dtype == pl.Int16
