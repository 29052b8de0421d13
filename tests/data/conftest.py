"""A home of its own for each test, and a builder fed with tables instead of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import settings

from genrank_cli.data import build as building
from genrank_cli.data import fetch
from genrank_cli.data.card import Card
from genrank_cli.data.sources import RawTables
from genrank_cli.data.store import Store
from tests.data.raw import plain_card
from tests.data.site import Site, serve

BuildTables = Callable[..., Store]

# A busy machine is slow, not wrong: examples have no time limit of their own.
settings.register_profile("data", deadline=None)
settings.load_profile("data")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for built stores."""
    folder = tmp_path / "home"
    monkeypatch.setenv("GENRANK_HOME", str(folder))
    return folder


@pytest.fixture
def build_tables(home: Path, monkeypatch: pytest.MonkeyPatch) -> BuildTables:
    """``build_tables(events, users, items, card)`` builds these tables and opens the store."""

    def build(
        events: pl.DataFrame,
        users: pl.DataFrame | None = None,
        items: pl.DataFrame | None = None,
        card: Card | None = None,
    ) -> Store:
        tables = RawTables(
            events.lazy(),
            None if users is None else users.lazy(),
            None if items is None else items.lazy(),
        )
        monkeypatch.setattr(building, "read", lambda _card, _raw_dir: tables)
        return building.build_store(card or plain_card(), force=True).store

    return build


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A web server of this process; failed downloads from it are repeated without a pause."""
    monkeypatch.setattr(fetch, "PAUSE_S", 0.0)
    with serve() as site:
        yield site
