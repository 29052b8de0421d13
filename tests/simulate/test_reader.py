"""The shipped card and the reader."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card, override
from genrank_cli.data.sources.synthetic import read
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.simulate.config import FeedConfig
from genrank_cli.simulate.tables import generate
from tests.simulate.conftest import SMALL


def test_the_card_builds_a_store_with_the_truth_beside_the_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRANK_HOME", str(tmp_path))
    card = override(load_card("synthetic"), {"options": SMALL})
    raw = read(card, None).events.collect()
    store = build_store(card).store
    assert store.manifest.counts.events == raw.height
    assert store.manifest.counts.requests == raw["request"].n_unique()
    assert store.manifest.truth
    assert [task.name for task in store.manifest.tasks] == ["click", "like", "dwell"]
    assert store.column("truth.click").mean() == pytest.approx(0.3, abs=0.004)
    assert np.array_equal(store.column("task.click"), store.column("actions") & 1)


def test_the_card_leaves_every_parameter_at_its_default() -> None:
    assert FeedConfig.model_validate(load_card("synthetic").options) == FeedConfig()


def test_wrong_options_are_named() -> None:
    card = override(load_card("synthetic"), {"options": {"interest": {"strength": -1}}})
    with pytest.raises(GenrankError, match=r"interest\.strength") as caught:
        read(card, None)
    assert caught.value.exit_code == ExitCode.USAGE


def test_the_card_has_a_new_version_when_the_feed_changes() -> None:
    """Stores are told apart by their card: raise its version together with these digests."""
    defaults = hashlib.sha256(FeedConfig().model_dump_json().encode()).hexdigest()[:12]
    events = generate(FeedConfig.model_validate(SMALL)).events
    shown = events.select("user", "item", "request", "action.click", "action.like").to_numpy()
    feed = hashlib.sha256(shown.astype("<i8").tobytes()).hexdigest()[:12]
    assert (load_card("synthetic").version, defaults, feed) == (1, "a13131d5a44a", "9d439bdb5fe0")
