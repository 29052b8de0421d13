"""A sweep as three panels: time, FLOPs, and the roofline (PNG and SVG)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.report.axes import number_decades
from genrank_cli.report.bench_plot import COLORS
from genrank_cli.report.bench_sweep import COPY, PRODUCT, intensity, roof, unit
from genrank_cli.report.figure import entitle, save, styled
from genrank_cli.training.environment import one_line

#: Stage → its line and mark; models differ by colour.
STYLES: dict[str, tuple[Any, str]] = {
    "step": ("-", "o"),
    "attention": ("--", "s"),
    "projections": (":", "D"),
}


def plot(record: BenchRecord, path: Path) -> list[Path]:
    """Time with intervals and FLOPs against the value; rates against intensity under the roof."""
    case = record.cases[0]
    models = list(dict.fromkeys(row.labels["model"] for row in case.rows))
    colors = {model: COLORS[number % len(COLORS)] for number, model in enumerate(models)}
    limits = case.probe(PRODUCT), case.probe(COPY)
    dots = [] if None in limits else [row for row in case.rows if intensity(row)]
    panels = 3 if dots else 2
    with styled(3.7 * panels + 0.6, 4.3) as figure:
        axes = figure.subplots(1, panels)
        _time(axes[0], case, colors)
        _flops(axes[1], case, colors)
        for ax in axes[:2]:
            ax.set_xlabel(unit(record))
            _log(ax)
            ax.set_xticks(sorted({row.figures["value"] for row in case.rows}))
            ax.minorticks_off()
        if dots:
            _roofline(axes[2], case, dots, colors)
        entitle(figure, record.title, one_line(record.environment).split(" · attention ")[0])
        figure.legend(
            handles=_handles(case, colors), loc="outside lower center", ncols=len(models) + 4
        )
        return save(figure, path)


def _time(ax: Axes, case: Case, colors: dict[str, str]) -> None:
    for rows in _lines(case):
        line, mark = STYLES[rows[0].labels["stage"]]
        times = [row.time_s["total"] for row in rows]
        low, high = (
            [1e3 * abs(getattr(t, end) - t.mean) for t in times] for end in ("low", "high")
        )
        known = all(map(math.isfinite, [*low, *high]))
        ax.errorbar(
            [row.figures["value"] for row in rows],
            [1e3 * t.mean for t in times],
            yerr=[low, high] if known else None,
            color=colors[rows[0].labels["model"]],
            linestyle=line, marker=mark, markersize=4, capsize=2,
        )  # fmt: skip
    ax.set_title("Time")
    ax.set_ylabel("ms, forward + backward")


def _flops(ax: Axes, case: Case, colors: dict[str, str]) -> None:
    for rows in _lines(case):
        line, mark = STYLES[rows[0].labels["stage"]]
        ax.plot(
            [row.figures["value"] for row in rows],
            [sum(row.flops.values()) / 1e9 for row in rows],
            color=colors[rows[0].labels["model"]],
            linestyle=line, marker=mark, markersize=4,
        )  # fmt: skip
    ax.set_title("Model FLOPs")
    ax.set_ylabel("GFLOP, forward + backward")


def _roofline(ax: Axes, case: Case, dots: list[Row], colors: dict[str, str]) -> None:
    """One dot a row, larger for larger values; the roof is what was measured in the same rounds."""
    product, copy = case.probe(PRODUCT), case.probe(COPY)
    assert product is not None
    assert copy is not None
    places = [intensity(row) or 1.0 for row in dots]
    ridge = product.rate / copy.rate
    xs = np.geomspace(min(*places, ridge) / 2, max(*places, ridge) * 2, 200)
    ax.plot(xs, [(roof(case, x) or 0.0) / 1e9 for x in xs], color="black", linewidth=1.2)
    largest = max(row.figures["value"] for row in dots)
    for place, row in zip(places, dots, strict=True):
        size = 3.5 + 4 * math.sqrt(row.figures["value"] / largest)
        ax.plot(place, (row.flops_per_s("total") or 0.0) / 1e9, STYLES[row.labels["stage"]][1],
                color=colors[row.labels["model"]], markersize=size, alpha=0.8)  # fmt: skip
    _log(ax)
    ax.set_title("Roofline")
    ax.set_xlabel("FLOP per byte that must be moved")
    ax.set_ylabel("GFLOP/s")


def _lines(case: Case) -> list[list[Row]]:
    """Rows of each model and stage, by value."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(case.rows, key=lambda row: row.figures["value"]):
        found.setdefault((row.labels["model"], row.labels["stage"]), []).append(row)
    return list(found.values())


def _log(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        number_decades(axis)


def _handles(case: Case, colors: dict[str, str]) -> list[Line2D]:
    stages = dict.fromkeys(row.labels["stage"] for row in case.rows)
    models = [Line2D([], [], color=color, label=name) for name, color in colors.items()]
    return models + [
        Line2D([], [], color="#555555", linestyle=STYLES[stage][0], marker=STYLES[stage][1],
               markersize=4, label=stage)
        for stage in stages
    ]  # fmt: skip
