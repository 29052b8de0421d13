"""The options that several commands share: the same flag means the same thing everywhere."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from genrank_cli.cli.output import Format
from genrank_cli.errors import GenrankError

MAX_SEEDS = 10_000


class Size(StrEnum):
    """The one dial for the size of data and model."""

    TINY = "tiny"
    BASE = "base"
    PAPER = "paper"


class Seeds(tuple[int, ...]):
    """Random seeds in the order given, each once."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(str(seed) for seed in self)


class Names(tuple[str, ...]):
    """Names separated by commas."""

    __slots__ = ()

    def __str__(self) -> str:
        return ",".join(self)


def parse_seeds(text: str | Seeds) -> Seeds:
    """Seeds from ``0-4``, ``0,1,2`` or ``0-2,7``; raises `GenrankError` (usage)."""
    if isinstance(text, Seeds):
        return text
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,18})\s*(?:-\s*(\d{1,18})\s*)?", part)
        if match is None:
            raise GenrankError(f"--seeds {text!r}: {part!r} is no seed", "write 0-4 or 0,1,2")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first or last - first >= MAX_SEEDS:
            raise GenrankError(
                f"--seeds {text!r}: {part!r} is no range", "write 0-4, smallest first"
            )
        seeds += range(first, last + 1)
    return Seeds(dict.fromkeys(seeds))


def parse_names(text: str | Names) -> Names:
    """Names from ``rab,none``; raises `GenrankError` (usage) where one is empty or given twice."""
    if isinstance(text, Names):
        return text
    names = [name.strip() for name in text.split(",")]
    if not all(names) or len(set(names)) < len(names):
        raise GenrankError(f"{text!r}: an empty or repeated name", "separate names by one comma")
    return Names(names)


def parse_overrides(items: Iterable[str]) -> dict[str, Any]:
    """The nested settings of ``--set a.b=v`` (the last one wins); values are TOML, else text.

    ``["model.dim=64", "model.bias=alibi"]`` gives ``{"model": {"dim": 64, "bias": "alibi"}}``.
    Raises `GenrankError` (usage) where an item is no ``path=value`` or two contradict each other.
    """
    tree: dict[str, Any] = {}
    for item in items:
        path, equals, text = item.partition("=")
        keys = [key.strip() for key in path.split(".")]
        if not equals or not all(keys):
            raise GenrankError(f"--set {item!r} is no path=value", "write --set model.dim=64")
        *folders, leaf = keys
        node = tree
        for depth, key in enumerate(folders, start=1):
            node = node.setdefault(key, {})
            if not isinstance(node, dict):
                raise GenrankError(f"--set {item!r}: {'.'.join(keys[:depth])} is already a value")
        node[leaf] = _parse_value(text.strip())
    return tree


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def layers(
    config: Path | None, settings: list[str] | None, flags: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Settings by rising priority: ``--config``, ``--set``, then the flags that were given.

    ``flags`` maps dotted paths to values; None means that the flag was not given.
    """
    from genrank_cli.training.config import nested, read_settings

    given = {path: value for path, value in flags.items() if value is not None}
    found = [read_settings(config)] if config is not None else []
    return [*found, parse_overrides(settings or ()), nested(given)]


DataOption = Annotated[
    str, typer.Option("--data", metavar="NAME", help="Dataset; see: genrank data list.")
]
SizeOption = Annotated[Size, typer.Option("--size", help="Size of data and model.")]
SeedsOption = Annotated[
    Seeds, typer.Option("--seeds", parser=parse_seeds, metavar="LIST", help="Seeds: 0-4 or 0,1,2.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N; no fallback.")
]
ThreadsOption = Annotated[
    int | None, typer.Option("--threads", min=1, help="CPU threads (default: physical cores).")
]
JobsOption = Annotated[int, typer.Option("--jobs", min=1, help="Runs at the same time.")]
RunsOption = Annotated[
    Path, typer.Option("--runs", metavar="DIR", help="Folder of finished and unfinished runs.")
]
SplitOption = Annotated[
    str | None, typer.Option("--split", metavar="NAME", help="Split (default: the dataset's own).")
]
LimitOption = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Use the first N users only; marks the result partial."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set one field; repeat for more."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", exists=True, dir_okay=False, help="Settings (TOML)."),
]
ShowConfigOption = Annotated[
    bool, typer.Option("--show-config", help="Print the resolved settings and stop.")
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done and stop.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Do again what is already finished.")]
FormatOption = Annotated[
    Format, typer.Option("--format", help="Form of the result; auto: by file suffix or terminal.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
OutputOption = Annotated[
    Path | None,
    typer.Option("--output", "-o", metavar="FILE", help="Write the result there; - is stdout."),
]
