"""The embedded synthetic feed; the card's options are the world's `FeedConfig`."""

from __future__ import annotations

from pathlib import Path

from genrank_cli.data.card import Card, parse_options
from genrank_cli.data.sources import RawTables
from genrank_cli.simulate.config import FeedConfig
from genrank_cli.simulate.tables import generate


def read(card: Card, raw_dir: Path | None) -> RawTables:
    """Generate the feed that the card's options describe; it has no raw files.

    Raises `GenrankError` (2) for options that the world refuses.
    """
    feed = generate(parse_options(card, FeedConfig))
    return RawTables(feed.events.lazy(), feed.users.lazy(), feed.items.lazy())
