"""The one record of every bench: raw times of every round, and what tables and checks say of them.

Everything derived can be made again from the raw times. Units stand in the key names, numbers are
in full precision, and an interval without bounds is written as null.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from genrank_cli.bench.checks import Verdict
from genrank_cli.data.declare import Frozen
from genrank_cli.errors import data_error
from genrank_cli.metrics import intervals

RECORD_VERSION = 1


def _bounds(value: Any) -> Any:
    """Null bounds, as JSON has them, are nan."""
    if isinstance(value, dict):
        return {key: float("nan") if x is None else x for key, x in value.items()}
    return value


Interval = Annotated[intervals.Interval, BeforeValidator(_bounds)]


def finite(interval: intervals.Interval) -> dict[str, float | None]:
    """An interval for ``extra``, where numbers that are none are written as null by hand."""
    return {key: x if math.isfinite(x) else None for key, x in asdict(interval).items()}


def interval_of(fields: Mapping[str, float | None]) -> intervals.Interval:
    """The interval that `finite` wrote."""
    return intervals.Interval(**_bounds(fields))


class _Part(Frozen):
    model_config = ConfigDict(ser_json_inf_nan="null", extra="forbid", frozen=True)


class Row(_Part):
    """One subject of a case.

    ``labels``: what it is, by name (backend, bias, dtype, …). ``base``: the row that it is compared
    with. ``rounds_s``: seconds of each timed part, round by round, each the mean of ``repeats``
    runs. ``flops``, ``hardware_flops``: of one run, by part. ``time_s``: median and interval by
    part, and of all parts (``total``). ``ratio``: its time over its base's. ``share``: its model
    FLOP/s over those of the matrix product of its dtype. ``figures``: other numbers of the row, the
    unit in their names.
    """

    name: str
    labels: dict[str, str]
    base: str | None
    repeats: int
    rounds_s: dict[str, list[float]]
    flops: dict[str, int]
    hardware_flops: dict[str, int]
    time_s: dict[str, Interval]
    ratio: dict[str, Interval]
    share: dict[str, Interval]
    outliers: int
    figures: dict[str, float] = Field(default_factory=dict)

    def total_s(self) -> list[float]:
        """Seconds of all parts together, round by round."""
        return [sum(laps) for laps in zip(*self.rounds_s.values(), strict=True)]

    def flops_per_s(self, part: str) -> float | None:
        """Model FLOP/s of a part, or of ``total``, at its median time."""
        work = sum(self.flops.values()) if part == "total" else self.flops.get(part, 0)
        return work / self.time_s[part].mean if work else None


class ProbeRow(_Part):
    """A limit of the machine: ``amount`` FLOPs or bytes in each run, timed in the same rounds."""

    name: str
    unit: str
    amount: int
    rounds_s: list[float]
    time_s: Interval

    @property
    def rate(self) -> float:
        """FLOP/s or bytes/s at the median time."""
        return self.amount / self.time_s.mean


class LeftOut(_Part):
    """A row that was not measured. ``expected``: that was known before, or is a peer's matter."""

    name: str
    reason: str
    expected: bool


class Case(_Part):
    """One shape: everything that was timed in the same rounds."""

    name: str
    labels: dict[str, int]
    rounds: int
    wall_s: float
    rows: list[Row]
    probes: list[ProbeRow]
    left_out: list[LeftOut]
    warnings: list[str]

    def row(self, name: str) -> Row | None:
        """The row of that name."""
        return next((row for row in self.rows if row.name == name), None)

    def probe(self, name: str) -> ProbeRow | None:
        """The probe of that name."""
        return next((probe for probe in self.probes if probe.name == name), None)


class Memory(_Part):
    """Peak extra memory of one run of a row, inputs not counted; or why there is none."""

    name: str
    labels: dict[str, str]
    peak_bytes: int | None
    reason: str = ""


class Check(_Part):
    """A bar and what was measured; see `genrank_cli.bench.checks`."""

    id: str
    text: str
    case: str
    side: str
    bound: float
    unit: str
    measured: Interval | None
    verdict: Verdict
    reason: str


class BenchRecord(_Part):
    """See the module's docstring. ``bench``: which bench wrote it; ``settings``: as it was asked.

    ``memory_case``: the shape of the memory measurements, by name. ``interrupted``: the user
    stopped it, and what is missing was not reached. ``extra``: what the bench worked out beside its
    rows when it measured, by name; records of before have none.
    """

    version: int = RECORD_VERSION
    bench: str
    title: str
    settings: dict[str, Any]
    cases: list[Case]
    memory_case: str
    memory: list[Memory]
    checks: list[Check]
    environment: dict[str, Any]
    command: str
    interrupted: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)

    @property
    def failures(self) -> list[LeftOut]:
        """Rows that should have run and did not."""
        return [x for case in self.cases for x in case.left_out if not x.expected]


def check_kind(path: Path, fields: Any) -> None:
    """Refuse JSON of ``path`` that is not of a bench, or of another version (`GenrankError`, 5)."""
    if isinstance(fields, dict) and {"study", "rows", "claims"} <= fields.keys():
        raise data_error(
            f"{path} is the record of a study, not of a bench", f"genrank report {path} shows it"
        )
    version = fields.get("version") if isinstance(fields, dict) else None
    if version != RECORD_VERSION:
        message = f"{path} is no bench record of version {RECORD_VERSION} (found {version!r})"
        raise data_error(message, "measure again, with -o FILE.json")


def read_record(path: Path) -> BenchRecord:
    """A record from its JSON file.

    Raises `GenrankError` (5) where there is none, or where it is not one of this version.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise data_error(f"{path}: {error.strerror}", "name a file that -o wrote") from error
    except ValueError as error:
        raise data_error(f"{path} is no JSON: {error}", "name a file that -o wrote") from error
    check_kind(path, fields)
    try:
        return BenchRecord.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise data_error(f"{path} is damaged: {where}: {first['msg']}", "measure again") from error
