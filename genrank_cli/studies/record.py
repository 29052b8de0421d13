"""The record of a finished study: everything that tables, plots and gates are made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, ConfigDict

from genrank_cli.data.declare import Frozen
from genrank_cli.data.store import Store
from genrank_cli.metrics.bootstrap import bootstrap_users
from genrank_cli.metrics.intervals import Interval, geometric_ratio, paired_t
from genrank_cli.studies.cells import Outcome
from genrank_cli.studies.plan import Row
from genrank_cli.studies.speed import Speed
from genrank_cli.studies.study import Study
from genrank_cli.studies.verdict import judge_claim
from genrank_cli.training.run import Record, read_predictions

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
    """One line of the table. Values by seed are in the order of ``seeds``."""

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


class ClaimResult(_Result):
    """A published claim and what the study says of it."""

    id: str
    variant: str
    metric: str
    kind: str
    reported: float
    verdict: str
    symbol: str
    reason: str
    minimum_detectable: float | None
    source: str


class Failure(_Result):
    """A cell without a result."""

    row: str
    seed: int
    error: str


class StudyRecord(_Result):
    """See the module's docstring."""

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


def assemble(
    study: Study,
    rows: Sequence[Row],
    seeds: Sequence[int],
    outcomes: Sequence[Outcome],
    speed: Speed | None,
    store: Store,
    size: str,
    environment: Mapping[str, Any],
) -> StudyRecord:
    """Compare every row with the base, seed by seed and round by round, and judge the claims."""
    done: dict[str, dict[int, Record]] = {row.name: {} for row in rows}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.seed):
        if outcome.record is not None:
            done[outcome.row][outcome.seed] = outcome.record
    some = next((record for records in done.values() for record in records.values()), None)
    main = some["tasks"][0] if some else ""
    results = [_row(row, study.base, done, main, speed) for row in rows if done[row.name]]
    return StudyRecord(
        study=study.name,
        study_hash=study.hash,
        title=study.title,
        question=study.question,
        dataset=store.manifest.name,
        data_hash=store.manifest.data_hash,
        split=some["split"] if some else "",
        tasks=some["tasks"] if some else [],
        size=size,
        seeds=list(seeds),
        partial=bool(some and some["partial"]),
        base=study.base,
        oracle_auc=some["test"][main].get("oracle_auc") if some else None,
        rows=results,
        claims=_claims(study, done, main, speed),
        failures=[
            Failure(row=outcome.row, seed=outcome.seed, error=outcome.error)
            for outcome in outcomes
            if outcome.record is None
        ],
        speed_rounds=len(next(iter(speed.round_s.values()))) if speed else 0,
        environment=dict(environment),
        command=environment["command"],
    )


def _aucs(records: Mapping[int, Record], task: str) -> dict[int, float]:
    return {seed: record["test"][task]["auc"] for seed, record in records.items()}


def _row(
    row: Row,
    base: str,
    done: Mapping[str, Mapping[int, Record]],
    task: str,
    speed: Speed | None,
) -> RowResult:
    records, base_records = done[row.name], done[base]
    auc, base_auc = _aucs(records, task), _aucs(base_records, task)
    common = [seed for seed in auc if seed in base_auc]
    compared = bool(common) and row.name != base
    timed = speed is not None and row.name in speed.round_s
    seconds = speed.events_per_s(row.name) if speed is not None and timed else []
    ratio = None
    if speed is not None and timed and base in speed.round_s and row.name != base:
        ratio = geometric_ratio(speed.ratios(base, row.name))
    return RowResult(
        name=row.name,
        label=row.label,
        role=row.role,
        preset=row.preset,
        changes=row.changes,
        seeds=list(auc),
        auc=list(auc.values()),
        auc_mean=paired_t(list(auc.values())),
        metrics=_mean_metrics([record["test"][task] for record in records.values()]),
        delta_auc=paired_t([auc[s] - base_auc[s] for s in common]) if compared else None,
        delta_auc_users=_bootstrap(base_records, records, common, task) if compared else None,
        speed_ratio=ratio,
        speed_outliers=speed.outliers(row.name) if speed is not None and timed else 0,
        events_per_s=float(np.median(seconds)) if seconds else None,
        parameters=next(iter(records.values()))["training"]["parameters"],
        train_s=[record["training"]["train_s"] for record in records.values()],
        runs=[record["folder"] for record in records.values()],
    )


def _mean_metrics(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([m[name] for m in metrics])) for name in metrics[0]}


def _bootstrap(
    base: Mapping[int, Record], other: Mapping[int, Record], seeds: Sequence[int], task: str
) -> Interval:
    """The evaluation sample's own uncertainty: users resampled, seeds held."""
    score = f"score.{task}"
    first = read_predictions(base[seeds[0]])
    a = [read_predictions(base[seed])[score].to_numpy() for seed in seeds]
    b = [read_predictions(other[seed])[score].to_numpy() for seed in seeds]
    return bootstrap_users(
        first[f"label.{task}"].to_numpy(), a, b, first["user"].to_numpy(), seed=0
    )


def _claims(
    study: Study, done: Mapping[str, Mapping[int, Record]], task: str, speed: Speed | None
) -> list[ClaimResult]:
    """Judge the claims whose variant was run."""
    results = []
    for claim in study.claims:
        if claim.variant not in done:
            continue
        if claim.metric == "auc":
            sides = [_aucs(done[name], task) for name in (study.base, claim.variant)]
        else:
            sides = [_paces(speed, name) for name in (study.base, claim.variant)]
        judged = judge_claim(claim, dict(sides[0]), dict(sides[1]))
        results.append(
            ClaimResult(
                id=claim.id,
                variant=claim.variant,
                metric=claim.metric,
                kind=claim.kind,
                reported=claim.reported,
                verdict=judged.verdict.value,
                symbol=judged.verdict.symbol,
                reason=judged.reason,
                minimum_detectable=judged.minimum_detectable,
                source=claim.source,
            )
        )
    return results


def _paces(speed: Speed | None, name: str) -> dict[int, float]:
    if speed is None or name not in speed.round_s:
        return {}
    return dict(enumerate(speed.events_per_s(name)))
