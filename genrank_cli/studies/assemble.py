"""From the runs of a study to its record: every row against the base, and the claims judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genrank_cli.data.store import Store
from genrank_cli.metrics.intervals import geometric_ratio, paired_t
from genrank_cli.studies.cells import Outcome
from genrank_cli.studies.factorial import auc_interaction, speeds
from genrank_cli.studies.judging import judge_claims
from genrank_cli.studies.measure import Measurements
from genrank_cli.studies.plan import Row
from genrank_cli.studies.record import FactorialResult, Failure, RowResult, StudyRecord
from genrank_cli.studies.slices import item_slices, mean_slices
from genrank_cli.studies.speed import Speed
from genrank_cli.studies.study import Study
from genrank_cli.studies.users import auc_over_users
from genrank_cli.training.run import Record

#: Metrics of the main task that get an interval over seeds, beside the AUC.
WITH_INTERVAL = ("gauc_user", "ne")


@dataclass(frozen=True)
class Known:
    """What is known of a study before anything runs.

    ``cold``     bool [items]: see `genrank_cli.studies.slices`; none = no slices
    ``flops``    row → part → forward FLOPs
    ``left_out`` variant → why the dataset cannot have it
    ``train_events``  candidates of an epoch
    """

    cold: NDArray[np.bool_] | None = None
    flops: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    train_events: int = 0


def assemble(
    study: Study,
    rows: Sequence[Row],
    seeds: Sequence[int],
    outcomes: Sequence[Outcome],
    speed: Speed | None,
    store: Store,
    size: str,
    environment: Mapping[str, Any],
    known: Known | None = None,
) -> StudyRecord:
    """Compare every row with the base, seed by seed and round by round, and judge the claims."""
    known = known or Known()
    found = _measurements(rows, outcomes, speed, known)
    some = next((record for records in found.records.values() for record in records.values()), None)
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
        oracle_auc=some["test"][found.task].get("oracle_auc") if some else None,
        rows=[_row(row, study.base, found) for row in rows if found.records[row.name]],
        claims=judge_claims(study, found, known.left_out, size),
        failures=[
            Failure(row=outcome.row, seed=outcome.seed, error=outcome.error)
            for outcome in outcomes
            if outcome.record is None
        ],
        speed_rounds=len(next(iter(speed.round_s.values()))) if speed else 0,
        environment=dict(environment),
        command=environment["command"],
        settings=study.settings,
        left_out=dict(known.left_out),
        factorial=_factorial(study, found),
    )


def _measurements(
    rows: Sequence[Row], outcomes: Sequence[Outcome], speed: Speed | None, known: Known
) -> Measurements:
    done: dict[str, dict[int, Record]] = {row.name: {} for row in rows}
    for outcome in sorted(outcomes, key=lambda outcome: outcome.seed):
        if outcome.record is not None:
            done[outcome.row][outcome.seed] = outcome.record
    tasks = [record["tasks"] for records in done.values() for record in records.values()]
    task = tasks[0][0] if tasks else ""
    slices = {}
    if known.cold is not None:
        slices = {
            name: {seed: item_slices(record, task, known.cold) for seed, record in runs.items()}
            for name, runs in done.items()
        }
    return Measurements(done, task, speed, slices, known.flops)


def _row(row: Row, base: str, found: Measurements) -> RowResult:
    records, speed = found.records[row.name], found.speed
    auc, base_auc = found.metric(row.name, "auc"), found.metric(base, "auc")
    common = [seed for seed in auc if seed in base_auc]
    compared = bool(common) and row.name != base
    timed = speed is not None and row.name in speed.round_s
    seconds = speed.events_per_s(row.name) if speed is not None and timed else []
    ratio = None
    if speed is not None and timed and base in speed.round_s and row.name != base:
        ratio = geometric_ratio(speed.ratios(base, row.name))
    tests = [record["test"] for record in records.values()]
    return RowResult(
        name=row.name,
        label=row.label,
        role=row.role,
        preset=row.preset,
        changes=row.changes,
        seeds=list(auc),
        auc=list(auc.values()),
        auc_mean=paired_t(list(auc.values())),
        metrics=_mean_metrics([test[found.task] for test in tests]),
        delta_auc=paired_t([auc[s] - base_auc[s] for s in common]) if compared else None,
        delta_auc_users=auc_over_users(found, [(1.0, row.name), (-1.0, base)])
        if compared
        else None,
        speed_ratio=ratio,
        speed_outliers=speed.outliers(row.name) if speed is not None and timed else 0,
        events_per_s=float(np.median(seconds)) if seconds else None,
        parameters=next(iter(records.values()))["training"]["parameters"],
        train_s=[record["training"]["train_s"] for record in records.values()],
        runs=[record["folder"] for record in records.values()],
        metric_intervals={
            name: paired_t(list(values.values()))
            for name in WITH_INTERVAL
            if (values := found.metric(row.name, name)) and np.isfinite(list(values.values())).all()
        },
        tasks={task: _mean_metrics([test[task] for test in tests]) for task in tests[0]},
        slices={"items": means} if (means := mean_slices(found.slices.get(row.name, {}))) else {},
    )


def _mean_metrics(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([m[name] for m in metrics])) for name in metrics[0]}


def _factorial(study: Study, found: Measurements) -> FactorialResult | None:
    plan = study.factorial
    if plan is None:
        return None
    measured, predicted = speeds(found, study.base, plan) or (None, None)
    return FactorialResult(
        first=plan.first,
        second=plan.second,
        both=plan.both,
        speed=measured,
        predicted=predicted,
        auc_interaction=auc_interaction(found, study.base, plan),
    )
