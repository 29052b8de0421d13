"""Dataset cards: the TOML file that declares a dataset, checked and hashed."""

from __future__ import annotations

import hashlib
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from pydantic import model_validator as validator

from genrank_cli.data.declare import Buckets, ColumnName, ContentSpec, Frozen, WindowSpec
from genrank_cli.errors import ExitCode, GenrankError, data_error, unknown_name
from genrank_cli.paths import packaged

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$")]

Options = TypeVar("Options", bound=BaseModel)

# Sections that `genrank data build --set section.key=value` may change.
OVERRIDABLE = ("options", "requests", "split", "tasks", "numbers", "content", "windows")
# Wording and download locations do not change the events, so they do not change the hash either.
_NOT_HASHED = {"title", "description", "homepage", "licence", "citation", "downloads"}


class Download(Frozen):
    """An official archive (zip, tar.gz), or a plain file. Checksums where its publisher gives any.

    ``file``: the key of the one file that this is, where it is not an archive. ``optional``: the
    build goes on without it when it cannot be had.
    """

    url: str
    file: str | None = None
    optional: bool = False
    md5: Hex | None = None
    sha256: Hex | None = None
    bytes: int | None = None


class FileSpec(Frozen):
    """One raw file: its path in the archive, and its checksum where the file never changes."""

    path: str
    sha256: Hex | None = None
    optional: bool = False


class RequestRule(Frozen):
    """What a request is: a column of the source, or events of one user close in time.

    With ``gap``, an event belongs to the request of the same user's previous event if it comes at
    most ``gap_seconds`` after it; 0 means the same timestamp.
    """

    rule: Literal["column", "gap"]
    gap_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0

    def __str__(self) -> str:
        return "column" if self.rule == "column" else f"gap of at most {self.gap_seconds:g} s"


class Task(Frozen):
    """A label to predict; the main task is the first on the card."""

    name: ColumnName
    kind: Literal["binary", "regression"]


class SplitSpec(Frozen):
    """A split by name, and the shares of events that go to each part.

    ``leave-one-out`` takes no shares: it ignores them.
    """

    name: str
    train: Annotated[float, Field(gt=0, lt=1)] = 0.8
    valid: Annotated[float, Field(ge=0, lt=1)] = 0.1
    test: Annotated[float, Field(gt=0, lt=1)] = 0.1

    @validator(mode="after")
    def _shares_sum_to_one(self) -> SplitSpec:
        total = self.train + self.valid + self.test
        if not math.isclose(total, 1.0, abs_tol=1e-9):
            raise ValueError(f"train + valid + test must be 1, found {total:g}")
        return self


class Card(Frozen):
    """A dataset: where its files come from and how they become events."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    title: str
    description: str
    homepage: str = ""
    licence: str
    citation: str = ""
    source: str
    downloads: tuple[Download, ...] = ()
    files: dict[str, FileSpec] = Field(default_factory=dict)
    requests: RequestRule
    tasks: Annotated[tuple[Task, ...], Field(min_length=1)]
    split: SplitSpec
    numbers: dict[Literal["user", "item", "event"], dict[ColumnName, Buckets]] = Field(
        default_factory=dict
    )
    content: ContentSpec | None = None
    windows: WindowSpec | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @validator(mode="after")
    def _task_names_differ(self) -> Card:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"two tasks share a name: {', '.join(names)}")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of everything that decides the events: all but wording and download location."""
        return canonical_hash(self.model_dump(mode="json", exclude=_NOT_HASHED))


def canonical_hash(value: Any) -> str:
    """SHA-256 of ``value`` as JSON with sorted keys and no spaces."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def list_cards() -> list[Card]:
    """Every shipped card, by name."""
    return [_read(path) for path in sorted(packaged("datasets").glob("*.toml"))]


def load_card(name_or_path: str | Path) -> Card:
    """The shipped card of that name, or the card in that TOML file.

    Raises `GenrankError`: unknown name (2), unreadable or invalid card (5).
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return _read(path)
    shipped = {file.stem: file for file in packaged("datasets").glob("*.toml")}
    if str(name_or_path) not in shipped:
        hint = "a card of your own is given by its path, ending in .toml"
        raise unknown_name("dataset", str(name_or_path), shipped, hint)
    return _read(shipped[str(name_or_path)])


def override(card: Card, settings: Mapping[str, Any]) -> Card:
    """``card`` with some fields of its options, request rule or split replaced.

    ``settings`` is nested like the card: ``{"options": {"users": 100}}``. Raises `GenrankError`
    (2) for any other section and for values that the card refuses.
    """
    fields = card.model_dump()
    for section, changes in settings.items():
        if section not in OVERRIDABLE:
            raise unknown_name("section of a card to change", section, OVERRIDABLE)
        if section == "tasks":  # a list: replaced as a whole
            fields[section] = changes
            continue
        if not isinstance(changes, Mapping):
            message = f"{section}={changes!r}: {section} is a table, not a value"
            raise GenrankError(message, f"set one of its keys: {section}.KEY=VALUE")
        fields[section] = _merged(fields[section] or {}, changes)
    return _validate(fields, f"settings of {card.name}", ExitCode.USAGE)


def parse_options(card: Card, model: type[Options]) -> Options:
    """The card's ``[options]`` as the reader's own model; raises `GenrankError` (2)."""
    try:
        return model.model_validate(card.options)
    except ValidationError as error:
        allowed = ", ".join(model.model_fields)
        message = f"options of dataset {card.name}: {problems(error)}"
        raise GenrankError(message, f"options of source {card.source!r}: {allowed}") from error


def _merged(old: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(old)
    for key, value in changes.items():
        before = merged.get(key)
        if isinstance(before, Mapping) and isinstance(value, Mapping):
            value = _merged(before, value)
        merged[key] = value
    return merged


def _read(path: Path) -> Card:
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "give the name of a shipped dataset (genrank data list) or an existing .toml file"
        raise data_error(f"{path}: no such card", hint) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise data_error(f"{path}: not a readable card: {error}") from error
    return _validate(fields, str(path), ExitCode.DATA)


def _validate(fields: dict[str, Any], where: str, code: ExitCode) -> Card:
    try:
        return Card.model_validate(fields)
    except ValidationError as error:
        raise GenrankError(f"{where}: {problems(error)}", exit_code=code) from error


def problems(error: ValidationError) -> str:
    """The findings of a pydantic check in one line: ``key: reason; key: reason``."""
    lines = []
    for found in error.errors():
        key = ".".join(str(part) for part in found["loc"])
        reason = found["msg"].removeprefix("Value error, ")
        lines.append(f"{key}: {reason}" if key else reason)
    return "; ".join(lines)
