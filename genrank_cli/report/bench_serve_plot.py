"""Latency percentiles of every path, a panel a number of candidates (PNG and SVG)."""

from __future__ import annotations

import math
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from genrank_cli.bench.record import BenchRecord, Row
from genrank_cli.report.axes import number_decades
from genrank_cli.report.bench_plot import COLORS
from genrank_cli.report.figure import entitle, save, styled
from genrank_cli.training.environment import one_line

#: Percentile → how it is called, and its mark.
MARKS = {"total": ("P50", "o"), "p90": ("P90", "s"), "p99": ("P99", "D")}


def plot(record: BenchRecord, path: Path) -> list[Path]:
    """P50, P90 and P99 with their intervals, those that have one; the median's mark is filled."""
    names = list(dict.fromkeys(row.name for case in record.cases for row in case.rows))
    models = list(dict.fromkeys(name.partition("/")[0] for name in names))
    cases = [case for case in record.cases if case.rows]
    with styled(4.4 * len(cases) + 1.8, 2.0 + 0.27 * len(names)) as figure:
        panels = figure.subplots(1, len(cases), squeeze=False)[0]
        for ax, case in zip(panels, cases, strict=True):
            for place, row in enumerate(case.rows):
                _marks(ax, place, row, COLORS[models.index(row.labels["model"]) % len(COLORS)])
            labels = case.labels
            ax.set_title(f"{labels['history']} events, {labels['candidates']:,} candidates")
            ax.set_xscale("log")
            number_decades(ax.xaxis)
            ax.set_xlabel("ms per request")
            ax.set_yticks(range(len(case.rows)), [row.name for row in case.rows])
            ax.set_ylim(len(case.rows) - 0.5, -0.5)
            ax.tick_params(axis="y", length=0)
        entitle(figure, record.title, one_line(record.environment).split(" · attention ")[0])
        handles: list[Patch | Line2D] = [
            Patch(color=COLORS[number % len(COLORS)], label=name)
            for number, name in enumerate(models)
        ]
        handles += [
            Line2D([], [], color="#555555", linestyle="", marker=mark, label=name,
                   markerfacecolor="#555555" if name == "P50" else "white")
            for name, mark in MARKS.values()
        ]  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        return save(figure, path)


def drawn(row: Row) -> list[str]:
    """The percentiles that have an interval, as in the table; the median is always one of them."""
    times = row.time_s
    return [x for x in MARKS if x == "total" or math.isfinite(times[x].high - times[x].low)]


def _marks(ax: Axes, y: int, row: Row, color: str) -> None:
    keys = drawn(row)
    ends = [1e3 * row.time_s[key].mean for key in keys]
    ax.plot([min(ends), max(ends)], [y, y], color=color, alpha=0.35, linewidth=4)
    for key in keys:
        name, mark = MARKS[key]
        value = row.time_s[key]
        if math.isfinite(value.high - value.low):
            ax.plot([1e3 * value.low, 1e3 * value.high], [y, y], color=color, linewidth=1.2)
        fill = color if name == "P50" else "white"
        ax.plot(1e3 * value.mean, y, mark, color=color, markerfacecolor=fill, markersize=5)
