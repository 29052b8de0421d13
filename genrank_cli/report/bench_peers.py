"""A record of peers as tables: times beside ours, the formulas compared, who is absent."""

from __future__ import annotations

from pathlib import Path

from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.report.bench import checks_table, disturbed, shown
from genrank_cli.report.bench_plot import plot_times
from genrank_cli.report.table import Column, Kind, Table, Value
from genrank_cli.training.environment import one_line

NOTES = (
    "Each on the same tensors, in its own layout, causal, without bias and dropout; ours and "
    "theirs in alternating rounds. Times: median and its 95 % interval. Ratios: paired, 95 % "
    "interval (Wilcoxon); below 1 is faster than ours.",
    "Rates count useful FLOPs, of visible cells and of the layer's matrices, whoever does more.",
)
FORMULA_NOTE = (
    "Output and gradients of the inputs against the plain formula, with the same weights: the "
    "largest difference over the largest number. What computes something else is no peer."
)

#: In the table and in the plot; what is the same needs no word in the plot.
FORMULA = {
    Verdict.MET: "+ the same",
    Verdict.MISSED: "x another",
    Verdict.CANNOT_TELL: "~ cannot tell",
    Verdict.NOT_TESTABLE: "? not compared",
}
PLOTTED = {
    Verdict.MISSED: "x another formula",
    Verdict.CANNOT_TELL: "~ formula unknown",
    Verdict.NOT_TESTABLE: "? formula not compared",
}


def tables(record: BenchRecord) -> list[Table]:
    """Times, who could not run, then the comparison of formulas."""
    checks = checks_table(record)
    formulas = Table("Same formula?", checks.columns, checks.rows, notes=[FORMULA_NOTE])
    absent = [absent_table(record)] if any(case.left_out for case in record.cases) else []
    return [rows_table(record), *absent, formulas]


def rows_table(record: BenchRecord) -> Table:
    """One line per implementation and case."""
    several = len(record.cases) > 1
    columns = [
        *([Column("case", "case")] if several else []),
        Column("row", "row"),
        Column("what", "what"),
        Column("formula", "formula"),
        Column("forward_ms", "forward", Kind.NUMBER, digits=1, unit="ms"),
        Column("total_ms", "forward + backward", Kind.NUMBER, digits=1, unit="ms"),
        Column("gflops_per_s", "rate", Kind.COUNT, unit="GFLOP/s"),
        Column("share", "of the product rate", Kind.PERCENT, digits=1),
        Column("ratio", "time / ours", Kind.RATIO, digits=3),
        Column("base", "ours"),
    ]
    rows: list[list[Value]] = []
    breaks = set()
    for case in record.cases:
        breaks.add(len(rows))
        for row in case.rows:
            own = [case.name] if several else []
            rows.append([*own, *_cells(row, formula(record, case, row))])
    warnings = [text for case in record.cases for text in disturbed(case)]
    stopped = ["! interrupted: what is missing was not reached."] if record.interrupted else []
    return Table(
        title=record.title,
        columns=columns,
        rows=rows,
        header=[one_line(record.environment), *(_case_line(case) for case in record.cases)],
        notes=[*NOTES, *stopped, *warnings],
        breaks=frozenset(breaks - {0}),
    )


def absent_table(record: BenchRecord) -> Table:
    """What could not be imported or run, and why."""
    rows: list[list[Value]] = [
        [case.name, left.name, left.reason] for case in record.cases for left in case.left_out
    ]
    columns = [Column("case", "case"), Column("row", "row"), Column("reason", "why")]
    return Table("Not measured here", columns, rows)


def formula(record: BenchRecord, case: Case, row: Row) -> Verdict:
    """Whether a row computes the formula that it is a peer of."""
    name = f"formula.{row.name}"
    found = (x.verdict for x in record.checks if (x.id, x.case) == (name, case.name))
    return next(found, Verdict.NOT_TESTABLE)


def plot(record: BenchRecord, path: Path) -> list[Path]:
    """As `plot_times`; rows of another formula are named so."""
    cases = []
    for case in record.cases:
        rows = [
            row.model_copy(update={"name": f"{row.name} ({mark})"}) if mark else row
            for row in case.rows
            for mark in [PLOTTED.get(formula(record, case, row), "")]
        ]
        cases.append(case.model_copy(update={"rows": rows}))
    return plot_times(record.model_copy(update={"cases": cases}), path)


def _cells(row: Row, same: Verdict) -> list[Value]:
    rate, share = row.flops_per_s("total"), row.share.get("total")
    return [
        row.name,
        row.labels["what"],
        FORMULA[same],
        shown(row.time_s["forward"], 1e3),
        shown(row.time_s["total"], 1e3),
        None if rate is None else rate / 1e9,
        None if share is None else share.mean,
        shown(row.ratio.get(row.base)) if row.base else None,
        row.base,
    ]


def _case_line(case: Case) -> str:
    shape, probe = case.labels, case.probes[0]
    return (
        f"{case.name}: {shape['batch_size']} sequences of {shape['seq_len']} tokens, "
        f"{shape['heads']} heads of {shape['width']} · {case.rounds} rounds in {case.wall_s:.0f} s"
        f" · {probe.name} {probe.rate / 1e9:,.0f} GFLOP/s"
    )
