"""The one pass over the raw events: into runs on disk, checked and counted on the way.

Everything after this pass reads blocks of users from the runs, so that memory is bounded by a
block, not by the dataset.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.data.progress import Report, quiet
from genrank_cli.data.rawcheck import check_batch
from genrank_cli.data.runs import Cut, Runs, RunWriter
from genrank_cli.data.sources import RawTables
from genrank_cli.data.vocabulary import Distinct, Vocabulary
from genrank_cli.data.workspace import disk_full
from genrank_cli.errors import data_error

GROUPS = ("action", "task", "truth", "context", "number", "quirk")
MAX_ACTIONS = 32  # bits of a mask
BLOCK_ROWS = 1_000_000  # events sorted at a time; about 300 bytes of memory each
RUN_BLOCKS = 2  # blocks to a run: with fewer runs there are fewer slices to read for a block
PIECE_ROWS = 1 << 17  # events checked at a time: a column of them stays in the cache


@dataclass(frozen=True)
class Stage:
    """The staged events and what a pass over them found."""

    actions: list[str]
    tasks: list[str]
    truths: list[str]
    numbers: list[str]
    apart: bool
    contexts: dict[str, Vocabulary]
    items: Vocabulary
    quirks: dict[str, int]
    runs: Runs

    @property
    def users(self) -> Vocabulary:
        return self.runs.users

    @property
    def events(self) -> int:
        return self.runs.events

    @property
    def row_bytes(self) -> int:
        """Bytes of one event in the finished store."""
        groups = (self.tasks, self.truths, self.contexts, self.numbers)
        return 8 + 4 * 4 + self.apart + 4 * sum(map(len, groups))

    def cuts(self) -> list[Cut]:
        """Blocks of consecutive users, for `Runs.block`; a user's events stand as in the source.

        Their columns: ``user``, ``item`` (raw), ``timestamp``, [``request``], ``actions``,
        ``task.*``, ``truth.*``, ``context.*`` (raw), ``number.*``, [``apart``].
        """
        return self.runs.cuts(BLOCK_ROWS)


def stage(tables: RawTables, card: Card, folder: Path, report: Report = quiet) -> Stage:
    """Stream the raw events into runs in ``folder``, which is made; check and count them.

    Raises `GenrankError` (5): no events, a missing or unknown column, an empty user, item or
    request, an impossible time, label or number, too many actions, a full disk.
    """
    with _explained(tables, card.name):
        schema = tables.events.collect_schema()
    names = _columns(schema, card)
    folder.mkdir()
    runs, items, quirks = RunWriter(folder, RUN_BLOCKS * BLOCK_ROWS), Distinct(), Counter[str]()
    contexts = {name: Distinct() for name in names["context"]}
    rows, doubtful = 0, False
    for batch in _pieces(tables, schema, names, card):
        _check_order(batch["row"], rows)
        _check_refused(batch, tables, card.name)
        check_batch(batch, card)
        items.add(batch["item"])
        for name, seen in contexts.items():
            seen.add(batch[f"context.{name}"])
        quirks.update({name: batch[f"quirk.{name}"].sum() for name in names["quirk"]})
        time = pl.Series("timestamp", _to_milliseconds(batch["timestamp"].to_numpy()))
        doubtful |= "doubtful" in batch.columns and bool(batch["doubtful"].any())
        runs.add(batch.drop("row", "^(refused|doubtful)$", "^quirk[.].*$").with_columns(time))
        rows += len(batch)
        report("reading events", rows, 0)
    if not rows:
        raise data_error(f"{card.name}: the source holds no events")
    if doubtful and tables.recheck is not None and (found := tables.recheck()):
        raise found
    return Stage(
        actions=names["action"],
        tasks=names["task"],
        truths=names["truth"],
        numbers=names["number"],
        apart="apart" in schema,
        contexts={name: seen.vocabulary() for name, seen in contexts.items()},
        items=items.vocabulary(),
        quirks={name: quirks[name] for name in names["quirk"]},
        runs=runs.finish(),
    )


def _pieces(
    tables: RawTables, schema: pl.Schema, names: dict[str, list[str]], card: Card
) -> Iterator[pl.DataFrame]:
    """The staged columns piece by piece, in the order of the source."""
    staged = _canonical(tables.events, schema, names, card)
    with _explained(tables, card.name):
        stream = staged.collect_batches(
            chunk_size=min(PIECE_ROWS, BLOCK_ROWS), maintain_order=True, engine="streaming"
        )
        yield from (batch for batch in stream if len(batch))


@contextmanager
def _explained(tables: RawTables, name: str) -> Iterator[None]:
    """Whatever polars cannot read, the reader explains."""
    try:
        yield
    # A damaged Parquet or zstd file makes polars panic, which is no Exception.
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        if disk_full(error):
            raise
        if tables.explain is not None:
            raise tables.explain(str(error)) from error
        raise data_error(f"{name}: the events cannot be read: {error}") from error


def _check_order(rows: pl.Series, first: int) -> None:
    """The order of the source decides between equal times: a stream that loses it is a defect."""
    if rows[0] != first or rows[-1] != first + len(rows) - 1 or not rows.is_sorted():
        raise RuntimeError(f"events {first:,} and later did not arrive in the order of the source")


def _check_refused(batch: pl.DataFrame, tables: RawTables, name: str) -> None:
    refused = batch["refused"].sum() if "refused" in batch.columns else 0
    if not refused:
        return
    row = batch.filter("refused")["row"][0]
    reason = f"{refused:,} bad rows, the first is event {row + 1:,}"
    if tables.explain is None:
        raise data_error(f"{name}: the events cannot be read: {reason}")
    raise tables.explain(reason)


def _to_milliseconds(seconds: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Times that miss a whole millisecond by one rounding error are set to it.

    A quotient in polars differs in its last bit with the length of the piece that is divided: the
    same milliseconds would become different times, and copies of an event would not be equal.
    """
    exact = np.rint(seconds * 1000) / 1000
    return np.where(np.abs(exact - seconds) <= np.spacing(seconds), exact, seconds)


def _columns(schema: pl.Schema, card: Card) -> dict[str, list[str]]:
    """Names by group (``action``, ``task``, …); the tasks are those of the card, in its order."""
    groups: dict[str, list[str]] = {group: [] for group in GROUPS}
    needed = {"user", "item", "timestamp"}
    needed |= {"request"} if card.requests.rule == "column" else set()
    for column in schema:
        group, _, name = column.partition(".")
        if group in groups and name:
            groups[group].append(name)
        elif column not in needed | {"request", "apart", "refused", "doubtful"}:
            raise data_error(f"{card.name}: the source gives an unknown column {column!r}")
    missing = sorted(needed - set(schema))
    if missing:
        raise data_error(f"{card.name}: the source gives no column {', '.join(missing)}")
    if len(groups["action"]) > MAX_ACTIONS:
        count = len(groups["action"])
        raise data_error(f"{card.name}: {count} actions; at most {MAX_ACTIONS} fit in a mask")
    groups["task"] = _tasks(groups["task"], card)
    groups["truth"] = [name for name in groups["truth"] if name in groups["task"]]
    return groups


def _tasks(offered: list[str], card: Card) -> list[str]:
    unknown = [task.name for task in card.tasks if task.name not in offered]
    if unknown:
        known = ", ".join(offered) or "none"
        raise data_error(f"{card.name}: no label for task {unknown[0]!r}; the source has {known}")
    return [task.name for task in card.tasks]


def _canonical(
    events: pl.LazyFrame, schema: pl.Schema, names: dict[str, list[str]], card: Card
) -> pl.LazyFrame:
    columns = [_raw("request", schema)] if card.requests.rule == "column" else []
    columns += [pl.col("apart").cast(pl.UInt8)] if "apart" in schema else []
    flags = [name for name in ("refused", "doubtful") if name in schema]
    columns += [pl.col(name).cast(pl.Boolean) for name in flags]
    return events.with_row_index("row").select(
        "row",
        _raw("user", schema),
        _raw("item", schema),
        pl.col("timestamp").cast(pl.Float64),
        _mask(names["action"], schema),
        *columns,
        *(pl.col(f"task.{name}").cast(pl.Float32) for name in names["task"]),
        *(pl.col(f"truth.{name}").cast(pl.Float32) for name in names["truth"]),
        *(_raw(f"context.{name}", schema) for name in names["context"]),
        *(number(f"number.{name}") for name in names["number"]),
        *(pl.col(f"quirk.{name}").cast(pl.Boolean) for name in names["quirk"]),
    )


def _raw(column: str, schema: pl.Schema) -> pl.Expr:
    """A raw id or category: integers stay integers, everything else becomes text."""
    dtype = pl.Int64 if schema[column].is_integer() else pl.String
    return pl.col(column).cast(dtype)


def number(column: str) -> pl.Expr:
    """A number that may be missing: float32, one NaN where it is null or any NaN."""
    return pl.col(column).cast(pl.Float32).fill_nan(None).fill_null(float("nan"))


def _mask(actions: list[str], schema: pl.Schema) -> pl.Expr:
    """u32 bitmask of the actions taken; null where one of them is neither 0 nor 1."""
    if not actions:
        return pl.lit(0, dtype=pl.UInt32).alias("actions")
    columns = [_flag(f"action.{name}", schema) for name in actions]
    valid = pl.all_horizontal((column == 0) | (column == 1) for column in columns)
    bits = [column.cast(pl.UInt32, strict=False) * 2**bit for bit, column in enumerate(columns)]
    return pl.when(valid).then(pl.sum_horizontal(bits)).cast(pl.UInt32).alias("actions")


def _flag(column: str, schema: pl.Schema) -> pl.Expr:
    """A column to compare with 0 and 1."""
    return pl.col(column).cast(pl.UInt8) if schema[column] == pl.Boolean else pl.col(column)
