"""A serving bench's record as tables: latency, resources, checks."""

from __future__ import annotations

import math

from genrank_cli.bench.quantiles import fewest
from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.metrics import intervals
from genrank_cli.report.bench import checks_table, disturbed, left_out, shown
from genrank_cli.report.table import Column, Kind, Table, Value
from genrank_cli.training.environment import one_line

BASE = "dlrm/whole"
NOTES = (
    "whole: history and candidates together; cold: the history is encoded, then the candidates are "
    "scored on its cached keys and values; warm: the candidates alone, the user was cached before. "
    "Number: candidates in a micro-batch.",
    "Percentiles are those of raw times of single requests, with 95 % intervals of order "
    "statistics: independent requests are their only assumption. One worker serves one request at "
    "a time; network, feature store and queue are not in it. Ratios: median of the paired ones.",
    "A DLRM is given the newest events that it reads, not the whole history.",
)
RESOURCE_NOTES = (
    "FLOPs of matrix products, a multiply-add as two. Packed: the history is encoded once for as "
    "many candidates as it has events; grouped: once for each request of ten.",
    "Cached keys and values are float32, of every block, with the place and time of each token.",
)
COSTS_NOTE = (
    "cost.*: the paper's comparison with the DLRM that it replaced, judged here against this "
    "project's DLRM of the same size and features: theirs is another, and not public."
)


def tables(record: BenchRecord) -> list[Table]:
    """Latency, resources, then the checks."""
    checks = checks_table(record)
    judged = Table(checks.title, checks.columns, checks.rows, notes=[COSTS_NOTE])
    return [latency_table(record), resources_table(record), judged]


def latency_table(record: BenchRecord) -> Table:
    """One line per path and case."""
    columns = [
        Column("case", "case"),
        Column("row", "row"),
        Column("p50_ms", "P50", Kind.NUMBER, digits=2, unit="ms"),
        Column("p90_ms", "P90", Kind.NUMBER, digits=2, unit="ms"),
        Column("p99_ms", "P99", Kind.NUMBER, digits=2, unit="ms"),
        Column("requests_per_s", "requests/s", Kind.NUMBER, digits=1),
        Column("candidates_per_s", "candidates/s", Kind.COUNT),
        Column("ratio_dlrm", "time / dlrm's", Kind.RATIO, digits=2),
        Column("ratio_whole", "time / own whole's", Kind.RATIO, digits=2),
    ]
    rows: list[list[Value]] = []
    breaks = set()
    for case in record.cases:
        breaks.add(len(rows))
        rows += [_cells(case, row) for row in case.rows]
    warnings = [x for case in record.cases for x in (*disturbed(case), *left_out(case))]
    stopped = ["! interrupted: what is missing was not reached."] if record.interrupted else []
    return Table(
        title=record.title,
        columns=columns,
        rows=rows,
        header=[one_line(record.environment), *(_case_line(case) for case in record.cases)],
        notes=[*NOTES, *stopped, *warnings],
        breaks=frozenset(breaks - {0}),
    )


def _cells(case: Case, row: Row) -> list[Value]:
    total = row.total_s()
    per_s = len(total) / sum(total)
    model = row.labels["model"]
    own = row.ratio.get(f"{model}/whole") if model != "dlrm" else None
    return [
        case.name,
        row.name,
        _percentile(row.time_s["total"], 0.5),
        _percentile(row.time_s["p90"], 0.9),
        _percentile(row.time_s["p99"], 0.99),
        per_s,
        per_s * case.labels["candidates"],
        shown(row.ratio.get(BASE)),
        shown(own),
    ]


def _percentile(interval: intervals.Interval, share: float) -> Value:
    """With its interval, or how many requests that would take."""
    if math.isfinite(interval.high - interval.low):
        return shown(interval, 1e3)
    return f"? {interval.n} of {fewest(share)} requests"


def resources_table(record: BenchRecord) -> Table:
    """One line per model: what it takes to train, to serve and to store."""
    columns = [
        Column("model", "model"),
        Column("train_packed_tflops", "training, packed", Kind.FIGURE, 3, unit="TFLOP/M events"),
        Column("train_grouped_tflops", "grouped", Kind.FIGURE, 3, unit="TFLOP/M events"),
        *(
            Column(
                f"{path}_{case.name}_gflops", f"{path} {case.name}", Kind.FIGURE, 3, unit="GFLOP"
            )
            for case in record.cases
            for path in ("whole", "cold", "warm")
        ),
        Column("tables_mib", "tables", Kind.FIGURE, 3, unit="MiB"),
        Column("others_mib", "other parameters", Kind.FIGURE, 3, unit="MiB"),
        Column("cache_kib", "cache a user", Kind.FIGURE, 3, unit="KiB"),
    ]
    models = dict.fromkeys(row.labels["model"] for row in record.cases[0].rows)
    rows = [_resources(record, model) for model in models]
    return Table("Resources", columns, rows, notes=RESOURCE_NOTES)


def _resources(record: BenchRecord, model: str) -> list[Value]:
    figures = record.cases[0].rows[0].figures
    served: list[Value] = []
    for case in record.cases:
        own = {x.labels["path"]: x for x in case.rows if x.labels["model"] == model}
        figures = next(iter(own.values())).figures if own else figures
        served += [
            sum(own[path].flops.values()) / 1e9 if path in own else None
            for path in ("whole", "cold", "warm")
        ]
    cache = figures["cache_bytes_per_user"]
    return [
        model,
        figures["training_flops_per_million_events_packed"] / 1e12,
        figures["training_flops_per_million_events_grouped"] / 1e12,
        *served,
        figures["table_bytes"] / 2**20,
        figures["other_parameter_bytes"] / 2**20,
        cache / 2**10 if cache else None,
    ]


def _case_line(case: Case) -> str:
    labels = case.labels
    return (
        f"{case.name}: {labels['history']} history events, {labels['candidates']} candidates, "
        f"{case.rounds} requests a row of {labels['users']} users in {case.wall_s:.0f} s"
    )
