"""``[columns]`` of a card: which columns of one's own files are the user, the item, the labels …"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic import model_validator as validator

from genrank_cli.data.declare import ColumnName, Frozen

TODO = "TODO"  # stands where `genrank data init` could not guess a column
Unit = Literal["s", "ms", "us", "ns", "iso"]
Operator = Literal["==", "!=", ">=", "<=", ">", "<"]

_RULE = re.compile(r"(?P<column>.+?)\s*(?P<test>==|!=|>=|<=|>|<)\s*(?P<value>.+)")
_QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _short(key: str) -> BeforeValidator:
    """Let a bare text stand for the table ``{key = text}``."""
    return BeforeValidator(lambda given: {key: given} if isinstance(given, str) else given)


class IdColumn(Frozen):
    """A column of ids. ``type``: by itself, whatever the first rows of the file look like."""

    column: Annotated[str, Field(min_length=1)]
    type: Literal["integer", "text"] | None = None


class TimeColumn(Frozen):
    """When it happened: a number in ``unit`` since 1970, or a date and time (``iso``, UTC).

    ``format``: how a text is written, such as ``%d.%m.%Y %H:%M``, where it is not ISO 8601.
    ``relative``: counted from an unknown start, so that 1970 means nothing.
    """

    column: Annotated[str, Field(min_length=1)]
    unit: Unit | None = None
    format: str | None = None
    relative: bool = False

    @validator(mode="after")
    def _fits_together(self) -> TimeColumn:
        if self.format is not None and self.unit not in (None, "iso"):
            raise ValueError(f"a format belongs to text, unit {self.unit!r} to numbers: keep one")
        if self.relative and (self.unit == "iso" or self.format):
            raise ValueError("a date is not relative: take out `relative`")
        return self


class CategoryColumn(Frozen):
    """A category; with ``separator``, several in one cell."""

    column: Annotated[str, Field(min_length=1)]
    separator: Annotated[str, Field(min_length=1)] | None = None


class Rule(Frozen):
    """A label: a column of numbers, or a test of one (``rating >= 4``, ``event == 'click'``)."""

    text: Annotated[str, Field(min_length=1)]

    def parse(self, names: list[str]) -> tuple[str, Operator | None, float | str]:
        """Column, test and value; a text that is a column of the file needs no test.

        Raises ValueError where the text is neither a column nor a test.
        """
        match = _RULE.fullmatch(self.text.strip())
        if self.text in names or match is None:
            return self.text, None, 0.0
        test: Any = match["test"]
        column, value = match["column"].strip(), match["value"].strip()
        quoted = _QUOTED.fullmatch(value)
        if quoted:
            if test not in ("==", "!="):
                raise ValueError(f"{self.text!r}: a text can be tested by == and != only")
            return column, test, quoted[1] if quoted[1] is not None else quoted[2]
        if not _NUMBER.fullmatch(value):
            raise ValueError(f"{self.text!r}: {value} is neither a number nor a 'text' in quotes")
        return column, test, float(value)


def _by_name(given: Any) -> Any:
    """Let a list of columns stand for a table in which each goes by its own name."""
    return {name: name for name in given} if isinstance(given, list | tuple) else given


ColumnText = Annotated[str, Field(min_length=1)]
Id = Annotated[IdColumn, _short("column")]
Fields = Annotated[
    dict[ColumnName, Annotated[CategoryColumn, _short("column")]], BeforeValidator(_by_name)
]
Named = Annotated[dict[ColumnName, ColumnText], BeforeValidator(_by_name)]
Rules = dict[ColumnName, Annotated[Rule, _short("text")]]


class SideColumns(Frozen):
    """Columns of the table of users or items; ``id`` is by default named as in the events."""

    id: ColumnText | None = None
    fields: Fields = Field(default_factory=dict)
    numbers: Named = Field(default_factory=dict)
    statistics: Named = Field(default_factory=dict)  # numbers that sum up a period of the log


class ColumnMap(Frozen):
    """Which columns of the files hold what. A task without a rule is the action of its name."""

    user: Id
    item: Id
    timestamp: Annotated[TimeColumn, _short("column")]
    request: ColumnText | None = None
    apart: Annotated[Rule, _short("text")] | None = None
    actions: Rules = Field(default_factory=dict)
    tasks: Rules = Field(default_factory=dict)
    context: Fields = Field(default_factory=dict)
    numbers: Named = Field(default_factory=dict)
    users: SideColumns | None = None
    items: SideColumns | None = None

    @validator(mode="after")
    def _one_context_value(self) -> ColumnMap:
        for name, spec in self.context.items():
            if spec.separator is not None:
                raise ValueError(f"context.{name}: an event has one value: take out `separator`")
        return self
