"""KuaiRand's tables of users and videos → fields and numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrank_cli.data.sources import read
from tests.data.kuairand_raw import (
    build_kuairand,
    kuairand_card,
    read_kuairand,
    write_categories,
    write_kuairand,
)

VERSIONS = ("pure", "1k", "27k")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """The made-up files of KuaiRand-Pure."""
    return write_kuairand(tmp_path / "raw")


def test_users(raw: Path) -> None:
    users = read_kuairand(raw).users
    assert users is not None
    first, second = users.collect().sort("user").to_dicts()
    assert {
        key: first[f"field.{key}"] for key in ("user_active_degree", "fans_user_num_range")
    } == {
        "user_active_degree": "full_active",
        "fans_user_num_range": "[100,1k)",
    }
    assert first["field.is_live_streamer"] is None  # -124
    assert (first["field.onehot_feat4"], second["field.onehot_feat4"]) == (1, 1)  # 1.0 and 1
    assert second["field.onehot_feat17"] is None
    assert second["field.user_active_degree"] is None  # UNKNOWN
    assert second["field.fans_user_num_range"] is None
    numbers = [f"number.{name}" for name in ("follow_user_num", "fans_user_num", "register_days")]
    assert [first[name] for name in numbers] == [514, 150, 799]
    assert [second[name] for name in numbers] == [8, None, 31]
    fields = [name for name in first if name.startswith("field.")]
    assert len(fields) == 5 + 3 + 18


def test_videos(raw: Path) -> None:
    items = read_kuairand(raw).items
    assert items is not None
    found = items.collect().sort("item")
    assert found["item"].to_list() == [10, 20, 30, 40, 50, 60]
    assert found["field.tag"].to_list() == [["39"], ["12", "65"], None, ["39"], ["39"], ["39"]]
    assert found["field.author_id"].to_list() == [900, 900, 900, 901, 900, 900]
    assert found["field.video_type"].to_list() == ["NORMAL"] * 2 + [None] + ["NORMAL"] * 3
    assert found["field.upload_type"].to_list() == ["LongImport"] * 5 + ["Web"]
    assert found["field.visible_status"].to_list() == [0] * 6
    assert found["field.music_type"].to_list() == [9, 9, None, 9, 9, 9]
    forms = ["portrait", "square", "portrait", "landscape", None, "portrait"]
    assert found["field.orientation"].to_list() == forms
    assert found["number.video_duration"].to_list() == [20, None, 20, 20, 20, 20]
    assert found["number.upload_day"].to_list() == [19092] * 4 + [2, 19092]
    assert not [name for name in found.columns if name.startswith("statistic.")]
    assert "field.music_id" not in found.columns


def test_music_is_an_option(raw: Path) -> None:
    items = read_kuairand(raw, music=True).items
    assert items is not None
    music = items.collect().sort("item")["field.music_id"].to_list()
    assert music == [77, 77, None, 77, None, 77]  # 0 and -124 are none


@pytest.mark.parametrize("version", VERSIONS)
def test_statistics_are_an_option(version: str, tmp_path: Path) -> None:
    raw = write_kuairand(tmp_path, version)
    items = read(kuairand_card(version, options={"statistics": True}), raw).items
    assert items is not None
    found = items.collect().sort("item")
    assert found["statistic.counts"].to_list() == [10, 20, 30, 40, None, 60]
    assert found["statistic.show_cnt"].to_list() == [1.25, 2.5, 3.75, 5, None, 7.5]
    assert [c for c in found.columns if c.startswith("statistic.")] == [
        "statistic.counts",
        "statistic.show_cnt",
        "statistic.play_progress",
    ]


def test_categories_of_all_levels_are_one_field(raw: Path, home: Path) -> None:
    write_categories(raw)
    items = read_kuairand(raw).items
    assert items is not None
    found = items.collect().sort("item")["field.category"].to_list()
    assert found == [["1:7", "2:126", "3:1056"], ["1:7"], None, ["1:8", "2:126"], None, None]
    store = build_kuairand(raw)
    assert store.manifest.item_fields["category"].multi
    assert store.manifest.item_fields["category"].size == 1 + 4
    assert store.manifest.quirks.get("absent_files", 0) == 0
