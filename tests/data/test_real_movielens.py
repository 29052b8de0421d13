"""The real MovieLens files, where ``GENRANK_TEST_DATA`` names their folder."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card
from genrank_cli.data.describe import describe
from genrank_cli.data.invariants import check

RAW = Path(os.environ.get("GENRANK_TEST_DATA", "."))
pytestmark = pytest.mark.real_data


def test_ml_100k_is_the_dataset_that_its_readme_describes(home: Path) -> None:
    store = build_store(load_card("ml-100k"), RAW).store
    counts = store.manifest.counts
    assert (counts.events, counts.users, counts.items) == (100_000, 943, 1682)
    assert (counts.dropped_duplicates, counts.unlisted_items, counts.unlisted_users) == (0, 0, 0)
    assert {name: info.size - 1 for name, info in store.manifest.user_fields.items()} == {
        "age": 8,
        "gender": 2,
        "occupation": 21,
    }
    assert all(not finding.detail for finding in check(store))


def test_ml_100k_rows_are_those_of_the_file(home: Path) -> None:
    store = build_store(load_card("ml-100k"), RAW).store
    lines = (RAW / "ml-100k" / "u.data").read_text().splitlines()
    expected = Counter(tuple(map(int, line.split("\t"))) for line in lines)
    rating = np.log2(store.column("actions")).astype(int) + 1
    found = Counter(
        zip(
            store.users.ids.cast(int)[store.column("user")].to_list(),
            store.items.ids.cast(int)[store.column("item")].to_list(),
            rating.tolist(),
            store.column("timestamp").astype(int).tolist(),
            strict=True,
        )
    )
    assert found == expected
    assert (store.column("task.like") == (rating >= 4)).all()


def test_ml_100k_split(home: Path) -> None:
    split = describe(build_store(load_card("ml-100k"), RAW).store)["split"]
    assert split["name"] == "user-temporal"
    assert abs(split["train_part"]["share"] - 0.78) < 0.02
    assert abs(split["test_part"]["share"] - 0.2) < 0.02


def test_ml_latest_small(home: Path) -> None:
    store = build_store(load_card("ml-latest-small"), RAW).store
    counts = store.manifest.counts
    assert (counts.events, counts.users, counts.items) == (100_836, 610, 9724)
    assert counts.dropped_items == 18  # 9,742 films are listed
    assert len(store.manifest.actions) == 10
    assert all(not finding.detail for finding in check(store))
