"""Dataset cards: the TOML file that declares a dataset, checked and hashed."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, Field, StringConstraints, ValidationError
from pydantic import model_validator as validator

from genrank_cli.data.declare import Buckets, ColumnName, ContentSpec, Frozen, WindowSpec
from genrank_cli.data.mapping import ColumnMap
from genrank_cli.data.split_spec import SplitSpec, changed
from genrank_cli.errors import ExitCode, GenrankError, data_error, unknown_name
from genrank_cli.paths import packaged

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Hex = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]+$")]

Options = TypeVar("Options", bound=BaseModel)

# Sections that `genrank data build --set section.key=value` may change.
OVERRIDABLE = (
    "options",
    "requests",
    "split",
    "tasks",
    "numbers",
    "content",
    "windows",
    "columns",
)
#: What an archive may be called.
ARCHIVES = (".zip", ".tar.gz", ".tgz")
# Wording and download locations do not change the events, so they do not change the hash either.
_NOT_HASHED = {"title", "description", "homepage", "licence", "citation", "downloads"}


class Download(Frozen):
    """An official archive (zip, tar.gz), or a plain file. Checksums where its publisher gives any.

    ``file``: the key of the one file that this is, where it is not an archive. ``optional``: the
    build goes on without it when it cannot be had. ``bytes``: its size.
    """

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+/.*[^/]$")]
    file: str | None = None
    optional: bool = False
    md5: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    bytes: Annotated[int, Field(gt=0)] | None = None

    @validator(mode="after")
    def _kind_is_known(self) -> Download:
        if self.filename in {".", ".."} or "\\" in self.filename:
            raise ValueError(f"{self.url} ends in no file name")
        if self.file is None and not self.filename.lower().endswith(ARCHIVES):
            message = f"{self.filename!r} is no archive ({', '.join(ARCHIVES)})"
            raise ValueError(f"{message}; a plain file needs `file`, the key of that file")
        return self

    @property
    def filename(self) -> str:
        """The last part of the URL's path: ``.../a.zip?download=1`` → ``a.zip``."""
        return unquote(urlsplit(self.url).path).rpartition("/")[2]


class FileSpec(Frozen):
    """One raw file: its path in the archive, and its checksum where the file never changes.

    The files of source ``table`` may be several of the same layout: ``path`` is a pattern such as
    ``logs/*.csv.gz``, or ``paths`` lists them. ``names`` names the columns of a text file without
    a header, ``separator`` what stands between its fields if the suffix does not say it.
    """

    path: str = ""
    paths: tuple[str, ...] = ()
    sha256: Hex | None = None
    optional: bool = False
    names: tuple[str, ...] = ()
    separator: str | None = Field(default=None, min_length=1, max_length=1)

    @validator(mode="after")
    def _one_of_both(self) -> FileSpec:
        if bool(self.path) == bool(self.paths) or not all(self.paths):
            raise ValueError("give either path (a file or a pattern) or paths (a list of files)")
        if any("\0" in path for path in self.all_paths):
            raise ValueError("a path cannot hold the character NUL")
        return self

    @property
    def all_paths(self) -> tuple[str, ...]:
        return self.paths or (self.path,)


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
    columns: ColumnMap | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @validator(mode="after")
    def _task_names_differ(self) -> Card:
        names = [task.name for task in self.tasks]
        if len(set(names)) < len(names):
            raise ValueError(f"two tasks share a name: {', '.join(names)}")
        return self

    @validator(mode="after")
    def _columns_have_a_reader(self) -> Card:
        if self.columns is not None and self.source != "table":
            raise ValueError(f"columns belong to source 'table'; this card's is {self.source!r}")
        return self

    @validator(mode="after")
    def _downloads_fit(self) -> Card:
        names = [download.file or download.filename for download in self.downloads]
        if len(set(names)) < len(names):
            raise ValueError(f"two downloads have one name: {', '.join(names)}")
        for download in self.downloads:
            spec = self.files.get(download.file or "")
            if download.file is not None and (spec is None or not spec.path):
                known = ", ".join(key for key, spec in self.files.items() if spec.path) or "none"
                raise ValueError(f"download {download.url}: no file {download.file!r}: {known}")
        paths = [path for spec in self.files.values() for path in spec.all_paths]
        for path in paths if self.downloads else ():
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"{path}: a downloaded file lies in the dataset's own folder")
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
    """A card by name or path.

    Looked for in this order: a path that ends in ``.toml``; the shipped card of that name; the
    file ``NAME.toml`` in the current folder. Raises `GenrankError`: unknown name (2), unreadable
    or invalid card (5).
    """
    shipped = {file.stem: file for file in packaged("datasets").glob("*.toml")}
    own = own_card(name_or_path)
    if own is None and str(name_or_path) not in shipped:
        hint = f"a card of your own is {name_or_path}.toml in this folder, or the path of its file"
        raise unknown_name("dataset", str(name_or_path), shipped, hint)
    return _read(own or shipped[str(name_or_path)])


def own_card(name_or_path: str | Path) -> Path | None:
    """The user's own file that `load_card` takes; None where it takes a shipped one, or none."""
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return path
    if (packaged("datasets") / f"{name_or_path}.toml").is_file():
        return None
    beside = Path(f"{name_or_path}.toml")
    return beside if beside.is_file() else None


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
        merge = changed if section == "split" else _merged
        fields[section] = merge(fields[section] or {}, changes)
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
    except (OSError, ValueError, RecursionError) as error:  # bad bytes and bad TOML are ValueErrors
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
        if found["type"] == "tuple_type":  # TOML knows lists only
            reason = f"a list is expected, not {str(found['input'])[:60]!r}"
        lines.append(f"{key}: {reason}" if key else reason)
    return "; ".join(lines)
