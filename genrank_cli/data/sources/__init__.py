"""Readers of raw files, by name. A new source is one module and one line in `READERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from genrank_cli.data.card import Card
from genrank_cli.errors import GenrankError, unknown_name

if TYPE_CHECKING:
    import polars as pl

#: source on the card → module with a function ``read``, imported when it is needed
READERS = {
    "kuairand": "genrank_cli.data.sources.kuairand",
    "movielens": "genrank_cli.data.sources.movielens",
    "synthetic": "genrank_cli.data.sources.synthetic",
    "table": "genrank_cli.data.sources.table",
}


@dataclass(frozen=True)
class RawTables:
    """What a reader hands over, in the units of the canonical events.

    ``events``: ``user``, ``item`` (integers or text), ``timestamp`` (seconds since 1970),
    optionally ``request`` (raw id, unique within a user), ``action.<name>`` (0/1),
    ``task.<name>`` (number), ``truth.<name>`` (number), ``context.<name>`` (raw category),
    ``number.<name>`` (a number known at the request; null or NaN = missing), ``apart`` (bool: part
    of the history, but never trained on; evaluated apart, such as randomly exposed items), and
    ``quirk.<name>`` (bool: a peculiarity of the row that is counted, reported, and forgotten).
    ``users`` and ``items``: ``user`` or ``item``, ``field.<name>`` (raw category; a list column
    holds several), ``number.<name>`` (as above) and ``statistic.<name>`` (a number that sums up a
    period of the log, test period included: it leaks); items may have ``content``, an array of
    numbers of one width.
    A reader may leave the checking of the raw text to the one pass that the builder makes over
    it: ``refused`` (bool, events) marks a row that may not stand in the file, and ``explain`` is
    called when there is one, or when the text cannot be parsed, with what the parser said. It
    returns the error that names the first such line and the reason. ``doubtful`` (bool, events)
    marks a row that a single pass cannot judge: if there is one among events that are good
    otherwise, ``recheck`` is called once, and the error that it may return ends the build.
    ``quirks``: further counts for the report, such as rows that a reader had to leave out.
    """

    events: pl.LazyFrame
    users: pl.LazyFrame | None = None
    items: pl.LazyFrame | None = None
    quirks: Mapping[str, int] = field(default_factory=dict)
    explain: Callable[[str], GenrankError] | None = None
    recheck: Callable[[], GenrankError | None] | None = None


class Reader(Protocol):
    """Turns the raw files in a folder into tables; the folder is None where a source needs none."""

    def __call__(self, card: Card, raw_dir: Path | None) -> RawTables: ...


def read(card: Card, raw_dir: Path | None) -> RawTables:
    """The raw tables of a dataset, by the reader that its card names."""
    if card.source not in READERS:
        raise unknown_name("source", card.source, READERS)
    reader = cast(Reader, import_module(READERS[card.source]).read)
    return reader(card, raw_dir)
