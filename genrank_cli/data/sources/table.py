"""One's own logs: the files and ``[columns]`` of a card become canonical tables."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.data.mapping import ColumnMap, IdColumn, Rule, SideColumns
from genrank_cli.data.sources import RawTables
from genrank_cli.data.sources.files import find_all
from genrank_cli.data.sources.tablefile import TableFile, open_table
from genrank_cli.data.sources.tableplan import TablePlan
from genrank_cli.errors import data_error, unknown_name

TABLES = ("events", "users", "items")


def read(card: Card, raw_dir: Path | None) -> RawTables:
    """The tables that the card describes, in the files of ``raw_dir``; the log is not read yet.

    Raises `GenrankError` (5): a file or column that is missing, a card that does not fit them, a
    bad row of the tables of users or items.
    """
    columns = _checked(card)
    found = find_all(card, raw_dir or Path()).items()
    files = {key: open_table(paths, card.files[key]) for key, paths in found if key in TABLES}
    plan = TablePlan(card.name, files["events"])
    whole = {
        "user": plan.add_id("user", "columns.user", columns.user),
        "item": plan.add_id("item", "columns.item", columns.item),
    }
    _add_events(plan, card, columns)
    events = plan.scan()
    sides = {
        key: _side(card.name, files[f"{key}s"], key, spec, whole[key], side)
        for key, spec, side in (
            ("user", columns.user, columns.users),
            ("item", columns.item, columns.items),
        )
        if side is not None and f"{key}s" in files
    }
    return RawTables(
        events.frame,
        sides.get("user"),
        sides.get("item"),
        explain=events.explain,
        recheck=events.recheck,
    )


def _checked(card: Card) -> ColumnMap:
    """``[columns]``; raises `GenrankError` (5) where the card lacks it or names odd files."""
    if card.columns is None:
        hint = "genrank data init FILE writes a card that has it"
        raise data_error(f"{card.name}: source 'table' needs the section [columns]", hint)
    content = (card.content.file, card.content.ids) if card.content else ()
    allowed = {*TABLES, *filter(None, content)}
    for key in card.files:
        if key not in allowed:
            error = unknown_name(f"table of card {card.name}: files", key, allowed)
            raise data_error(error.message, error.hint)
    if "events" not in card.files or card.files["events"].optional:
        raise data_error(f"{card.name}: no file of events", "add [files.events] with its path")
    for key, side in (("users", card.columns.users), ("items", card.columns.items)):
        if (key in card.files) != (side is not None):
            raise data_error(f"{card.name}: [files.{key}] and [columns.{key}] go together")
    return card.columns


def _add_events(plan: TablePlan, card: Card, columns: ColumnMap) -> None:
    plan.add_time(columns.timestamp)
    if card.requests.rule == "column":
        if columns.request is None:
            message = f"{card.name}: requests.rule is 'column', but [columns] names no request"
            raise data_error(message, 'add request = "COLUMN", or cut by time: rule = "gap"')
        plan.add_id("request", "columns.request", IdColumn(column=columns.request))
    for name, rule in columns.actions.items():
        plan.add_label(f"action.{name}", f"columns.actions.{name}", rule, pl.UInt8(), binary=True)
    for task in card.tasks:
        key, rule = _task_rule(card.name, task.name, columns)
        binary = task.kind == "binary"
        plan.add_label(f"task.{task.name}", key, rule, pl.Float32(), binary)
    for name, spec in columns.context.items():
        plan.add_category(f"context.{name}", f"columns.context.{name}", spec, several=False)
    for name, column in columns.numbers.items():
        plan.add_number(f"number.{name}", f"columns.numbers.{name}", column)
    if columns.apart is not None:
        plan.add_label("apart", "columns.apart", columns.apart, pl.Boolean(), binary=True)


def _task_rule(card: str, task: str, columns: ColumnMap) -> tuple[str, Rule]:
    """Where on the card the label of ``task`` is, and its rule."""
    for section, rules in (("tasks", columns.tasks), ("actions", columns.actions)):
        if task in rules:
            return f"columns.{section}.{task}", rules[task]
    hint = f'add {task} = "COLUMN" (or a test such as "rating >= 4") to [columns.tasks]'
    raise data_error(f"{card}: task {task!r} has no label: [columns] does not define it", hint)


def _side(
    card: str, file: TableFile, key: str, ids: IdColumn, whole: bool, columns: SideColumns
) -> pl.LazyFrame:
    """The table of users or items, checked; its ids are of the same type as in the events."""
    plan = TablePlan(card, file)
    spec = IdColumn(column=columns.id or ids.column, type="integer" if whole else "text")
    plan.add_id(key, f"columns.{key}s.id", spec)
    for name, field in columns.fields.items():
        plan.add_category(f"field.{name}", f"columns.{key}s.fields.{name}", field, several=True)
    for name, column in columns.numbers.items():
        plan.add_number(f"number.{name}", f"columns.{key}s.numbers.{name}", column)
    for name, column in columns.statistics.items():
        plan.add_number(f"statistic.{name}", f"columns.{key}s.statistics.{name}", column)
    rows = plan.scan().checked()
    _check_listed_once(rows[key], key, file)
    return rows.lazy()


def _check_listed_once(ids: pl.Series, key: str, file: TableFile) -> None:
    again = ids.is_first_distinct().not_().arg_true()
    if len(again):
        twice = ids[again[0]]
        first = int((ids == twice).arg_max() or 0)
        message = f"{key} {twice} is listed twice; before in {file.place(first)}"
        raise data_error(f"{file.place(again[0])}: {message}", f"keep one row for each {key}")
