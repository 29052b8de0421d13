"""Tiny raw files in the three MovieLens layouts, made up, and cards that fit them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from genrank_cli.data.card import Card, RequestRule, Task
from genrank_cli.data.sources.movielens import GENRES_100K
from genrank_cli.data.split_spec import SplitSpec

#: user, item, rating, timestamp; three users, five items, and two pairs in one moment
RATINGS = (
    (7, 10, 5, 1_000_000_300),
    (7, 20, 2, 1_000_000_100),
    (3, 10, 4, 1_000_000_200),
    (3, 30, 1, 1_000_000_200),
    (3, 20, 3, 1_000_000_250),
    (12, 40, 4, 1_000_000_900),
    (12, 20, 2, 1_000_000_800),
    (7, 50, 4, 1_000_000_100),
)
ITEMS = (
    (10, "Amélie (2001)", ("Comedy", "Romance")),
    (20, "Heat: Part 2 (1995)", ("Action",)),
    (30, "Nameless", ()),
    (40, "Alien (1979)", ("Horror", "Sci-Fi")),
    (50, "Up, Again (2009)", ("Animation",)),
    (60, "Never Rated (1950)", ("Drama",)),
)
USERS = (
    (3, 24, "M", "artist"),
    (7, 9, "F", "other"),
    (12, 61, "F", "artist"),
    (99, 30, "M", "other"),
)


def write_100k(folder: Path) -> Path:
    """``u.data``, ``u.item``, ``u.user``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in RATINGS]
    (folder / "u.data").write_text("\n".join(lines) + "\n")
    rows = []
    for item, title, genres in ITEMS:
        flags = [str(int(genre in genres)) for genre in GENRES_100K]
        rows.append("|".join([str(item), title, "01-Jan-1995", "", "http://x", *flags]))
    (folder / "u.item").write_text("\n".join(rows) + "\n", encoding="latin-1")
    users = [f"{user}|{age}|{gender}|{work}|00000" for user, age, gender, work in USERS]
    (folder / "u.user").write_text("\n".join(users) + "\n")
    return folder


def write_1m(folder: Path) -> Path:
    """``ratings.dat``, ``movies.dat``, ``users.dat``."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["::".join(map(str, row)) for row in RATINGS]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n")
    rows = [f"{item}::{title}::{'|'.join(genres)}" for item, title, genres in ITEMS]
    (folder / "movies.dat").write_text("\n".join(rows) + "\n", encoding="latin-1")
    users = [f"{user}::{gender}::{age}::4::00000" for user, age, gender, _ in USERS]
    (folder / "users.dat").write_text("\n".join(users) + "\n")
    return folder


def write_csv(folder: Path, end: str = "\r\n") -> Path:
    """``ratings.csv`` and ``movies.csv``, with CRLF line ends as in latest-small."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["userId,movieId,rating,timestamp"]
    lines += [f"{user},{item},{rating - 0.5},{time}" for user, item, rating, time in RATINGS]
    (folder / "ratings.csv").write_bytes((end.join(lines) + end).encode())
    rows = ["movieId,title,genres"]
    for item, title, genres in ITEMS:
        quoted = f'"{title}"' if "," in title else title
        rows.append(f"{item},{quoted},{'|'.join(genres) or '(no genres listed)'}")
    (folder / "movies.csv").write_bytes((end.join(rows) + end).encode())
    return folder


FILES = {
    "100k": {"ratings": "u.data", "items": "u.item", "users": "u.user"},
    "1m": {"ratings": "ratings.dat", "items": "movies.dat", "users": "users.dat"},
    "csv": {"ratings": "ratings.csv", "items": "movies.csv"},
}
WRITERS = {"100k": write_100k, "1m": write_1m, "csv": write_csv}


def movielens_card(layout: str, **changes: Any) -> Card:
    """A card for the files of ``layout``, without checksums."""
    fields: dict[str, Any] = {
        "name": f"tiny-{layout}",
        "version": 1,
        "title": "tiny",
        "description": "made up",
        "licence": "none",
        "source": "movielens",
        "options": {"layout": layout},
        "files": {key: {"path": path} for key, path in FILES[layout].items()},
        "requests": {"rule": "gap"},
        "tasks": [{"name": "like", "kind": "binary"}],
        "split": {"name": "temporal"},
    }
    return Card.model_validate(fields | changes)


def plain_card(name: str = "plain", rule: str = "gap", **changes: Any) -> Card:
    """A card for tables that a test gives the builder itself."""
    card = Card(
        name=name,
        version=1,
        title="plain",
        description="given by a test",
        licence="none",
        source="test",
        requests=RequestRule.model_validate({"rule": rule}),
        tasks=(Task(name="like", kind="binary"),),
        split=SplitSpec(name="temporal"),
    )
    return card.model_copy(update=changes)


def events(**columns: Any) -> pl.DataFrame:
    """Eight plain events with one task and no action; ``columns`` replace or add some."""
    given: dict[str, Any] = {
        "user": [1, 1, 1, 1, 2, 2, 2, 2],
        "item": [1, 2, 3, 4, 1, 2, 3, 4],
        "timestamp": [1e9 + 10.0 * row for row in range(8)],
        "task.like": [0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0],
    }
    return pl.DataFrame(given | columns)
