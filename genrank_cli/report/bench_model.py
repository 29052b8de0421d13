"""The record of ``genrank bench`` as tables: steps, stages, FLOPs, regimes, claims."""

from __future__ import annotations

import math
from collections.abc import Iterator

from genrank_cli.bench.model.plan import Request
from genrank_cli.bench.model.stages import EVALUATION, PARTS, STEP, row_name
from genrank_cli.bench.record import BenchRecord, Case, Row, interval_of
from genrank_cli.bench.statistics import ratio_interval
from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.bench import checks_table, shown
from genrank_cli.report.table import Column, Kind, Table, Value
from genrank_cli.training.environment import one_line

#: Stages whose row is of one block.
PER_BLOCK = ("attention", "projections")

STEP_NOTES = (
    "A step is forward, backward and optimizer on the same batch; times are medians with their "
    "95 % interval. Speed is paired inside alternating rounds (Wilcoxon, 95 %): above 1 is faster.",
    "Rates count useful FLOPs of matrix products, visible cells only; the share is of a large "
    "matrix product timed in the same rounds. Peak memory: of a first step, beyond weights and "
    "batch.",
)
STAGE_NOTES = (
    "Each stage forward and backward, timed alone; attention and projections are those of one "
    "block times the blocks, attention with its bias. Rest: the step minus the stages (losses, "
    "copies; negative where a stage is dearer alone than inside the step).",
)
WORK_NOTES = (
    "FLOPs of one step, forward and backward, exact; recomputed: scores that the backward pass of "
    "the attention computes again. Bytes: the least that must be moved at this dtype; of the copy: "
    "those bytes over the stages' times, as a share of the copy bandwidth in the same rounds.",
)
REGIME_NOTES = (
    "What remains of HSTU's work with one token an event, of one sample. Packed training "
    "supervises every event, so each is a candidate as well: 3n tokens against 2n.",
)

#: Of `genrank_cli.bench.model.regimes.Regime`, as the record holds them.
REGIME_FIELDS = ("name", "interleaved", "action", "attention", "attention_dense", "projections")


def tables(record: BenchRecord) -> list[Table]:
    """What is worth reading, the steps first."""
    found = [step_table(record), stage_table(record), work_table(record)]
    if "regimes" in record.extra:
        found.append(regime_table(record))
    if record.checks:
        found.append(claims_table(record))
    return found


def steps(case: Case) -> Iterator[Row]:
    """The rows of whole steps."""
    return (row for row in case.rows if row.labels["stage"] == STEP)


def step_table(record: BenchRecord) -> Table:
    """One line a model: tokens, time, speed, throughput, share, memory."""
    columns = [
        Column("model", "model"),
        Column("events", "events", Kind.COUNT),
        Column("candidates", "candidates", Kind.COUNT),
        Column("tokens", "tokens", Kind.COUNT),
        Column("step_ms", "step", Kind.NUMBER, digits=1, unit="ms"),
        Column("speed", "speed", Kind.RATIO, digits=2),
        Column("evaluation_ms", "evaluation", Kind.NUMBER, digits=1, unit="ms"),
        Column("events_per_s", "events/s", Kind.COUNT),
        Column("candidates_per_s", "candidates/s", Kind.COUNT),
        Column("tokens_per_s", "tokens/s", Kind.COUNT),
        Column("gflops_per_s", "rate", Kind.FIGURE, 3, unit="GFLOP/s"),
        Column("share", "of the product rate", Kind.PERCENT, digits=1),
        Column("share_passes", "without optimizer", Kind.PERCENT, digits=1),
        Column("peak_mib", "peak memory", Kind.COUNT, unit="MiB"),
        Column("outliers", "disturbed rounds", Kind.COUNT),
    ]
    cells: list[list[Value]] = []
    breaks = set()
    for case in record.cases:
        breaks.add(len(cells))
        cells += [_step_cells(record, case, row) for row in steps(case)]
    return Table(
        title=record.title,
        columns=columns,
        rows=cells,
        header=[one_line(record.environment), *(_case_line(record, case) for case in record.cases)],
        notes=[*STEP_NOTES, *_warnings(record)],
        breaks=frozenset(breaks - {0}),
    )


def _case_line(record: BenchRecord, case: Case) -> str:
    settings, labels = record.settings, case.labels
    limits = " · ".join(
        f"{probe.name} {probe.rate / 1e9:,.0f} {'GFLOP/s' if probe.unit == 'flops' else 'GB/s'}"
        for probe in case.probes
    )
    return (
        f"--seq-len {labels['seq_len']} HSTU tokens of history = {labels['seq_len'] // 2} events a "
        f"sample ({settings['lengths']}) · {labels['samples']} {settings['samples']} samples · "
        f"{settings['dtype']} · {case.rounds} rounds in {case.wall_s:.0f} s · {limits}"
    )


def _step_cells(record: BenchRecord, case: Case, row: Row) -> list[Value]:
    total, counts = row.time_s["total"].mean, row.figures
    evaluation = case.row(row_name(row.labels["model"], EVALUATION))
    rate = row.flops_per_s("total")
    speed = None
    if row.base is not None:
        base = case.row(row.base)
        speed = None if base is None else ratio_interval(base.total_s(), row.total_s())
    memory = next((m for m in record.memory if m.name == row.labels["model"]), None)
    shown_here = memory is not None and record.memory_case == case.name
    return [
        row.labels["model"],
        counts["events"],
        counts["candidates"],
        counts["tokens"] or None,
        shown(row.time_s["total"], 1e3),
        shown(speed),
        None if evaluation is None else shown(evaluation.time_s["total"], 1e3),
        counts["events"] / total,
        counts["candidates"] / total,
        counts["tokens"] / total or None,
        None if rate is None else rate / 1e9,
        _mean(row.share.get("total")),
        _mean(row.share.get("forward+backward")),
        memory.peak_bytes / 2**20 if shown_here and memory and memory.peak_bytes else None,
        row.outliers,
    ]


def _mean(interval: Interval | None) -> float | None:
    return None if interval is None else interval.mean


def stage_seconds(case: Case, row: Row) -> dict[str, float]:
    """Seconds of a step by stage: the parts that were timed, optimizer, and the rest (or less)."""
    found: dict[str, float] = {}
    for stage in PARTS:
        part = case.row(row_name(row.labels["model"], stage))
        if part is not None:
            times = row.figures["blocks"] if stage in PER_BLOCK else 1
            found[stage] = times * part.time_s["total"].mean
    found["optimizer"] = row.time_s["optimizer"].mean
    found["rest"] = row.time_s["total"].mean - sum(found.values())
    return found


def stage_table(record: BenchRecord) -> Table:
    """Milliseconds by stage, and what the stages leave of the step."""
    columns = [
        Column("case", "case"),
        Column("model", "model"),
        Column("forward_ms", "forward", Kind.NUMBER, digits=1, unit="ms"),
        Column("backward_ms", "backward", Kind.NUMBER, digits=1, unit="ms"),
        *(Column(f"{x}_ms", x, Kind.NUMBER, digits=1, unit="ms") for x in PARTS),
        Column("optimizer_ms", "optimizer", Kind.NUMBER, digits=1, unit="ms"),
        Column("rest_ms", "rest", Kind.NUMBER, digits=1, unit="ms"),
        Column("step_ms", "step", Kind.NUMBER, digits=1, unit="ms"),
        Column("attention_share", "attention, of product rate", Kind.PERCENT, digits=1),
        Column("projections_share", "projections", Kind.PERCENT, digits=1),
    ]
    cells: list[list[Value]] = []
    for case in record.cases:
        for row in steps(case):
            taken = stage_seconds(case, row)
            model = row.labels["model"]
            cells.append(
                [
                    case.name,
                    model,
                    1e3 * row.time_s["forward"].mean,
                    1e3 * row.time_s["backward"].mean,
                    *(_ms(taken.get(x)) for x in (*PARTS, "optimizer", "rest")),
                    1e3 * row.time_s["total"].mean,
                    *(_share_of(case, row_name(model, x)) for x in PER_BLOCK),
                ]
            )
    return Table("Time by stage", columns, cells, notes=STAGE_NOTES)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1e3 * seconds


def _share_of(case: Case, name: str) -> float | None:
    row = case.row(name)
    return None if row is None else _mean(row.share.get("total"))


def work_table(record: BenchRecord) -> Table:
    """FLOPs by part, their ratio to the base's, and bytes."""
    parts = ("embedding", "attention", "projections", "head")
    columns = [
        Column("case", "case"),
        Column("model", "model"),
        *(Column(f"{x}_gflops", x, Kind.FIGURE, 4, unit="GFLOP") for x in parts),
        Column("model_gflops", "all", Kind.FIGURE, 4, unit="GFLOP"),
        Column("hardware_gflops", "with recomputed", Kind.FIGURE, 4, unit="GFLOP"),
        Column("attention_ratio", "attention / base's", Kind.NUMBER, digits=4),
        Column("projections_ratio", "projections / base's", Kind.NUMBER, digits=4),
        Column("moved_mb", "bytes", Kind.COUNT, unit="MB"),
        *(Column(f"{x}_copy", f"{x}, of the copy", Kind.PERCENT, digits=1) for x in PER_BLOCK),
    ]
    cells: list[list[Value]] = []
    for case in record.cases:
        base = case.row(row_name(Request.of(record.settings).base, STEP))
        for row in steps(case):
            cells.append(
                [
                    case.name,
                    row.labels["model"],
                    *(_gflops(row, part) for part in parts),
                    sum(row.flops.values()) / 1e9,
                    sum(row.hardware_flops.values()) / 1e9,
                    *(_over(row, base, part) for part in PER_BLOCK),
                    sum(v for k, v in row.figures.items() if k.endswith("_bytes")) / 1e6,
                    *(_of_copy(case, row, part) for part in PER_BLOCK),
                ]
            )
    return Table("Work of a step", columns, cells, notes=WORK_NOTES)


def part_flops(row: Row, part: str) -> float:
    """Forward and backward FLOPs of a part of a step."""
    return sum(row.figures.get(f"{part}_{way}_flops", 0.0) for way in ("forward", "backward"))


def _gflops(row: Row, part: str) -> float | None:
    return part_flops(row, part) / 1e9 or None


def _over(row: Row, base: Row | None, part: str) -> float | None:
    below = 0.0 if base is None else part_flops(base, part)
    return part_flops(row, part) / below if below else None


def _of_copy(case: Case, row: Row, stage: str) -> float | None:
    part, copy = case.row(row_name(row.labels["model"], stage)), case.probe("copy")
    moved = row.figures.get(f"{stage}_bytes")
    if part is None or copy is None or not moved:
        return None
    return moved / (row.figures["blocks"] * part.time_s["total"].mean) / copy.rate


def regime_table(record: BenchRecord) -> Table:
    """What halving the tokens saves with few candidates, and in packed training."""
    columns = [
        Column("case", "case"),
        Column("name", "regime"),
        Column("interleaved", "tokens, interleaved", Kind.COUNT),
        Column("action", "tokens, one an event", Kind.COUNT),
        Column("attention", "attention", Kind.NUMBER, digits=4),
        Column("attention_dense", "attention, hidden cells too", Kind.NUMBER, digits=4),
        Column("projections", "projections", Kind.NUMBER, digits=4),
    ]
    cells: list[list[Value]] = [
        [name, *(kind[x] for x in REGIME_FIELDS)]
        for name, kinds in record.extra["regimes"].items()
        for kind in kinds
    ]
    return Table("Two regimes", columns, cells, notes=REGIME_NOTES)


def claims_table(record: BenchRecord) -> Table:
    """The checks, and what the single speed-ups predict for both changes together."""
    table = checks_table(record)
    notes = [
        f"{name}: the two changes alone predict {_speed(interval_of(both))} for both (a bias that "
        "costs ∝ L²; the published speeds: 1.96×)."
        for name, both in record.extra.get("predicted_speed", {}).items()
    ]
    return Table("Claims", table.columns, table.rows, notes=notes)


def _speed(found: Interval) -> str:
    """With its interval, where there is one."""
    value = f"{found.mean:.2f}×"
    if not math.isfinite(found.high - found.low):
        return f"{value} (too few rounds for an interval)"
    return f"{value} [{found.low:.2f}, {found.high:.2f}]"


def _warnings(record: BenchRecord) -> list[str]:
    found = [f"! {case.name}: {text}" for case in record.cases for text in case.warnings]
    found += [
        f"x {case.name}: {left.name} was left out: {left.reason}"
        for case in record.cases
        for left in case.left_out
    ]
    found += [f"? {m.name}: no peak memory: {m.reason}" for m in record.memory if m.reason]
    if record.interrupted:
        found.append("! interrupted: what is missing was not reached.")
    return found
