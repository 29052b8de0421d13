"""The report for a spreadsheet: one number a line, with all that tells where it comes from."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from typing import Any

from genrank_cli.bench.record import BenchRecord
from genrank_cli.metrics import intervals
from genrank_cli.report.page_claims import Finding, gather
from genrank_cli.report.page_evidence import Evidence
from genrank_cli.report.page_load import Records
from genrank_cli.studies.record import RowResult, StudyRecord
from genrank_cli.studies.verdict import Verdict

COLUMNS = (
    "kind", "study", "dataset", "size", "split", "data_hash", "partial", "genrank", "commit",
    "seeds", "subject", "metric", "value", "low", "high", "reported", "verdict",
    "minimum_detectable", "file",
)  # fmt: skip

#: With these a spreadsheet takes a text for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

Line = dict[str, Any]


def render_csv(records: Records) -> str:
    """Lines of three kinds: ``claim`` (a finding), ``row`` (of a study) and ``bench``."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for line in _lines(records):
        writer.writerow({key: _raw(value) for key, value in line.items()})
    return buffer.getvalue()


def _lines(records: Records) -> Iterator[Line]:
    claims = gather(records.studies, records.benches)
    for known in claims.known:
        found = claims.findings.get(known.id, [])
        yield from (_claim(finding) for finding in found)
        yield from (_evidence(known.id, told) for told in claims.evidence.get(known.id, []))
        if not claims.judged(known.id):
            yield {"kind": "claim", "subject": known.id, "verdict": Verdict.NOT_TESTABLE.value}
    for study in records.studies:
        about = _about(study.record) | {"file": study.file.name}
        for row in study.record.rows:
            yield from (about | line for line in _row(row))
    for bench in records.benches:
        yield from (line | {"file": bench.file.name} for line in _bench(bench.record))


def _about(record: StudyRecord) -> Line:
    return {
        "study": record.study,
        "dataset": record.dataset,
        "size": record.size,
        "split": record.split,
        "data_hash": record.data_hash,
        "partial": record.partial,
        "genrank": record.environment["genrank"],
        "commit": record.environment["commit"],
        "seeds": len(record.seeds),
    }


def _claim(finding: Finding) -> Line:
    claim, ours = finding.claim, finding.measured
    bounds = {"value": ours.value, "low": ours.low, "high": ours.high} if ours else {}
    return _about(finding.study.record) | bounds | {
        "kind": "claim",
        "subject": claim.id,
        "metric": f"{claim.metric}_{claim.kind}",
        "reported": claim.reported,
        "verdict": claim.verdict,
        "minimum_detectable": claim.minimum_detectable,
        "file": finding.study.file.name,
    }  # fmt: skip


def _evidence(claim: str, told: Evidence) -> Line:
    """A bench's check about a claim, under the check's own name."""
    record, check = told.bench.record, told.check
    return (_bounds(check.measured) if check.measured else {}) | {
        "kind": "claim",
        "study": f"bench {record.bench}",
        "dataset": check.case,
        "size": record.settings.get("size"),
        "genrank": record.environment["genrank"],
        "commit": record.environment["commit"],
        "subject": claim,
        "metric": check.id,
        "verdict": told.verdict.value,
        "file": told.bench.file.name,
    }


def _row(row: RowResult) -> Iterator[Line]:
    """Everything that the study's table shows of a row, and its other metrics."""
    told = {"kind": "row", "subject": row.name, "seeds": len(row.seeds)}
    effects = {
        "auc": row.auc_mean,
        "delta_auc": row.delta_auc,
        "delta_auc_users": row.delta_auc_users,
        "speed_ratio": row.speed_ratio,
    }
    for metric, effect in effects.items():
        if effect is not None:
            yield told | {"metric": metric} | _bounds(effect)
    for metric, value in _numbers(row).items():
        if value is not None:
            yield told | {"metric": metric, "value": value}


def _numbers(row: RowResult) -> dict[str, float | None]:
    """What has no interval: metrics, those of other tasks and slices, cost."""
    numbers: dict[str, float | None] = {key: x for key, x in row.metrics.items() if key != "auc"}
    parts = dict(row.tasks)
    for of, found in row.slices.items():
        parts |= {f"{of}.{part}": metrics for part, metrics in found.items()}
    for part, metrics in parts.items():
        numbers |= {f"{part}.{key}": value for key, value in metrics.items()}
    seconds = sum(row.train_s) / len(row.train_s) if row.train_s else None
    cost = {"events_per_s": row.events_per_s, "parameters": row.parameters, "train_s": seconds}
    return numbers | cost


def _bench(record: BenchRecord) -> Iterator[Line]:
    for case in record.cases:
        about = {
            "kind": "bench",
            "study": record.bench,
            "dataset": case.name,
            "genrank": record.environment["genrank"],
            "commit": record.environment["commit"],
        }
        for row in case.rows:
            for part, time in row.time_s.items():
                yield about | {"subject": row.name, "metric": f"{part}_s"} | _bounds(time)
            for base, ratio in row.ratio.items():
                yield about | {"subject": row.name, "metric": f"ratio to {base}"} | _bounds(ratio)


def _bounds(interval: intervals.Interval) -> Line:
    return {"value": interval.mean, "low": interval.low, "high": interval.high}


def _raw(value: Any) -> str:
    """Full precision; empty where there is no number; text that no spreadsheet evaluates."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA) else value
    return repr(value)
