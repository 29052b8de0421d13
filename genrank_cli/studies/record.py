"""The record of a finished study: everything that tables, plots and gates are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field

from genrank_cli.data.declare import Frozen
from genrank_cli.metrics.intervals import Interval

RECORD_VERSION = 1


def _number(value: Any) -> Any:
    return float("nan") if value is None else value


def _interval(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {name: _number(bound) for name, bound in value.items()}


# Numbers that may be nan: null in the file.
Number = Annotated[float, BeforeValidator(_number)]
Estimate = Annotated[Interval, BeforeValidator(_interval)]


class _Result(Frozen):
    # An interval over one seed has no bounds; strict JSON writes them as null, read back as nan.
    model_config = ConfigDict(ser_json_inf_nan="null", extra="forbid", frozen=True)


class RowResult(_Result):
    """One line of the table. Values by seed are in the order of ``seeds``.

    ``metrics`` are means over seeds of the main task's metrics, ``metric_intervals`` some of them
    with their t-interval; ``tasks`` task → metric → mean; ``slices`` such as ``{"items": {"cold":
    {"auc": …, "events": …}}}``.
    """

    name: str
    label: str
    role: str
    preset: str
    changes: dict[str, Any]
    seeds: list[int]
    auc: list[Number]
    auc_mean: Estimate
    metrics: dict[str, Number]
    delta_auc: Estimate | None
    delta_auc_users: Estimate | None
    speed_ratio: Estimate | None
    speed_outliers: int
    events_per_s: float | None
    parameters: int
    train_s: list[float]
    runs: list[str]
    metric_intervals: dict[str, Estimate] = Field({})
    tasks: dict[str, dict[str, Number]] = Field({})
    slices: dict[str, dict[str, dict[str, Number]]] = Field({})


class ClaimResult(_Result):
    """A published claim and what the study says of it.

    ``paper`` is what is reported as a short text; ``measured`` the interval of the same quantity in
    the claim's unit: variant − base, variant / base, or that minus ``versus``, another gain.
    ``p_sign_flip`` is the exact sign-flip test of "no effect" over seeds, beside the verdict's own.
    """

    id: str
    variant: str
    metric: str
    kind: str
    reported: float | None
    verdict: str
    symbol: str
    reason: str
    minimum_detectable: Number | None
    source: str
    base: str = ""
    task: str = "main"
    slice: str = "all"
    versus: str = ""
    direction: str | None = None
    paper: str = ""
    measured: Estimate | None = None
    p: Number | None = None
    p_holm: Number | None = None
    p_sign_flip: Number | None = None
    sample_only: bool | None = None
    note: str = ""


class FactorialResult(_Result):
    """Two changes alone and together: speed-ups against the base, and how their AUCs add up.

    ``predicted`` is the speed-up of both that follows from those of each alone, by
    `genrank_cli.studies.factorial.predicted_speed`; ``auc_interaction`` is (both − second) −
    (first − base).
    """

    first: str
    second: str
    both: str
    speed: Estimate | None
    predicted: Estimate | None
    auc_interaction: Estimate | None


class Failure(_Result):
    """A cell without a result."""

    row: str
    seed: int
    error: str


class StudyRecord(_Result):
    """See the module's docstring.

    ``settings`` are the study's own, common to all rows; ``left_out`` names variants that the
    dataset cannot have, with the reason.
    """

    version: int = RECORD_VERSION
    study: str
    study_hash: str
    title: str
    question: str
    dataset: str
    data_hash: str
    split: str
    tasks: list[str]
    size: str
    seeds: list[int]
    partial: bool
    base: str
    oracle_auc: float | None
    rows: list[RowResult]
    claims: list[ClaimResult]
    failures: list[Failure]
    speed_rounds: int
    environment: dict[str, Any]
    command: str
    settings: dict[str, Any] = Field({})
    left_out: dict[str, str] = Field({})
    factorial: FactorialResult | None = None
