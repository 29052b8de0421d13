"""Study files: which variants are compared with which base, and which claims they are judged by."""

from __future__ import annotations

import difflib
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from genrank_cli.data.card import canonical_hash
from genrank_cli.data.declare import Frozen
from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.paths import packaged
from genrank_cli.studies.claims import Claim, Versus

# No comma and no space: names are listed on the command line, separated by commas.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+([-+._][a-z0-9]+)*$")]
Scalar = bool | int | float | str
Setting = Scalar | list[Scalar]
Need = Literal["content", "windows", "tasks", "requests", "user_profile", "context"]

#: What decides which events are compared: no row of a study may have its own.
COMMON = ("data.dataset", "data.split", "data.limit", "data.tasks")


class Variant(Frozen):
    """One configuration: a model preset and what is changed in it."""

    name: Name
    label: str = ""
    preset: str
    set: dict[str, Setting] = Field(
        {}, description="dotted path of the experiment's configuration → value"
    )
    default: bool = Field(True, description="run it when no variants are named")
    needs: tuple[Need, ...] = Field(
        (), description="what the dataset must have: it is left out where that is missing"
    )

    @field_validator("set", mode="before")
    @classmethod
    def _dotted(cls, value: Any) -> Any:
        return _dotted(value)

    @field_validator("set")
    @classmethod
    def _same_events(cls, value: dict[str, Setting]) -> dict[str, Setting]:
        own = [path for path in value if path.startswith(COMMON)]
        if own:
            raise ValueError(
                f"{', '.join(own)} decides which events are compared, the same for all variants: "
                "set it in the study's settings"
            )
        return value

    @property
    def title(self) -> str:
        return self.label or self.name


class Reference(Frozen):
    """A preset shown below the variants for comparison, never judged."""

    name: Name
    label: str = ""
    preset: str


class Factorial(Frozen):
    """Two changes of the base, alone and together: what does one do to the other's effect?

    ``share`` is the part of the second change's saving of time that is left beside the first one
    (PAPER section 4: a cost ∝ L² leaves a quarter where the length is halved).
    """

    first: str
    second: str
    both: str
    share: float = Field(0.25, ge=0, le=1)


class Study(Frozen):
    """A question, its base and variants, and the claims to judge.

    ``settings`` are common to all rows; the user's own win over them, and a variant's over those.
    """

    name: Name
    version: Annotated[int, Field(ge=1)]
    title: str
    question: str
    base: str
    variants: Annotated[tuple[Variant, ...], Field(min_length=2)]
    references: tuple[Reference, ...] = ()
    claims: tuple[Claim, ...] = ()
    settings: dict[str, Setting] = Field({}, description="dotted path → value, for all rows")
    factorial: Factorial | None = None
    extra: bool = Field(False, description="left out where all studies are asked for")

    @field_validator("settings", mode="before")
    @classmethod
    def _dotted(cls, value: Any) -> Any:
        return _dotted(value)

    @model_validator(mode="after")
    def _names_fit(self) -> Study:
        rows = [v.name for v in self.variants] + [r.name for r in self.references]
        _unique("variants and references", rows)
        _unique("claims", [claim.id for claim in self.claims])
        names = {variant.name: variant for variant in self.variants}
        _known("base", self.base, names, "variant")
        if not names[self.base].default or names[self.base].needs:
            raise ValueError(
                f"base {self.base!r} has default = false or needs, but every run needs it"
            )
        if self.factorial is not None:
            for field in ("first", "second", "both"):
                _known(f"factorial.{field}", getattr(self.factorial, field), names, "variant")
            four = [self.base, self.factorial.first, self.factorial.second, self.factorial.both]
            if len(set(four)) < len(four):
                raise ValueError("factorial: base, first, second and both must be four variants")
        for claim in self.claims:
            self._check_claim(claim, names)
        return self

    def _check_claim(self, claim: Claim, names: Mapping[str, Variant]) -> None:
        for row in claim.rows(self.base):
            _known(f"claim {claim.id!r}", row, names, "variant")
        variant, base, *others = claim.rows(self.base) or ("", "-")
        if variant == base:
            raise ValueError(f"claim {claim.id!r} compares the base with itself")
        if others and others[0] == others[1]:
            raise ValueError(f"claim {claim.id!r}: versus compares {others[0]!r} with itself")

    @property
    def hash(self) -> str:
        """SHA-256 of everything that decides a result or a verdict: all but the wording."""
        wording: dict[str, Any] = {
            "title": True,
            "question": True,
            "variants": {"__all__": {"label"}},
            "references": {"__all__": {"label"}},
            "claims": {"__all__": {"source", "note", "paper"}},
            "extra": True,
        }
        return canonical_hash(self.model_dump(mode="json", exclude=wording, exclude_defaults=True))

    def select(self, names: Sequence[str] | None = None) -> tuple[Variant, ...]:
        """The base, then the variants called `names` (default: those with `default = true`)."""
        known = {variant.name: variant for variant in self.variants}
        if names is None:
            names = [variant.name for variant in self.variants if variant.default]
        for name in names:
            if name not in known:
                error = unknown_name("variant", name, known)
                raise GenrankError(f"study {self.name!r}: {error.message}", error.hint)
        return tuple(known[name] for name in dict.fromkeys([self.base, *names]))


def list_studies() -> list[str]:
    """Names of the shipped studies, sorted."""
    return sorted(_shipped())


def load_study(name_or_path: str | Path) -> Study:
    """The shipped study of that name, or the study in that TOML file.

    Raises `GenrankError` (2): unknown name, unreadable file, or a file that is not a study.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        shipped = _shipped()
        if str(name_or_path) not in shipped:
            hint = "a study of your own is given by its path, ending in .toml"
            raise unknown_name("study", str(name_or_path), shipped, hint)
        path = shipped[str(name_or_path)]
    fields = _read(path)
    try:
        return Study.model_validate(fields)
    except ValidationError as error:
        lines = [_explain(found, fields) for found in error.errors()]
        raise GenrankError(f"{path}: {'; '.join(lines)}") from error


def _shipped() -> dict[str, Path]:
    return {path.stem: path for path in packaged("ablations").glob("*.toml")}


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        hint = "give the name of a shipped study (genrank ablate --list) or an existing .toml file"
        raise GenrankError(f"{path}: no such study", hint) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise GenrankError(f"{path}: not a readable study: {error}") from error


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = (
            _flatten(value, f"{prefix}{key}.")
            if isinstance(value, Mapping)
            else {prefix + key: value}
        )
        twice = flat.keys() & inner.keys()
        if twice:
            raise ValueError(f"{', '.join(sorted(twice))} is set twice")
        flat |= inner
    return flat


def _dotted(value: Any) -> Any:
    """TOML reads `a.b = 1` as nested tables, `"a.b" = 1` as one key: both mean the path a.b."""
    return _flatten(value) if isinstance(value, Mapping) else value


def _known(where: str, name: str, known: Mapping[str, object], kind: str) -> None:
    if name not in known:
        error = unknown_name(kind, name, known)
        advice = f"; {error.hint}" if error.hint else ""
        raise ValueError(f"{where}: {error.message}{advice}")


def _unique(what: str, names: Sequence[str]) -> None:
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise ValueError(f"{what} share a name: {', '.join(twice)}")


_PARTS: dict[str, type[BaseModel]] = {
    "variants": Variant,
    "references": Reference,
    "claims": Claim,
    "factorial": Factorial,
    "versus": Versus,
}


def _explain(found: ErrorDetails, fields: Mapping[str, Any]) -> str:
    """One finding of pydantic as ``key: reason``; table rows are called by their name."""
    place = [str(part) for part in found["loc"]]
    # The innermost table that the key is in: `versus` of a claim, a claim of `claims`.
    model = next((_PARTS[part] for part in place[-2::-1] if part in _PARTS), Study)
    if len(place) > 1 and place[1].isdigit():
        place[:2] = [f"{place[0]}[{_row_name(fields[place[0]], int(place[1]))}]"]
    if found["type"] == "extra_forbidden":
        known = list(model.model_fields)
        close = difflib.get_close_matches(place[-1], known, n=1)
        advice = f"did you mean {close[0]!r}?" if close else f"allowed: {', '.join(known)}"
        return f"{'.'.join(place)}: unknown key, {advice}"
    reason = found["msg"].removeprefix("Value error, ")
    return f"{'.'.join(place)}: {reason}" if place else reason


def _row_name(rows: Sequence[Any], index: int) -> str:
    row = rows[index]
    name = (row.get("name") or row.get("id")) if isinstance(row, Mapping) else None
    return str(name or index + 1)
