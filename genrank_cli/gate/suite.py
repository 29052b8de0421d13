"""The suite as data: what the gate runs, and how much may be lost."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator

from genrank_cli.data.card import canonical_hash, problems
from genrank_cli.data.declare import Frozen
from genrank_cli.errors import GenrankError

SHIPPED = Path(__file__).with_name("suite.toml")

Positive = Annotated[int, Field(ge=1)]
Names = Annotated[tuple[str, ...], Field(min_length=1)]


class QualityPart(Frozen):
    """AUC of ``models`` (presets of size tiny) on one dataset.

    ``options`` change the card of a generated dataset, ``set`` the configuration. ``optional``:
    skipped, not unjudged, where the dataset has not been built. ``tolerance``: AUC that may be
    lost.
    """

    name: str
    dataset: str
    optional: bool = False
    models: Names
    seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    tolerance: Annotated[float, Field(gt=0, lt=0.5)]
    options: dict[str, Any] = Field(default_factory=dict)
    set: dict[str, Any] = Field(default_factory=dict)


class PacePart(Frozen):
    """Time of training steps and of attention beside a fixed piece of work, in ``rounds``.

    ``quality``: the part whose data and models are timed. ``repeat``: how often it is measured
    again while something did not pass. ``tolerance``: share of time that may be added.
    """

    quality: str
    models: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()
    rounds: Annotated[int, Field(ge=6)]
    repeat: Annotated[int, Field(ge=0)] = 0
    tolerance: Annotated[float, Field(gt=0)]


class Suite(Frozen):
    """See the module's docstring. ``training``: settings of every trained model."""

    version: Positive
    training: dict[str, Any] = Field(default_factory=dict)
    quality: Annotated[tuple[QualityPart, ...], Field(min_length=1)]
    pace: PacePart

    @model_validator(mode="after")
    def _names_fit(self) -> Suite:
        names = [part.name for part in self.quality]
        if len(set(names)) < len(names):
            raise ValueError(f"two quality parts share a name: {', '.join(names)}")
        if self.pace.quality not in names:
            raise ValueError(f"pace.quality = {self.pace.quality!r} is none of {', '.join(names)}")
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of all that decides the numbers; tolerances only decide what is said of them."""
        judging: dict[str, Any] = {
            "quality": {"__all__": {"tolerance", "optional"}},
            "pace": {"tolerance", "repeat"},
        }
        return canonical_hash(self.model_dump(mode="json", exclude=judging))

    @property
    def cells(self) -> int:
        """Models × seeds of all parts."""
        return sum(len(part.models) * len(part.seeds) for part in self.quality)

    def part(self, name: str) -> QualityPart:
        """The quality part of that name."""
        return next(part for part in self.quality if part.name == name)


def load_suite(path: Path = SHIPPED) -> Suite:
    """The suite in a TOML file (default: the shipped one); raises `GenrankError` (2)."""
    try:
        return Suite.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        if isinstance(error, ValidationError):
            raise GenrankError(f"{path}: {problems(error)}") from error
        raise GenrankError(f"{path}: not a readable suite: {error}") from error
