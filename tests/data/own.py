"""A tiny log of one's own, made up, in every format, and a card for it."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import polars as pl

from genrank_cli.data.card import Card

START = 1_714_521_600  # 2024-05-01

CARD = """
name = "own"
version = 1
title = "Own"
description = "made up"
licence = "none"
source = "table"

[files.events]
path = "log.csv"

[files.users]
path = "users.csv"

[files.items]
path = "items.csv"

[columns]
user = "user"
item = "item"
timestamp = { column = "time", unit = "ms" }
context = ["device"]
numbers = ["price"]

[columns.actions]
click = "clicked"
like = "rating >= 4"

[columns.tasks]
stars = "rating"

[columns.users]
fields = ["city"]
numbers = ["age"]

[columns.items.fields]
genres = { column = "genres", separator = "|" }

[requests]
rule = "gap"

[[tasks]]
name = "click"
kind = "binary"

[[tasks]]
name = "stars"
kind = "regression"

[split]
name = "temporal"
"""


def own_events() -> pl.DataFrame:
    """Twelve events of three users; every column that the card names, and one more."""
    rows = range(12)
    return pl.DataFrame(
        {
            "user": [7, 7, 3, 3, 3, 12, 12, 7, 3, 12, 7, 3],
            "item": [10, 20, 10, 30, 20, 40, 20, 50, 60, 10, 30, 40],
            "time": [1000 * (START + 60 * (row // 2)) + 500 for row in rows],
            "clicked": [row % 3 % 2 for row in rows],
            "rating": [1.0 + row % 5 for row in rows],
            "device": [None if row == 5 else ("ios", "web, old")[row % 2] for row in rows],
            "price": [None if row == 2 else 0.5 * row for row in rows],
            "note": ["", "a", "b"] * 4,
        }
    )


def write_own(folder: Path, suffix: str = ".csv", card: str = "") -> Path:
    """``log`` in the format of ``suffix``, ``users.csv``, ``items.csv``, and ``own.toml``."""
    folder.mkdir(parents=True, exist_ok=True)
    events, log = own_events(), folder / f"log{suffix}"
    if suffix == ".parquet":
        events.write_parquet(log)
    else:
        events.write_csv(log, separator="\t" if suffix == ".tsv" else ",")
    (folder / "users.csv").write_text('user,city,age\n3,"Bonn, am Rhein",31\n7,Köln,\n99,Ulm,5\n')
    (folder / "items.csv").write_text("item,genres\n10,a|b\n20,\n30,b| c\n40,a\n70,z\n")
    if card:
        (folder / "own.toml").write_text(card)
    return folder


def own_card(log: str = "log.csv", **changes: Any) -> Card:
    """The card for the files of `write_own`; ``changes`` replace whole sections."""
    fields = tomllib.loads(CARD)
    fields["files"]["events"] = {"path": log}
    return Card.model_validate(fields | changes)
