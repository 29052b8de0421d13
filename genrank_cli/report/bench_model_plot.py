"""``genrank bench`` as two panels: time by stage, and FLOPs by part (PNG and SVG)."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.report.bench_model import part_flops, stage_seconds, steps
from genrank_cli.report.figure import entitle, save, styled
from genrank_cli.training.environment import one_line

#: Told apart by people with colour-blindness, and by their hatch in grey print.
LOOKS = {
    "attention": ("#0072B2", ""),
    "projections": ("#E69F00", "////"),
    "embedding": ("#009E73", "...."),
    "head": ("#CC79A7", "xxxx"),
    "optimizer": ("#56B4E9", "\\\\\\\\"),
    "rest": ("#BBBBBB", ""),
}
FLOP_PARTS = ("attention", "projections", "embedding", "head")


def plot(record: BenchRecord, path: Path) -> list[Path]:
    """Bars of every model, a line of panels a case."""
    names = list(dict.fromkeys(row.labels["model"] for c in record.cases for row in steps(c)))
    height = 1.5 + 0.42 * len(names)
    with styled(10.5, height * len(record.cases) + 0.9) as figure:
        axes = figure.subplots(len(record.cases), 2, sharey="row", squeeze=False)
        for (left, right), case in zip(axes, record.cases, strict=True):
            _times(left, case, names)
            _flops(right, case, names)
            left.set_yticks(range(len(names)), names)
            left.set_ylim(len(names) - 0.5, -0.5)
        environment = one_line(record.environment).split(" · attention ")[0]
        entitle(figure, record.title, environment)
        handles = [
            Patch(facecolor=color, hatch=hatch, edgecolor="white", label=stage)
            for stage, (color, hatch) in LOOKS.items()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
        return save(figure, path)


def _label(case: Case) -> str:
    """What the bars are, what their speeds compare with, and which of them are scaled."""
    rows = list(steps(case))
    bases = dict.fromkeys(row.base.rpartition("/")[0] for row in rows if row.base)
    lines = ["ms, median and 95 % interval" + "".join(f"; 1.00×: {base}" for base in bases)]
    scaled = [row.labels["model"] for row in rows if stage_seconds(case, row)["rest"] < 0]
    if scaled:
        note = f"longer alone than in the step, so scaled to it: {', '.join(scaled)}"
        lines += textwrap.wrap(note, 60, break_on_hyphens=False)
    return "\n".join(lines)


def _times(ax: Axes, case: Case, names: Sequence[str]) -> None:
    for row in steps(case):
        y, total = names.index(row.labels["model"]), row.time_s["total"]
        taken = {stage: max(0.0, s) for stage, s in stage_seconds(case, row).items()}
        # Stages that are dearer alone than inside the step are drawn shorter: the bar is the step.
        scale = total.mean / sum(taken.values())
        _stack(ax, y, {stage: 1e3 * scale * s for stage, s in taken.items()})
        if math.isfinite(total.high - total.low):
            error = [[1e3 * (total.mean - total.low)], [1e3 * (total.high - total.mean)]]
            ax.errorbar(1e3 * total.mean, y, xerr=error, color="black", linewidth=1.2, capsize=2)
        end = total.high if math.isfinite(total.high) else total.mean
        ax.annotate(_speed(row), (1e3 * end, y), xytext=(6, 0),
                    textcoords="offset points", va="center", fontsize=8)  # fmt: skip
    _finish(ax, f"{case.name}: time of a training step", _label(case))


def _speed(row: Row) -> str:
    ratio = row.ratio.get(row.base) if row.base is not None else None
    return "" if ratio is None else f"{1 / ratio.mean:.2f}×"


def _flops(ax: Axes, case: Case, names: Sequence[str]) -> None:
    for row in steps(case):
        found = {part: part_flops(row, part) / 1e9 for part in FLOP_PARTS}
        _stack(ax, names.index(row.labels["model"]), found)
    _finish(ax, "its useful FLOPs", "GFLOP, forward and backward")


def _stack(ax: Axes, y: int, widths: Mapping[str, float]) -> None:
    left = 0.0
    for stage, (color, hatch) in LOOKS.items():
        width = widths.get(stage, 0.0)
        if width > 0:
            ax.barh(y, width, left=left, height=0.68, facecolor=color, hatch=hatch,
                    edgecolor="white", linewidth=0.0)  # fmt: skip
            left += width


def _finish(ax: Axes, title: str, label: str) -> None:
    ax.set_title(title)
    ax.set_xlabel(label)
    ax.set_xlim(left=0)
    ax.margins(x=0.12)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
