"""A sweep's record as tables: rows, exponents, the crossover."""

from __future__ import annotations

import math

from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.bench.sweep.fits import Crossover, crossovers, growths
from genrank_cli.metrics import intervals
from genrank_cli.report.bench import shown
from genrank_cli.report.table import Column, Interval, Kind, Table, Value
from genrank_cli.training.environment import one_line

PRODUCT, COPY = "product/float32", "copy"

UNITS = {
    "length": "HSTU tokens",
    "width": "width",
    "depth": "blocks",
    "batch": "sequences",
    "candidates": "candidates",
}

NOTES = (
    "step: forward, loss and backward of the whole model, without the optimizer; attention and "
    "projections: forward and backward of one block. Times: median and its 95 % interval.",
    "Rates count useful FLOPs: visible cells only. Intensity: FLOPs over the least bytes that the "
    "stage must move. Of the roof: the rate over min(product rate, intensity × copy bandwidth), "
    "both timed in the same rounds.",
)
FIT_NOTES = (
    "Exponent: slope of ln time over ln value in every round; median over rounds and its 95 % "
    "interval. At the end: between the two largest values.",
)
CROSSOVER_NOTES = (
    "Where attention takes as long as the rest of the block: from the times, by straight lines "
    "between logarithms, in every round; from the FLOPs, exactly.",
)


def tables(record: BenchRecord) -> list[Table]:
    """The rows, what they say of growth and, over lengths, the crossover."""
    crossing = [crossover_table(record)] if record.settings["over"] == "length" else []
    return [rows_table(record), growth_table(record), *crossing]


def unit(record: BenchRecord) -> str:
    """What the swept values count."""
    return UNITS[record.settings["over"]]


def rows_table(record: BenchRecord) -> Table:
    """One line per model, stage and value."""
    case = record.cases[0]
    columns = [
        Column("model", "model"),
        Column("stage", "stage"),
        Column("value", unit(record), Kind.COUNT),
        Column("tokens", "tokens a batch", Kind.COUNT),
        Column("forward_ms", "forward", Kind.NUMBER, digits=2, unit="ms"),
        Column("total_ms", "forward + backward", Kind.NUMBER, digits=2, unit="ms"),
        Column("gflops", "work", Kind.FIGURE, 3, unit="GFLOP"),
        Column("gflops_per_s", "rate", Kind.FIGURE, 3, unit="GFLOP/s"),
        Column("share", "of the product rate", Kind.PERCENT, digits=1),
        Column("flops_per_byte", "intensity", Kind.NUMBER, digits=1, unit="FLOP/byte"),
        Column("of_roof", "of the roof", Kind.PERCENT, digits=1),
        Column("ratio", "time / smallest's", Kind.RATIO, digits=2),
    ]
    ordered = sorted(case.rows, key=lambda row: (row.labels["model"], row.labels["stage"]))
    starts = [
        number
        for number, row in enumerate(ordered)
        if number and row.labels["stage"] != ordered[number - 1].labels["stage"]
    ]
    return Table(
        title=record.title,
        columns=columns,
        rows=[_cells(case, row) for row in ordered],
        header=[one_line(record.environment), _case_line(record)],
        notes=[
            *NOTES,
            *(f"! {text}" for text in case.warnings),
            *_disturbed(case),
            *(f"x {left.name} was left out: {left.reason}" for left in case.left_out),
        ],
        breaks=frozenset(starts),
    )


def _disturbed(case: Case) -> list[str]:
    names = [f"{row.name} {row.outliers}" for row in case.rows if row.outliers]
    return [f"! rounds over 1.5× their median, kept: {', '.join(names)}"] if names else []


def _case_line(record: BenchRecord) -> str:
    case = record.cases[0]
    fixed = " · ".join(f"{name} {count}" for name, count in case.labels.items())
    names = {PRODUCT: ("products", "GFLOP/s"), COPY: ("copy", "GB/s")}
    limits = [
        f"{names[probe.name][0]} {probe.rate / 1e9:,.0f} {names[probe.name][1]}"
        for probe in case.probes
    ]
    return " · ".join([fixed, f"{case.rounds} rounds in {case.wall_s:.0f} s", *limits])


def _cells(case: Case, row: Row) -> list[Value]:
    work, rate = sum(row.flops.values()), row.flops_per_s("total")
    found = intensity(row)
    share = row.share.get("total")
    top = roof(case, found) if found else None
    return [
        row.labels["model"],
        row.labels["stage"],
        row.figures["value"],
        row.figures["tokens"],
        shown(row.time_s["forward"], 1e3),
        shown(row.time_s["total"], 1e3),
        work / 1e9,
        None if rate is None else rate / 1e9,
        None if share is None else share.mean,
        found,
        rate / top if rate and top else None,
        shown(row.ratio.get(row.base)) if row.base else None,
    ]


def intensity(row: Row) -> float | None:
    """FLOPs over the least bytes; None for a whole step."""
    least = row.figures["min_bytes"]
    return sum(row.flops.values()) / least if least else None


def roof(case: Case, flops_per_byte: float) -> float | None:
    """FLOP/s that this machine could reach at an intensity; None where a limit is not known."""
    product, copy = (case.probe(name) for name in (PRODUCT, COPY))
    if product is None or copy is None:
        return None
    return min(product.rate, flops_per_byte * copy.rate)


def growth_table(record: BenchRecord) -> Table:
    """Exponents of time and FLOPs."""
    columns = [
        Column("model", "model"),
        Column("stage", "stage"),
        Column("time_exponent", "time grows with power", Kind.NUMBER, digits=2),
        Column("time_exponent_end", "at the end", Kind.NUMBER, digits=2),
        Column("flops_exponent", "FLOPs grow with power", Kind.NUMBER, digits=2),
        Column("flops_exponent_end", "at the end", Kind.NUMBER, digits=2),
    ]
    rows: list[list[Value]] = [
        [x.model, x.stage, shown(x.time), shown(x.time_end), x.flops, x.flops_end]
        for x in growths(record)
    ]
    return Table(f"Growth with {unit(record)}", columns, rows, notes=FIT_NOTES)


def crossover_table(record: BenchRecord) -> Table:
    """From which length on attention takes more than projections."""
    by_flops = record.extra.get("flops_crossover", {})
    columns = [
        Column("model", "model"),
        Column("time", f"by time ({unit(record)})", Kind.COUNT),
        Column("where", "which is"),
        Column("flops", f"by FLOPs ({unit(record)})", Kind.COUNT),
    ]
    rows: list[list[Value]] = [
        [found.model, _place(found.time), _where(found), by_flops.get(found.model)]
        for found in crossovers(record)
    ]
    return Table("Where attention overtakes projections", columns, rows, notes=CROSSOVER_NOTES)


def _place(found: intervals.Interval) -> Interval | str | None:
    return shown(found) if math.isfinite(found.mean) else "never"


def _where(found: Crossover) -> str:
    return "measured" if found.inside else "outside of the values: extrapolated"
