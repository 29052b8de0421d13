"""A comparison of two records as a table, and as a plot of ratios."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.lines import Line2D

from genrank_cli.bench.compare.result import (
    DISTURBED,
    FASTER,
    SAME,
    SLOWER,
    SYMBOLS,
    Change,
    Comparison,
)
from genrank_cli.report.axes import number_decades
from genrank_cli.report.bench import shown
from genrank_cli.report.figure import entitle, save, styled
from genrank_cli.report.table import Column, Interval, Kind, Table, Value
from genrank_cli.training.environment import one_line

NOTES = (
    "New / old: median of all pairs of rounds, 95 % interval (rank sum). A difference needs 2 % "
    "and a 99 % interval without 1: who compares many rows meets chance often. Of a P99 it is the "
    "ratio of two order statistics with the interval shown, which holds with 95 % or more.",
    "time / product: over a fixed matrix product in the same rounds; time / a row: over its base. "
    "Where a run was disturbed or the product itself changed its pace, only the latter is judged.",
)
SECONDS = ("time", "P99")
COLORS = {FASTER: "#009E73", SLOWER: "#D55E00", SAME: "#333333", DISTURBED: "#AAAAAA"}
MARKS = ("o", "s", "D", "^")


def table(found: Comparison) -> Table:
    """One line per row and quantity."""
    columns = [
        Column("case", "case"),
        Column("row", "row"),
        Column("quantity", "quantity"),
        Column("old", "old"),
        Column("new", "new"),
        Column("ratio", "new / old", Kind.RATIO, digits=3),
        Column("smallest", "could have seen", Kind.PERCENT, digits=1),
        Column("verdict", "verdict"),
    ]
    starts = [
        number
        for number, change in enumerate(found.changes)
        if number and change.row != found.changes[number - 1].row
    ]
    return Table(
        title=f"What changed from {found.old} to {found.new} ({found.bench})",
        columns=columns,
        rows=[_cells(change) for change in found.changes],
        header=[*machines(found), *header(found)],
        notes=NOTES,
        breaks=frozenset(starts),
    )


def machines(found: Comparison) -> list[str]:
    """What the records were measured on."""
    names = (found.old, found.new)
    return [f"{x}: {one_line(block)}" for x, block in zip(names, found.environments, strict=True)]


def header(found: Comparison) -> list[str]:
    """What differs beside times, and how many quantities changed."""
    counts = ", ".join(
        f"{SYMBOLS[verdict]} {count} {verdict}"
        for verdict in SYMBOLS
        if (count := found.count(verdict))
    )
    lines = [f"{len(found.changes)} quantities: {counts}"]
    if found.machine:
        lines.append(
            "! DIFFERENT MACHINES, compared because it was asked for: times say nothing of the "
            f"program: {_listed(found.machine)}"
        )
    for name, block in (("settings", found.settings), ("versions", found.versions)):
        if block:
            lines.append(f"{name} that differ: {_listed(block)}")
    if found.work:
        lines.append(f"! other work (FLOPs): {_listed(found.work)}")
    if found.checks:
        lines.append(f"checks: {_listed(found.checks)}")
    for where, names in (("old", found.only_old), ("new", found.only_new)):
        if names:
            lines.append(f"in the {where} record only: {', '.join(names)}")
    return lines


def _listed(block: dict[str, list[str]] | dict[str, list[int]]) -> str:
    return "; ".join(f"{name}: {a} → {b}" for name, (a, b) in block.items())


def _cells(change: Change) -> list[Value]:
    return [
        change.case,
        change.row,
        change.quantity,
        _figure(change, "old"),
        _figure(change, "new"),
        shown(change.ratio),
        change.smallest,
        f"{SYMBOLS[change.verdict]} {change.verdict}",
    ]


def _figure(change: Change, side: str) -> str:
    """Milliseconds or a ratio, with its interval."""
    seconds = change.quantity in SECONDS
    column = Column("", "", Kind.NUMBER if seconds else Kind.RATIO, digits=2 if seconds else 3)
    text = column.format(_interval(getattr(change, side), 1e3 if seconds else 1.0))
    return f"{text} ms" if seconds else text


def _interval(value: object, factor: float) -> Interval | None:
    return shown(value, factor)  # type: ignore[arg-type]


def plot(found: Comparison, path: Path) -> list[Path]:
    """New / old of every row and quantity, the line at 1; a mark a quantity, a colour a verdict."""
    rows = list(dict.fromkeys((change.case, change.row) for change in found.changes))
    kinds = list(dict.fromkeys(_kind(change) for change in found.changes))
    with styled(7.5, 1.9 + 0.3 * len(rows)) as figure:
        ax = figure.subplots()
        ax.axvline(1.0, color="black", linewidth=0.8)
        for change in found.changes:
            place = kinds.index(_kind(change))
            y = rows.index((change.case, change.row)) + 0.2 * (place - (len(kinds) - 1) / 2)
            color = COLORS.get(change.verdict, "#999999")
            ratio = change.ratio
            if math.isfinite(ratio.high - ratio.low):
                ax.plot([ratio.low, ratio.high], [y, y], color=color, linewidth=1.2)
            ax.plot(ratio.mean, y, MARKS[place % len(MARKS)], color=color, markersize=4)
        several = len({case for case, _ in rows}) > 1
        ax.set_yticks(range(len(rows)), [f"{c} {r}" if several else r for c, r in rows])
        ax.set_ylim(len(rows) - 0.5, -0.5)
        ax.set_xscale("log")
        number_decades(ax.xaxis)
        ax.set_xlabel("new / old, 95 % interval: below 1 is faster")
        ax.tick_params(axis="y", length=0)
        entitle(figure, f"{found.old} to {found.new}", header(found)[0])
        handles = [Line2D([], [], color="#555555", linestyle="", marker=MARKS[n % len(MARKS)],
                          label=kind) for n, kind in enumerate(kinds)]  # fmt: skip
        handles += [Line2D([], [], color=color, label=name) for name, color in COLORS.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        return save(figure, path)


def _kind(change: Change) -> str:
    """Quantities of one kind, whatever a row's base is called."""
    if not change.quantity.startswith("time / "):
        return change.quantity
    return "time / product" if change.quantity.startswith("time / product/") else "time / base"
