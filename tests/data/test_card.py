"""Cards: what they refuse, what their hash depends on, how settings change them."""

from __future__ import annotations

from pathlib import Path

import pytest

from genrank_cli.data.card import list_cards, load_card, override
from genrank_cli.data.sources import READERS
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.paths import packaged
from tests.data.raw import movielens_card

TEXT = """
name = "mine"
version = 1
title = "Mine"
description = "d"
licence = "none"
source = "movielens"
[requests]
rule = "gap"
[[tasks]]
name = "like"
kind = "binary"
[split]
name = "temporal"
"""


def test_every_shipped_card_is_valid_and_named_like_its_file() -> None:
    cards = list_cards()
    assert [card.name for card in cards] == sorted(
        path.stem for path in packaged("datasets").glob("*.toml")
    )
    assert {"ml-100k", "ml-latest-small", "ml-1m", "ml-20m", "ml-25m", "ml-32m"} <= {
        card.name for card in cards
    }
    assert {card.source for card in cards} <= set(READERS)


def test_every_download_has_a_checksum() -> None:
    for card in list_cards():
        for download in card.downloads:
            assert download.md5 or download.sha256, card.name


def test_hash_depends_on_what_decides_the_events_only() -> None:
    card = movielens_card("100k")
    assert card.hash == movielens_card("100k", title="other", citation="x").hash
    others = [
        movielens_card("csv"),
        movielens_card("100k", version=2),
        movielens_card("100k", split={"name": "user-temporal"}),
        movielens_card("100k", requests={"rule": "gap", "gap_seconds": 1}),
        movielens_card("100k", options={"layout": "100k", "like_at": 3}),
    ]
    assert len({card.hash, *(other.hash for other in others)}) == 6


def test_a_card_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(TEXT)
    assert load_card(path).name == "mine"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (TEXT + "colour = 1\n", "split.colour: Extra inputs"),
        (TEXT.replace('rule = "gap"', 'rule = "time"'), "requests.rule"),
        (TEXT + "train = 0.9\n", "train + valid + test must be 1, found 1.1"),
        (TEXT.replace('name = "mine"', 'name = "../mine"'), "name: String should match"),
        (TEXT.replace("version = 1", "version = "), "not a readable card"),
        (TEXT.replace("version = 1\n", ""), "version: Field required"),
    ],
)
def test_bad_card_names_file_and_key(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(GenrankError) as caught:
        load_card(path)
    assert str(path) in caught.value.message
    assert part in caught.value.message
    assert caught.value.exit_code == ExitCode.DATA


def test_unknown_dataset_offers_the_nearest() -> None:
    with pytest.raises(GenrankError) as caught:
        load_card("ml-100")
    assert "did you mean 'ml-100k'?" in caught.value.hint
    assert caught.value.exit_code == ExitCode.USAGE


def test_missing_card_file(tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match="no such card"):
        load_card(tmp_path / "none.toml")


def test_override_changes_nested_options_and_keeps_the_rest() -> None:
    card = movielens_card("100k", options={"layout": "100k", "a": {"b": 1, "c": 2}})
    changed = override(card, {"options": {"a": {"b": 5}}, "split": {"name": "user"}})
    assert changed.options == {"layout": "100k", "a": {"b": 5, "c": 2}}
    assert changed.split.name == "user"
    assert card.options["a"]["b"] == 1


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"files": {"ratings": "x"}}, "unknown section of a card to change 'files'"),
        ({"options": 3}, "options is a table, not a value"),
        ({"requests": {"gap_seconds": -1}}, "requests.gap_seconds"),
        ({"split": {"train": 0.5}}, "must be 1"),
        ({"tasks": 3}, "tasks: a list is expected, not '3'"),
        ({"windows": {"spans": []}}, "windows: spans names none"),
    ],
)
def test_override_refuses(settings: dict[str, object], part: str) -> None:
    with pytest.raises(GenrankError) as caught:
        override(movielens_card("100k"), settings)
    assert part in caught.value.message
    assert caught.value.exit_code == ExitCode.USAGE


def test_a_bad_span_is_the_only_finding() -> None:
    with pytest.raises(GenrankError) as caught:
        override(movielens_card("100k"), {"windows": {"spans": ["1x"]}})
    assert caught.value.message.endswith(
        ": windows.spans.0: '1x' is not a span such as 1h, 3d: a whole number and one of m, h, d, w"
    )
