"""The commented card that `genrank data init` writes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from genrank_cli.data.init.guess import Guess, key_of
from genrank_cli.data.init.look import Look, Seen
from genrank_cli.data.mapping import TODO
from genrank_cli.data.sources.tablefile import suffix_separator

_MAIN = ("click", "long_view", "like")


@dataclass(frozen=True)
class Side:
    """A table of users or items: what was seen in it, and the column of its ids."""

    path: str
    look: Look
    id: str


def card_text(
    name: str, paths: list[str], look: Look, guesses: list[Guess], sides: Mapping[str, Side]
) -> str:
    """A card for the log of ``guesses``; ``sides`` may have ``users`` and ``items``."""
    blocks = [
        _head(name, look),
        _files(paths, look, sides),
        _columns(guesses),
        *(_side(key, side) for key, side in sides.items()),
        _requests(look, guesses),
        _tasks(guesses),
        _SPLIT,
    ]
    return "\n\n".join(block.strip("\n") for block in blocks) + "\n"


def quoted(text: str) -> str:
    """``text`` as a TOML string, on one line."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def toml(value: object) -> str:
    """A text, number, truth value or flat table as TOML."""
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {toml(part)}" for key, part in value.items())
        return f"{{ {inner} }}"
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def main_task(guesses: list[Guess]) -> str | None:
    """The action to predict: a click where there is one, else the first."""
    keys = [guess.key for guess in guesses if guess.role == "action"]
    main = (key for name in _MAIN for key in keys if key.startswith(name))
    return next(main, keys[0] if keys else None)


def _head(name: str, look: Look) -> str:
    seen = f"all {look.rows:,} rows" if look.complete else f"the first {look.rows:,} rows"
    return f"""
# Written by `genrank data init` from {seen}. What it guessed is for you to check:
# edit this file, then run: genrank data build {name}
name = {quoted(name)}
version = 1                 # raise it when the data change but the card does not
title = {quoted(name)}
description = ""
licence = "internal"
source = "table"
"""


def _files(paths: list[str], look: Look, sides: Mapping[str, Side]) -> str:
    if len(paths) == 1:
        place = f"path = {quoted(paths[0])}"
        place += '    # a pattern is possible: "logs/*.csv.gz"'
    else:
        place = "paths = [\n" + "".join(f"  {quoted(path)},\n" for path in paths) + "]"
    lines = ["# Paths start at the folder of this card.", "[files.events]", place]
    lines += _separator(look)
    for key, side in sides.items():
        lines += ["", f"[files.{key}]", f"path = {quoted(side.path)}", *_separator(side.look)]
    return "\n".join(lines)


def _separator(look: Look) -> list[str]:
    """The line of a text file whose suffix does not say what stands between its fields."""
    layout = look.table.layout
    if layout is None or layout.separator == suffix_separator(look.table.paths[0]):
        return []
    return [f"separator = {quoted(layout.separator)}"]


def _columns(guesses: list[Guess]) -> str:
    by_role: dict[str, list[Guess]] = {}
    for guess in guesses:
        by_role.setdefault(guess.role, []).append(guess)
    lines = ["[columns]"]
    for role, what in (("user", "who"), ("item", "what"), ("timestamp", "when")):
        found = by_role.get(role)
        lines.append(
            _entry(role, found[0].value, found[0])
            if found
            else f'{role} = "{TODO}"  # {TODO}: {what}? No column looks like it'
        )
    for role in ("request", "apart"):
        lines += [_entry(role, found.value, found) for found in by_role.get(role, [])[:1]]
        by_role.setdefault("", []).extend(by_role.get(role, [])[1:])
    lines += _section("actions", _ACTIONS, by_role.get("action", []))
    lines += _section("context", _CONTEXT, by_role.get("context", []))
    lines += _section("numbers", _NUMBERS, by_role.get("number", []))
    if by_role.get(""):
        lines += ["", "# Not placed:"]
        lines += [f"#   {quoted(g.seen.name)}: {_about(g.seen, g.note)}" for g in by_role[""]]
    return "\n".join(lines)


def _section(name: str, comment: str, guesses: Iterable[Guess]) -> list[str]:
    lines, taken = ["", comment, f"[columns.{name}]"], set()
    for guess in guesses:
        key = guess.key
        while key in taken:
            key += "_"
        taken.add(key)
        lines.append(_entry(key, guess.value, guess))
    if not taken and name == "actions":
        lines.append(f'{TODO} = "{TODO}"  # {TODO}: no column looks like a label')
    return lines if taken or name == "actions" else []


def _entry(key: str, value: object, guess: Guess) -> str:
    return f"{key} = {toml(value)}  # {_about(guess.seen, guess.note)}"


def _about(seen: Seen, note: str = "") -> str:
    values = f"{seen.distinct:,} value{'s' if seen.distinct != 1 else ''}" if seen.distinct else ""
    missing = f"{100 * seen.missing:.3g} % missing" if seen.missing else ""
    parts = [seen.kind, values, quoted(seen.summary)[1:-1][:80], missing, note]
    return "; ".join(part for part in parts if part)


def _side(key: str, side: Side) -> str:
    fields, numbers = [], []
    for seen in side.look.columns:
        name = key_of(seen.name)
        if seen.name == side.id or seen.kind == "other" or not name:
            continue
        if seen.kind in ("number", "integer") and seen.distinct > 50:
            numbers.append(f"{name} = {quoted(seen.name)}  # {_about(seen)}")
            continue
        value: object = seen.name
        if seen.separated > 0.1:
            value = {"column": seen.name, "separator": "|"}
        line = f"{name} = {toml(value)}  # {_about(seen)}"
        many = seen.kind != "list" and seen.distinct > max(3, side.look.rows / 2)
        fields.append(f"# {line}" if many and not isinstance(value, dict) else line)
    lines = [f"[columns.{key}]", f"id = {quoted(side.id)}"]
    for name, entries in (("fields", fields), ("numbers", numbers)):
        if entries:
            lines += ["", f"[columns.{key}.{name}]", *entries]
    return "\n".join(lines)


def _requests(look: Look, guesses: list[Guess]) -> str:
    if any(guess.role == "request" for guess in guesses):
        return f'{_REQUESTS}\n[requests]\nrule = "column"'
    return f'{_REQUESTS}{_shared_moments(look, guesses)}\n[requests]\nrule = "gap"\ngap_seconds = 0'


def _shared_moments(look: Look, guesses: list[Guess]) -> str:
    """How many events share user and timestamp with another one: the pages of one request."""
    names = [guess.seen.name for guess in guesses if guess.role in ("user", "timestamp")]
    if len(names) < 2:
        return ""
    share = look.frame.select(names).is_duplicated().sum() / look.rows
    return f"\n# {100 * share:.3g} % of the rows share user and timestamp with another row."


def _tasks(guesses: list[Guess]) -> str:
    task = main_task(guesses) or TODO
    return f'{_TASKS}\n[[tasks]]\nname = {quoted(task)}\nkind = "binary"'


_ACTIONS = """\
# What the user did, 0 or 1: a column, or a test: "rating >= 4", "event == 'click'". The models see
# it in the history, never of a candidate."""
_CONTEXT = """\
# Categories known when the request is made. What is known only afterwards is a label: here it
# would give the answer away."""
_NUMBERS = "# Numbers known when the request is made; an empty cell is a missing value."
_REQUESTS = """\
# A request is what was shown together. "column": the column `request` tells; "gap": events of
# one user belong together that are at most gap_seconds apart; 0 means the same timestamp."""
_TASKS = """\
# What to predict, the main task first: an action by its name, or a label of [columns.tasks],
# where a number (kind = "regression") may stand as well."""
_SPLIT = """\
# Shares of the events in order of time, cut at one moment for all users.
[split]
name = "temporal"
train = 0.8
valid = 0.1
test = 0.1"""
