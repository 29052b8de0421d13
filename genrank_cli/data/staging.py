"""First pass over the raw events: one lazy stream into a temporary file, and what is in it.

Everything after this pass reads blocks of users from that file, so that memory is bounded by a
block, not by the dataset.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.data.vocabulary import Vocabulary
from genrank_cli.data.workspace import disk_full
from genrank_cli.errors import data_error

MAX_ACTIONS = 32  # bits of a mask
BLOCK_ROWS = 2_000_000  # events sorted at a time; about 200 bytes of memory each


@dataclass(frozen=True)
class Stage:
    """The staged events and what a pass over them found."""

    path: Path
    actions: list[str]
    tasks: list[str]
    truths: list[str]
    contexts: dict[str, Vocabulary]
    has_request: bool
    users: Vocabulary
    events_of_user: pl.Series  # [U]
    items: Vocabulary

    @property
    def events(self) -> int:
        return int(self.events_of_user.sum())

    @property
    def row_bytes(self) -> int:
        """Bytes of one event in the finished store."""
        return 4 + 4 + 8 + 4 + 4 + 4 * (len(self.tasks) + len(self.truths) + len(self.contexts))

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Events of consecutive users, in blocks, sorted by (user, timestamp, row).

        Columns as staged: ``row``, ``user``, ``item`` (raw), ``timestamp``, [``request``],
        ``actions``, ``task.*``, ``truth.*``, ``context.*`` (raw).
        """
        scan, users = pl.scan_ipc(self.path), self.users.values
        for first, last in self._user_ranges():
            inside = pl.col("user").is_between(pl.lit(users[first]), pl.lit(users[last]))
            block = scan.filter(inside).collect(engine="streaming")
            yield block.sort("user", "timestamp", "row")

    def _user_ranges(self) -> Iterator[tuple[int, int]]:
        """First and last user of each block: as many as fit in `BLOCK_ROWS`, at least one."""
        counts = self.events_of_user.to_list()
        first = rows = 0
        for user, count in enumerate(counts):
            if user > first and rows + count > BLOCK_ROWS:
                yield first, user - 1
                first, rows = user, 0
            rows += count
        yield first, len(counts) - 1


def stage(events: pl.LazyFrame, card: Card, path: Path) -> Stage:
    """Stream the raw events into ``path`` and count them.

    Raises `GenrankError` (5): no events, a missing or unknown column, an empty user, item or
    request, too many actions, a full disk.
    """
    schema = events.collect_schema()
    names = _columns(schema, card)
    staged = _canonical(events, schema, names, card)
    try:
        staged.sink_ipc(path)
    except pl.exceptions.PolarsError as error:
        if disk_full(error):
            raise
        raise data_error(f"{card.name}: the events cannot be read: {error}") from error
    has_request = card.requests.rule == "column"
    _check_present(pl.scan_ipc(path), card.name, has_request)
    return _summary(path, names, has_request)


def _columns(schema: pl.Schema, card: Card) -> dict[str, list[str]]:
    """Names by group (``action``, ``task``, …); the tasks are those of the card, in its order."""
    groups: dict[str, list[str]] = {"action": [], "task": [], "truth": [], "context": []}
    plain = {"user", "item", "timestamp"} | ({"request"} & set(schema))
    for column in schema:
        group, _, name = column.partition(".")
        if group in groups and name:
            groups[group].append(name)
        elif column not in plain:
            raise data_error(f"{card.name}: the source gives an unknown column {column!r}")
    needed = plain | ({"request"} if card.requests.rule == "column" else set())
    missing = sorted(needed - set(schema))
    if missing:
        raise data_error(f"{card.name}: the source gives no column {', '.join(missing)}")
    if len(groups["action"]) > MAX_ACTIONS:
        count = len(groups["action"])
        raise data_error(f"{card.name}: {count} actions; at most {MAX_ACTIONS} fit in a mask")
    unknown = [task.name for task in card.tasks if task.name not in groups["task"]]
    if unknown:
        offered = ", ".join(groups["task"]) or "none"
        raise data_error(f"{card.name}: no label for task {unknown[0]!r}; the source has {offered}")
    groups["task"] = [task.name for task in card.tasks]
    groups["truth"] = [name for name in groups["truth"] if name in groups["task"]]
    return groups


def _canonical(
    events: pl.LazyFrame, schema: pl.Schema, names: dict[str, list[str]], card: Card
) -> pl.LazyFrame:
    request = [_raw("request", schema)] if card.requests.rule == "column" else []
    return events.select(
        _raw("user", schema),
        _raw("item", schema),
        pl.col("timestamp").cast(pl.Float64),
        *request,
        _mask(names["action"]),
        *(pl.col(f"task.{name}").cast(pl.Float32) for name in names["task"]),
        *(pl.col(f"truth.{name}").cast(pl.Float32) for name in names["truth"]),
        *(_raw(f"context.{name}", schema) for name in names["context"]),
    ).with_row_index("row")


def _raw(column: str, schema: pl.Schema) -> pl.Expr:
    """A raw id or category: integers stay integers, everything else becomes text."""
    dtype = pl.Int64 if schema[column].is_integer() else pl.String
    return pl.col(column).cast(dtype)


def _mask(actions: list[str]) -> pl.Expr:
    """u32 bitmask of the actions taken; null where one of them is neither 0 nor 1."""
    if not actions:
        return pl.lit(0, dtype=pl.UInt32).alias("actions")
    columns = [pl.col(f"action.{name}") for name in actions]
    valid = pl.all_horizontal(column.cast(pl.Float64).is_in([0.0, 1.0]) for column in columns)
    bits = [column.cast(pl.UInt32) * 2**bit for bit, column in enumerate(columns)]
    return pl.when(valid).then(pl.sum_horizontal(bits)).cast(pl.UInt32).alias("actions")


def _check_present(scan: pl.LazyFrame, name: str, has_request: bool) -> None:
    columns = ["user", "item", "timestamp", "actions", *(["request"] if has_request else [])]
    nulls = scan.select(pl.len(), *(pl.col(c).is_null().sum() for c in columns)).collect()
    if nulls["len"].item() == 0:
        raise data_error(f"{name}: the source holds no events")
    for column in columns:
        if nulls[column].item():
            row = scan.filter(pl.col(column).is_null()).select(pl.col("row").min()).collect().item()
            what = "an action is neither 0 nor 1" if column == "actions" else f"no {column}"
            raise data_error(f"{name}: {what} in event {row + 1:,} of the source")


def _summary(path: Path, names: dict[str, list[str]], has_request: bool) -> Stage:
    scan = pl.scan_ipc(path)
    users = scan.group_by("user").len().sort("user").collect(engine="streaming")
    return Stage(
        path=path,
        actions=names["action"],
        tasks=names["task"],
        truths=names["truth"],
        contexts={name: _distinct(scan, f"context.{name}") for name in names["context"]},
        has_request=has_request,
        users=Vocabulary(users["user"]),
        events_of_user=users["len"],
        items=_distinct(scan, "item"),
    )


def _distinct(scan: pl.LazyFrame, column: str) -> Vocabulary:
    return Vocabulary.of(scan.select(pl.col(column).unique()).collect(engine="streaming")[column])
