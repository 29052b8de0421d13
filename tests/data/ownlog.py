"""Variants of the own log of `tests.data.own`, written, built and refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from tests.data.own import START, own_card, own_events
from tests.data.test_fuzz import zstd

SECONDS = [START + 30 * row for row in range(12)]
WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "log.csv": lambda frame, path: frame.write_csv(path),
    "log.tsv": lambda frame, path: frame.write_csv(path, separator="\t"),
    "log.parquet": lambda frame, path: frame.write_parquet(path),
    "log.csv.gz": lambda frame, path: path.write_bytes(gzip.compress(frame.write_csv().encode())),
    "log.csv.zst": lambda frame, path: path.write_bytes(zstd(frame.write_csv().encode())),
}


def build(raw: Path, card: Card | None = None, name: str | None = None) -> Store:
    return build_store(card or own_card(), raw, name).store


def columns(**changes: Any) -> dict[str, Any]:
    """``[columns]`` of the card with some keys replaced, without the side tables."""
    given = own_card().model_dump(exclude_none=True)["columns"]
    return {key: value for key, value in given.items() if key not in ("users", "items")} | changes


def log_card(log: str = "log.csv", sections: dict[str, Any] | None = None, **changes: Any) -> Card:
    """A card for the log alone; ``changes`` are those of ``[columns]``."""
    sections = sections or {}
    return own_card(
        **({"files": {"events": {"path": log}}, "columns": columns(**changes)} | sections)
    )


def refusal(raw: Path, card: Card) -> GenrankError:
    with pytest.raises(GenrankError) as caught:
        build_store(card, raw, force=True)
    return caught.value


def write_log(raw: Path, log: str = "log.csv", **values: Any) -> pl.DataFrame:
    """The log with whole columns replaced."""
    frame = own_events().with_columns(pl.Series(name, cells) for name, cells in values.items())
    WRITERS[log](frame, raw / log)
    return frame
