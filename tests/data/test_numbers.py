"""Building: numbers, statistics, rows kept apart, quirks, windows and content vectors."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from genrank_cli.data import build as building
from genrank_cli.data import staging
from genrank_cli.data.card import Card, Task
from genrank_cli.data.columns import window_columns
from genrank_cli.data.declare import Buckets, ContentSpec, WindowSpec
from genrank_cli.data.describe import describe
from genrank_cli.data.invariants import check
from genrank_cli.data.sources import RawTables
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.store import NumberInfo, Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.conftest import BuildTables
from tests.data.own import CARD, own_card, write_own
from tests.data.raw import events, plain_card

NAN = float("nan")
ITEMS = pl.DataFrame(
    {"item": [4, 2, 1], "number.length": [4, None, NAN], "statistic.views": [0.25, 7.0, None]},
    strict=False,
)


def test_event_numbers_are_float32_and_nan_where_missing(build_tables: BuildTables) -> None:
    store = build_tables(events(**{"number.n": [0.1, None, NAN, 3, 4, 5, 6, -7]}))
    column = store.column("number.n")
    assert column.dtype == np.float32
    np.testing.assert_array_equal(column, np.array([0.1, NAN, NAN, 3, 4, 5, 6, -7], np.float32))
    assert store.manifest.event_numbers == {"n": Buckets(quantiles=16)}
    whole = build_tables(events(**{"number.n": [1, 2, 3, 4, 5, 6, 7, 2**20]}))
    assert whole.column("number.n")[7] == 2**20


def test_side_numbers_and_statistics(build_tables: BuildTables) -> None:
    buckets = {"item": {"length": Buckets(boundaries=(1.0, 2.0))}}
    users = pl.DataFrame({"user": [2], "number.age": [31]})
    store = build_tables(events(), users, ITEMS, plain_card(numbers=buckets))
    assert store.manifest.item_numbers == {
        "length": NumberInfo(buckets=Buckets(boundaries=(1.0, 2.0)), statistic=False),
        "views": NumberInfo(buckets=Buckets(quantiles=16), statistic=True),
    }
    numbers = store.items.numbers
    np.testing.assert_array_equal(numbers["length"], np.array([NAN, NAN, NAN, 4], np.float32))
    np.testing.assert_array_equal(numbers["views"], np.array([NAN, 7, NAN, 0.25], np.float32))
    np.testing.assert_array_equal(store.users.numbers["age"], np.array([NAN, 31], np.float32))
    assert all(column.dtype == np.float32 for column in numbers.values())
    assert all(not finding.detail for finding in check(store))


def test_every_nan_is_the_same_nan(build_tables: BuildTables) -> None:
    negative = np.array([0xFFC00001] * 8, np.uint32).view(np.float32)
    one = build_tables(events(**{"number.n": [NAN] * 8}))
    two = build_tables(events(**{"number.n": negative}))
    assert one.manifest.content_hash == two.manifest.content_hash


def test_values_and_buckets_enter_the_content_hash(build_tables: BuildTables) -> None:
    def content_hash(last: float, **numbers: dict[str, Buckets]) -> str:
        items = ITEMS.with_columns(pl.Series("statistic.views", [0.25, 7.0, last]))
        return build_tables(
            events(), items=items, card=plain_card(numbers=numbers)
        ).manifest.content_hash

    buckets = {"length": Buckets(boundaries=(1.0,))}
    hashes = {content_hash(1), content_hash(2), content_hash(2, item=buckets)}
    assert len(hashes) == 3
    assert content_hash(2) in hashes


def test_buckets_of_a_number_that_the_source_lacks_are_warned_about(
    build_tables: BuildTables, caplog: pytest.LogCaptureFixture
) -> None:
    build_tables(events(), card=plain_card(numbers={"event": {"n": Buckets(quantiles=4)}}))
    assert "the card has buckets for event number n, which the source lacks" in caplog.text


def test_apart(build_tables: BuildTables) -> None:
    store = build_tables(events(apart=[True, False] * 4))
    assert store.column("apart").dtype == np.uint8
    assert store.column("apart").tolist() == [1, 0] * 4
    assert store.manifest.apart
    assert not build_tables(events()).manifest.apart


def test_a_copy_is_equal_in_numbers_and_apart_but_not_in_quirks(build_tables: BuildTables) -> None:
    raw = events(**{"number.n": [NAN, 1, 2, 3, 4, 5, 6, 7], "apart": [0] * 8, "quirk.q": [0] * 8})
    changes = {
        "number.n": pl.col("number.n") + 1,
        "apart": 1 - pl.col("apart"),
        "quirk.q": 1 - pl.col("quirk.q"),
    }
    kept = []
    for name, change in changes.items():
        both = pl.concat([raw, raw.with_columns(change.alias(name))])
        kept.append(build_tables(both).manifest.counts.events)
    assert kept == [15, 16, 8]


def test_quirks_are_counted_before_copies_are_dropped(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BLOCK_ROWS", 3)
    raw = events(**{"quirk.odd": [True, False, None, True] * 2, "quirk.never": [False] * 8})
    tables = RawTables(pl.concat([raw, raw]).lazy(), quirks={"odd": 5, "lost": 2, "none": 0})
    monkeypatch.setattr(building, "read", lambda _card, _raw_dir: tables)
    store = building.build_store(plain_card()).store
    assert store.manifest.counts.dropped_duplicates == 8
    assert store.manifest.quirks == {"odd": 13, "never": 0, "lost": 2, "none": 0}
    assert not [name for name in store.columns if name.startswith("quirk")]


def test_times_one_rounding_error_off_a_millisecond_are_set_to_it(
    build_tables: BuildTables,
) -> None:
    exact = 1_650_011_834.485 + np.arange(8)
    off = np.nextafter(exact, [0, 1e10] * 4)
    assert (off != exact).all()
    store = build_tables(events(user=[1] * 8, timestamp=off))
    assert store.column("timestamp").tolist() == exact.tolist()
    between = exact + 2.5e-4
    store = build_tables(events(user=[1] * 8, timestamp=between))
    assert store.column("timestamp").tolist() == between.tolist()


def _windowed(**changes: Any) -> Card:
    tasks = (Task(name="like", kind="binary"), Task(name="stay", kind="regression"))
    return plain_card(
        tasks=tasks, windows=WindowSpec(spans=("1m", "1h"), keys=("user",)), **changes
    )


def test_windows_are_built_for_the_binary_tasks(build_tables: BuildTables) -> None:
    store = build_tables(events(**{"task.stay": range(8)}), card=_windowed())
    spec = store.manifest.windows
    assert spec == WindowSpec(spans=("1m", "1h"), keys=("user",), tasks=("like",))
    names = [f"window.user_{part}" for part in ("1m_count", "1m_like", "1h_count", "1h_like")]
    assert window_columns(spec) == names
    assert [name for name in store.columns if name.startswith("window.")] == sorted(names)
    assert store.column("window.user_1m_count").tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert all(not finding.detail for finding in check(store))
    plain = build_tables(events(**{"task.stay": range(8)}), card=_windowed(name="other"))
    assert plain.manifest.content_hash == store.manifest.content_hash


def test_windows_of_a_task_that_is_not_binary(build_tables: BuildTables, home: Path) -> None:
    card = _windowed().model_copy(update={"windows": WindowSpec(tasks=("stay",))})
    with pytest.raises(GenrankError, match="names 'stay'; the binary tasks are: like"):
        build_tables(events(**{"task.stay": range(8)}), card=card)
    assert not home.exists()


def test_content_vectors_of_the_card(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[int]] = []

    def vectors(card: Card, raw_dir: Path, items: pl.Series) -> np.ndarray:
        asked.append(items.to_list())
        return np.arange(8, dtype=np.float32).reshape(4, 2)

    fake = SimpleNamespace(content_vectors=vectors)
    monkeypatch.setitem(sys.modules, "genrank_cli.data.content", fake)
    monkeypatch.setattr(building, "read", lambda _card, _raw_dir: RawTables(events().lazy()))
    card = plain_card(content=ContentSpec(kind="npy", file="vectors"))
    store = building.build_store(card, tmp_path).store
    assert asked == [[1, 2, 3, 4]]
    assert store.manifest.content_width == 2
    assert store.items.content is not None
    assert store.items.content.tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(GenrankError, match="content vectors come from raw files"):
        building.build_store(card, force=True)
    items = pl.LazyFrame(
        {"item": [1], "content": [[1.0]]}, {"item": int, "content": pl.Array(float, 1)}
    )
    tables = RawTables(events().lazy(), items=items)
    monkeypatch.setattr(building, "read", lambda _card, _raw_dir: tables)
    with pytest.raises(GenrankError, match="gives content vectors of its own") as caught:
        building.build_store(card, tmp_path, force=True)
    assert caught.value.exit_code == ExitCode.DATA


def test_describe_shows_numbers_windows_apart_and_quirks(build_tables: BuildTables) -> None:
    raw = events(
        **{
            "task.stay": range(8),
            "number.n": [NAN, None, 2.5, 3, 4, 5, 6, -7],
            "number.none": [None] * 8,
            "apart": [True] + [False] * 7,
            "quirk.odd": [True, True] + [False] * 6,
        }
    )
    spec = SplitSpec(name="temporal", train=0.5, valid=0.2, test=0.3)
    store = build_tables(raw, items=ITEMS, card=_windowed(split=spec))
    record = describe(store)
    assert record["event_numbers"]["n"] == {"missing_share": 0.25, "min": -7.0, "max": 6.0}
    assert record["event_numbers"]["none"] == {"missing_share": 1.0, "min": None, "max": None}
    assert record["item_numbers"]["views"] == {"missing_share": 0.5, "min": 0.25, "max": 7.0}
    assert record["user_numbers"] == {}
    assert record["windows"]["window.user_1h_count"] == {"missing_share": 0.0, "min": 0, "max": 3}
    assert record["apart_share"] == 0.125
    assert record["quirks"] == {"odd": 2}
    assert describe(build_tables(events(), card=plain_card(split=spec)))["apart_share"] is None


def test_a_store_is_the_same_after_opening(build_tables: BuildTables) -> None:
    raw = events(**{"number.n": [1.5] * 8, "task.stay": range(8), "apart": [0] * 8})
    store = build_tables(raw, items=ITEMS, card=_windowed())
    assert Store.open(store.path).manifest == store.manifest


def test_a_number_of_ones_own_table_may_be_declared_a_statistic(home: Path, tmp_path: Path) -> None:
    """Then it is known to leak: the audit names it, and models leave it out by default."""
    columns = tomllib.loads(CARD)["columns"]
    columns["users"] = {"fields": ["city"], "statistics": ["age"]}
    store = building.build_store(own_card(columns=columns), write_own(tmp_path)).store
    assert store.manifest.user_numbers["age"].statistic
    np.testing.assert_array_equal(store.users.numbers["age"], [31, np.nan, np.nan])
