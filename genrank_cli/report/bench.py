"""A bench's record as tables: rows, checks, memory, the machine's limits."""

from __future__ import annotations

import math

from genrank_cli.bench.record import BenchRecord, Case, Check, Row
from genrank_cli.bench.statistics import OUTLIER
from genrank_cli.metrics import intervals
from genrank_cli.report.table import Column, Interval, Kind, Table, Value
from genrank_cli.training.environment import one_line

#: PyTorch's kernel, which every row is compared with where it ran.
LIMIT = "sdpa"


def rows_table(record: BenchRecord) -> Table:
    """One line per row and case: times with intervals, rates, shares, ratios to its base."""
    several = len(record.cases) > 1
    columns = [
        *([Column("case", "case")] if several else []),
        Column("row", "row"),
        Column("forward_ms", "forward", Kind.NUMBER, digits=1, unit="ms"),
        Column("total_ms", "forward + backward", Kind.NUMBER, digits=1, unit="ms"),
        Column("total_gflops_per_s", "rate", Kind.FIGURE, 3, unit="GFLOP/s"),
        Column("forward_share", "forward's share", Kind.PERCENT, digits=1),
        Column("total_share", "share", Kind.PERCENT, digits=1),
        Column("ratio", "time / base's", Kind.RATIO, digits=3),
        Column("base", "base"),
        Column("ratio_sdpa", "time / sdpa's", Kind.RATIO, digits=2),
        Column("outliers", "outliers", Kind.COUNT),
    ]
    rows: list[list[Value]] = []
    breaks = set()
    for case in record.cases:
        breaks.add(len(rows))
        rows += [[*([case.name] if several else []), *_cells(row)] for row in case.rows]
    return Table(
        title=record.title,
        columns=columns,
        rows=rows,
        header=[one_line(record.environment), *(_case_line(case) for case in record.cases)],
        notes=[*_notes(record), *(text for case in record.cases for text in _warnings(case))],
        breaks=frozenset(breaks - {0}),
    )


def checks_table(record: BenchRecord) -> Table:
    """One line per bar: what was asked, what was measured, the verdict."""
    return Table(
        title="Checks",
        columns=[
            Column("check", "check"),
            Column("case", "case"),
            Column("bar", "bar"),
            Column("measured", "measured"),
            Column("verdict", "verdict"),
            Column("reason", "why"),
        ],
        rows=[
            [
                check.text,
                check.case,
                f"{'≥' if check.side == 'at least' else '≤'} {_figure(check, check.bound)}",
                measured_text(check),
                f"{check.verdict.symbol} {check.verdict}",
                check.reason or None,
            ]
            for check in record.checks
        ],
    )


def memory_table(record: BenchRecord) -> Table:
    """Peak extra memory of each row, and its share of the first one's (the reference's)."""
    first = next(
        (row.peak_bytes for row in record.memory if row.name.startswith("reference")), None
    )
    return Table(
        title=f"Peak extra memory, forward + backward, {record.memory_case}",
        columns=[
            Column("row", "row"),
            Column("peak_mib", "peak", Kind.NUMBER, digits=1, unit="MiB"),
            Column("share", "of the reference's", Kind.PERCENT, digits=1),
            Column("reason", "why not"),
        ],
        rows=[
            [
                row.name,
                None if row.peak_bytes is None else row.peak_bytes / 2**20,
                row.peak_bytes / first if first and row.peak_bytes is not None else None,
                row.reason or None,
            ]
            for row in record.memory
        ],
    )


def tables(record: BenchRecord) -> list[Table]:
    """Everything that is worth reading, the rows first."""
    memory = [memory_table(record)] if record.memory else []
    return [rows_table(record), *memory, *([checks_table(record)] if record.checks else [])]


def shown(interval: intervals.Interval | None, factor: float = 1.0) -> Interval | None:
    """An interval for a table, in another unit."""
    if interval is None:
        return None
    return Interval(interval.mean * factor, interval.low * factor, interval.high * factor)


def _cells(row: Row) -> list[Value]:
    rate = row.flops_per_s("total")
    limit = f"{LIMIT}/{row.labels['dtype']}" if "dtype" in row.labels else LIMIT
    return [
        row.name,
        shown(row.time_s.get("forward"), 1e3),
        shown(row.time_s["total"], 1e3),
        None if rate is None else rate / 1e9,
        _mean(row.share.get("forward")),
        _mean(row.share.get("total")),
        shown(row.ratio.get(row.base)) if row.base else None,
        row.base,
        shown(row.ratio.get(limit)),
        row.outliers,
    ]


def _mean(interval: intervals.Interval | None) -> float | None:
    return None if interval is None else interval.mean


def _case_line(case: Case) -> str:
    limits = [
        f"{probe.name} {probe.rate / 1e9:,.0f} {'GFLOP/s' if probe.unit == 'flops' else 'GB/s'}"
        for probe in case.probes
    ]
    return f"{case.name}: {case.rounds} rounds in {case.wall_s:.0f} s · {' · '.join(limits)}"


def _notes(record: BenchRecord) -> list[str]:
    stopped = ["! interrupted: what is missing was not reached."] if record.interrupted else []
    return [
        "Times: median and its 95 % interval. Ratios are paired inside alternating rounds; 95 % "
        "interval (Wilcoxon); below 1 is faster than the base.",
        "Rates count useful FLOPs of visible cells (forward 4 D, backward 8 D a cell and head); "
        "share: of a large matrix product of the same dtype, timed in the same rounds.",
        *stopped,
    ]


def disturbed(case: Case) -> list[str]:
    """What disturbed the case, and which rows have rounds that took much longer than the others."""
    found = [f"! {case.name}: {text}" for text in case.warnings]
    rows = [f"{row.name} {row.outliers}" for row in case.rows if row.outliers]
    if rows:
        listed = ", ".join(rows)
        found.append(f"! {case.name}: rounds over {OUTLIER}× their median, kept: {listed}")
    return found


def left_out(case: Case) -> list[str]:
    """Rows that are missing, with the reason."""
    return [
        f"{'?' if left.expected else 'x'} {case.name}: {left.name} was left out: {left.reason}"
        for left in case.left_out
    ]


def _warnings(case: Case) -> list[str]:
    return [*disturbed(case), *left_out(case)]


def measured_text(check: Check) -> str | None:
    """What was measured in the check's unit, with its interval where that is wider than a point."""
    interval = check.measured
    if interval is None:
        return None
    value = _figure(check, interval.mean)
    if not math.isfinite(interval.high - interval.low) or interval.low == interval.high:
        return value
    return f"{value} [{_figure(check, interval.low)}, {_figure(check, interval.high)}]"


def _figure(check: Check, value: float) -> str:
    return f"{100 * value:.1f} %" if check.unit == "%" else f"{value:.3g}{check.unit}"
