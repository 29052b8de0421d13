"""Synthetic KuaiRand logs: the layout, the sizes and the quirks of the real files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card
from genrank_cli.data.sources.kuairand import log_columns
from genrank_cli.errors import GenrankError
from genrank_cli.simulate import kuairand, kuairand_files
from genrank_cli.simulate.kuairand import LARGE, PURE, Shape, blocks, make_world
from genrank_cli.simulate.kuairand_files import ITEMS_FILE, LOGS, USERS_FILE, synthesize
from tests.conftest import Cli

SHAPE = Shape(events=60_000, users=900, items=700, random_share=0.25, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("logs") / "synthetic"
    synthesize(SHAPE, target)
    return target


@pytest.fixture(scope="module")
def logs(folder: Path) -> list[pl.DataFrame]:
    return [pl.read_csv(folder / name) for name in LOGS]


def test_the_files_are_the_official_ones(folder: Path) -> None:
    card = load_card("kuairand-pure")
    official = {spec.path for spec in card.files.values()}
    written = {str(file.relative_to(folder)) for file in folder.rglob("*.csv")}
    assert written == {*LOGS, USERS_FILE, ITEMS_FILE}
    assert written <= official


def test_headers_and_types_are_those_of_the_real_logs(logs: list[pl.DataFrame]) -> None:
    for log in logs:
        assert log.columns == [column.name for column in log_columns()]
        assert set(log.dtypes) == {pl.Int64}


@pytest.mark.real_data
@pytest.mark.parametrize("name", [LOGS[1], USERS_FILE, ITEMS_FILE])
def test_headers_are_those_of_the_real_files(folder: Path, name: str) -> None:
    from tests.conftest import TEST_DATA

    real = Path(str(TEST_DATA)) / "KuaiRand-Pure" / name
    assert (folder / name).open().readline() == real.open().readline()


def test_sizes_are_exact(logs: list[pl.DataFrame]) -> None:
    early, late, random = logs
    standard = pl.concat([early, late])
    assert len(standard) == SHAPE.events
    assert len(random) == SHAPE.random_events == 15_000
    assert SHAPE.copies == round(0.0239 * 60_000)
    assert len(standard) - len(standard.unique()) == pytest.approx(SHAPE.copies, abs=3)
    assert standard["user_id"].unique().sort().to_list() == list(range(900))
    assert standard["video_id"].max() < 700  # type: ignore[operator]
    assert early["date"].min() == 20220408
    assert early["date"].max() == 20220421
    assert late["date"].min() == random["date"].min() == 20220422
    assert set(early["is_rand"]) == set(late["is_rand"]) == {0}
    assert set(random["is_rand"]) == {1}


def test_the_quirks_are_there(logs: list[pl.DataFrame]) -> None:
    log = pl.concat(logs[:2])
    assert not log["time_ms"].is_sorted()
    assert (np.diff(log["user_id"].to_numpy()) == 0).mean() < 0.1
    local = pl.from_epoch(log["time_ms"] + 8 * 3_600_000, time_unit="ms")
    off = local.dt.hour() != log["hourmin"] // 100
    assert off.mean() == pytest.approx(0.175, abs=0.01)
    day = local.dt.strftime("%Y%m%d").cast(pl.Int64)
    assert ((day != log["date"]) <= off).all()
    assert (log["duration_ms"] == 0).mean() == pytest.approx(0.0156, abs=0.003)
    assert (log["play_time_ms"] == 0).mean() == pytest.approx(0.0975, abs=0.01)
    unclicked = log.filter(pl.col("is_click") == 0)
    assert (unclicked["play_time_ms"] > 0).mean() == pytest.approx(0.829, abs=0.02)
    assert log["is_click"].mean() == pytest.approx(0.442, abs=0.03)
    assert log["long_view"].mean() == pytest.approx(0.311, abs=0.03)
    assert log["is_like"].mean() == pytest.approx(0.0171, abs=0.004)
    assert log["tab"].n_unique() >= 12


def test_users_come_in_bursts_and_items_are_not_equally_popular(logs: list[pl.DataFrame]) -> None:
    log = pl.concat(logs[:2]).unique().sort("user_id", "time_ms")
    same_user = log["user_id"] == log["user_id"].shift()
    gap = log["time_ms"].diff().filter(same_user).to_numpy()
    assert np.quantile(gap, 0.5) < 60_000
    assert np.quantile(gap, 0.95) > 12 * 3_600_000
    assert (gap == 0).any()
    counts = log.group_by("video_id").len()["len"].sort(descending=True)
    assert counts.head(70).sum() > 0.3 * len(log)
    random = logs[2].group_by("video_id").len()["len"]
    assert random.max() < 4 * random.mean()  # type: ignore[operator]


def test_feedback_depends_on_user_item_and_page(logs: list[pl.DataFrame]) -> None:
    """A file of noise would build as well, but nothing could be learnt from it."""
    log = pl.concat(logs[:2])
    overall = log["is_click"].to_numpy().mean()
    for key in ("user_id", "video_id", "tab"):
        rates = log.group_by(key).agg(pl.len().alias("n"), pl.col("is_click").mean())
        rates = rates.filter(pl.col("n") > 100)
        noise = np.sqrt(overall * (1 - overall) / rates["n"].to_numpy().mean())
        assert rates["is_click"].to_numpy().std() > 2 * noise, key


def test_side_tables_list_everyone_with_special_and_quoted_cells(folder: Path) -> None:
    users = pl.read_csv(folder / USERS_FILE, infer_schema=False)
    assert users["user_id"].cast(pl.Int64).to_list() == list(range(900))
    assert "-124" in users["is_live_streamer"].to_list()
    assert users["onehot_feat12"].null_count() > 0
    assert '"(' in (folder / USERS_FILE).read_text()
    bounds = {"0": (0, 0), "(0,10]": (1, 10), "(250,500]": (251, 500), "500+": (501, 10**9)}
    for count, label in users.select("follow_user_num", "follow_user_num_range").iter_rows():
        low, high = bounds.get(label, (11, 250))
        assert low <= int(count) <= high
    items = pl.read_csv(folder / ITEMS_FILE, infer_schema=False)
    assert items["video_id"].cast(pl.Int64).to_list() == list(range(700))
    assert items["tag"].str.contains(",").sum() > 50
    for name in ("video_duration", "music_type", "tag"):
        assert 0 < items[name].null_count() < 60
    assert items["video_duration"].drop_nulls().str.ends_with(".0").all()


def test_the_log_knows_the_duration_of_its_item(folder: Path, logs: list[pl.DataFrame]) -> None:
    items = pl.read_csv(folder / ITEMS_FILE).drop_nulls("video_duration")
    rows = logs[0].filter(pl.col("duration_ms") > 0).join(items, on="video_id")
    assert (rows["duration_ms"] == rows["video_duration"]).all()


def test_it_builds(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRANK_HOME", str(tmp_path))
    store = build_store(load_card("kuairand-pure"), folder, "synthetic-logs", verify=False).store
    counts = store.manifest.counts
    assert counts.dropped_duplicates == pytest.approx(SHAPE.copies, abs=3)
    assert counts.events == SHAPE.events + SHAPE.random_events - counts.dropped_duplicates
    assert counts.users == 900


def test_the_same_seed_writes_the_same_files(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synthesize(SHAPE, tmp_path / "again")
    synthesize(SHAPE.model_copy(update={"seed": 4}), tmp_path / "other")
    for name in (*LOGS, USERS_FILE, ITEMS_FILE):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_blocks_add_up_whatever_their_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kuairand, "BLOCK_ROWS", 777)
    parts = list(blocks(SHAPE, make_world(SHAPE)))
    assert len(parts) > 50
    standard = pl.concat(part.standard for part in parts)
    assert len(standard) == SHAPE.events
    assert len(standard) - len(standard.unique()) == pytest.approx(SHAPE.copies, abs=3)
    assert sum(len(part.random) for part in parts) == SHAPE.random_events
    assert standard["user_id"].n_unique() == 900
    assert standard["time_ms"].n_unique() > 0.9 * SHAPE.events  # no block repeats another
    means = np.array([float(part.standard["user_id"].to_numpy().mean()) for part in parts])
    assert not (np.diff(means) > 0).all()  # ids do not tell the block


def test_default_sizes_follow_the_published_versions() -> None:
    for events, items in (PURE, LARGE):
        shape = Shape.of_events(events)
        assert shape.users == 27_285
        assert shape.items == pytest.approx(items, rel=1e-6)
    assert Shape.of_events(10_000).users == 190
    assert Shape.of_events(10_000_000, users=5, days=2).model_dump() == {
        "events": 10_000_000, "users": 5, "items": Shape.of_events(10_000_000).items,
        "days": 2, "seed": 0, "random_share": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize("days", [2, 3, 60])
def test_both_logs_hold_days(days: int, tmp_path: Path) -> None:
    synthesize(Shape.of_events(3000, days=days), tmp_path / "logs")
    early, late = (pl.read_csv(tmp_path / "logs" / name)["date"] for name in LOGS[:2])
    assert early.n_unique() + late.n_unique() >= min(days, 40)
    assert early.max() < late.min()  # type: ignore[operator]
    assert not (tmp_path / "logs" / LOGS[2]).exists()


def test_a_folder_that_holds_something_is_left_alone(folder: Path) -> None:
    before = (folder / USERS_FILE).read_bytes()
    with pytest.raises(GenrankError, match="exists already"):
        synthesize(SHAPE, folder)
    assert (folder / USERS_FILE).read_bytes() == before


def test_an_interrupted_write_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kuairand_files, "_write_items", interrupted)
    with pytest.raises(KeyboardInterrupt):
        synthesize(SHAPE, tmp_path / "logs")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "logs").mkdir()  # an empty folder is as good as none
    monkeypatch.undo()
    synthesize(SHAPE, tmp_path / "logs")
    assert (tmp_path / "logs" / ITEMS_FILE).exists()


def test_a_disk_that_is_too_small_is_told_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match="are free") as caught:
        synthesize(Shape.of_events(10**15, items=10), tmp_path / "logs")
    assert caught.value.exit_code == 5
    assert list(tmp_path.iterdir()) == []


def test_the_command_line(tmp_path: Path, cli: Cli) -> None:
    out = tmp_path / "logs"
    told = cli("data", "synthesize", "--events", "2e3", "--out", str(out), "--json", "--seed", "1")
    assert told.code == 0
    found = json.loads(told.out)
    assert found["events"] == 2000
    assert found["bytes"] == sum(file.stat().st_size for file in out.rglob("*.csv"))
    assert "genrank data build kuairand-pure --raw-dir" in told.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--events", "1500.5"), "not a whole number"),
        (("--events", "10"), "--events 10 is fewer than 1,000"),
        (("--events", "-5"), "--events -5 is fewer than 1,000"),
        (("--events", "1e4", "--users", "9900"), "too few for 9900 users"),
        (("--events", "1e4", "--like", "kuairnd"), "did you mean 'kuairand'"),
        (("--events", "nan"), "not a whole number"),
    ],
    ids=["fraction", "few", "negative", "users", "layout", "nan"],
)
def test_wrong_sizes_are_refused(
    arguments: tuple[str, ...], words: str, tmp_path: Path, cli: Cli
) -> None:
    told = cli("data", "synthesize", "--out", str(tmp_path / "logs"), *arguments)
    assert told.code == 2
    assert words in told.err
    assert list(tmp_path.iterdir()) == []
