"""The partial KuaiRand-Pure, where ``GENRANK_TEST_DATA`` names the folder above it."""

from __future__ import annotations

import csv
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card
from genrank_cli.data.describe import describe
from genrank_cli.data.invariants import check
from genrank_cli.data.sources.kuairand import ACTIONS
from genrank_cli.data.store import Store

RAW = Path(os.environ.get("GENRANK_TEST_DATA", ".")) / "KuaiRand-Pure"
LOGS = ("log_standard_4_08_to_4_21_pure.csv", "log_standard_4_22_to_5_08_pure.csv")
pytestmark = pytest.mark.real_data

Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    """The rows of both logs, as text."""
    found: Rows = []
    for name in LOGS:
        with (RAW / "data" / name).open(newline="") as stream:
            found += csv.DictReader(stream)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of the files, which are not the complete ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(tmp_path_factory.mktemp("kuairand")))
        return build_store(load_card("kuairand-pure"), RAW, verify=False).store


def test_rows_and_copies(store: Store, rows: Rows) -> None:
    assert len(rows) == 229_640
    full = {tuple(row.values()) for row in rows}
    assert len(rows) - len(full) == 5_474  # 2.4 %
    kept = ("user_id", "video_id", "time_ms", *ACTIONS, "duration_ms", "is_rand", "tab")
    canonical = {tuple(row[name] for name in kept) for row in rows}
    counts = store.manifest.counts
    # 414 more differ in the logged hour only, 10 in times that are no task of the card.
    assert len(full) - len(canonical) == 424
    assert counts.dropped_duplicates == len(rows) - len(canonical) == 5_898
    assert counts.events == len(canonical)


def test_events_are_those_of_the_files(store: Store, rows: Rows) -> None:
    kept = {
        (
            int(row["user_id"]), int(row["video_id"]), int(row["time_ms"]), int(row["tab"]),
            int(row["duration_ms"]),
            *(int(row[name]) for name in ACTIONS),
        )
        for row in rows
    }  # fmt: skip
    mask = store.column("actions")
    tabs = np.array(sorted({row["tab"] for row in rows}, key=int)).astype(int)
    columns = [
        store.users.ids.cast(int).to_numpy()[store.column("user")],
        store.items.ids.cast(int).to_numpy()[store.column("item")],
        np.round(store.column("timestamp") * 1000).astype(int),
        tabs[store.column("context.tab") - 1],
        np.round(np.nan_to_num(store.column("number.duration").astype(float)) * 1000).astype(int),
        *((mask >> store.manifest.actions.index(name)) & 1 for name in ACTIONS),
    ]
    found = Counter(zip(*(column.tolist() for column in columns), strict=True))
    assert set(found) == kept
    assert set(found.values()) == {1}
    for name in ("is_click", "long_view"):
        bit = store.manifest.actions.index(name)
        assert (store.column(f"task.{name}") == ((mask >> bit) & 1)).all()


def test_requests(store: Store) -> None:
    user, time = store.column("user"), store.column("timestamp")
    request, requests = [0], 0
    for last in range(len(user) - 1):
        requests += user[last] != user[last + 1] or time[last + 1] - time[last] > 1
        request.append(requests)
    assert store.column("request").tolist() == request
    assert store.manifest.counts.requests == 221_988


def test_clock_of_china(store: Store) -> None:
    for event in range(0, store.manifest.counts.events, 997):
        local = datetime.fromtimestamp(store.column("timestamp")[event], UTC) + timedelta(hours=8)
        assert store.column("context.hour")[event] == local.hour + 1
        assert store.column("context.weekday")[event] == local.weekday() + 1


def test_quirks(store: Store, rows: Rows) -> None:
    quirks = store.manifest.quirks
    second = rows[1_000:]
    assert sum(row["duration_ms"] == "0" for row in second) == 3_574
    assert sum(row["play_time_ms"] == "0" for row in second) == 22_297
    assert quirks["zero_duration"] == sum(row["duration_ms"] == "0" for row in rows) == 3_593
    assert quirks["zero_play_time"] == sum(row["play_time_ms"] == "0" for row in rows) == 22_446
    played = sum(row["is_click"] == "0" and row["play_time_ms"] != "0" for row in rows)
    assert quirks["played_without_click"] == played == 106_279  # 46 %
    other = 0
    for row in rows:
        local = datetime.fromtimestamp(int(row["time_ms"]) // 1000, UTC) + timedelta(hours=8)
        other += f"{local:%Y%m%d %H}" != f"{row['date']} {int(row['hourmin']) // 100:02d}"
    assert quirks["date_or_hour_not_of_time"] == other == 40_243  # 17.5 %
    assert quirks["absent_files"] == 2  # the random log, the categories
    assert quirks["user_cells_special"] == 21_127 + 6
    assert quirks["user_cells_empty"] == 874 + 6 * 714
    assert (quirks["item_cells_special"], quirks["item_cells_empty"]) == (81, 538)


def test_users_and_videos(store: Store) -> None:
    manifest = store.manifest
    counts = manifest.counts
    assert counts.users + counts.dropped_users == 27_285
    assert counts.items + counts.dropped_items == 7_583
    assert (counts.unlisted_users, counts.unlisted_items) == (0, 0)
    with (RAW / "data" / "video_features_basic_pure.csv").open(newline="") as stream:
        tags = {row["video_id"]: row["tag"] for row in csv.DictReader(stream)}
    seen = [tags[video] for video in store.items.ids.to_list()]
    names = sorted({tag for text in seen for tag in text.split(",") if tag})
    expected = [sorted(names.index(tag) + 1 for tag in text.split(",") if tag) for text in seen]
    found = [[code for code in codes if code] for codes in store.items.fields["tag"].tolist()]
    assert found == expected
    assert manifest.item_fields["tag"].size == len(names) + 1
    assert np.isnan(store.items.numbers["video_duration"]).sum() > 0
    assert len(manifest.user_fields) == 26
    assert not any(info.statistic for info in manifest.item_numbers.values())


def test_store_is_sound_and_described(store: Store) -> None:
    assert all(not finding.detail for finding in check(store))
    record = describe(store)
    assert record["quirks"]["played_without_click"] == 106_279
    split = record["split"]
    assert abs(split["test_part"]["share"] - 0.1) < 0.001
    assert split["train_after_first_test_share"] == 0


def test_statistics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRANK_HOME", str(tmp_path))
    card = load_card("kuairand-pure")
    card = card.model_copy(update={"options": {"statistics": True}})
    manifest = build_store(card, RAW, verify=False).store.manifest
    statistics = [name for name, info in manifest.item_numbers.items() if info.statistic]
    assert len(statistics) == 51
