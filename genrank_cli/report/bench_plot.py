"""Time per row as bars with intervals, a panel a case (PNG and SVG)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.report.figure import entitle, save, styled
from genrank_cli.training.environment import one_line

#: Told apart by people with colour-blindness; the hatch tells the dtypes apart, and in grey print.
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#999999")
HATCHES = ("", "////", "....")


def plot_times(record: BenchRecord, path: Path) -> list[Path]:
    """Milliseconds of every row: the forward pass dark, the backward pass pale behind it.

    ``path`` with the suffix ``.png`` or ``.svg`` is written; without a suffix both are. Returns
    the files. The line on a bar is the 95 % interval of the median of the whole.
    """
    names = list(dict.fromkeys(row.name for case in record.cases for row in case.rows))
    backends = list(dict.fromkeys(name.partition("/")[0] for name in names))
    with styled(4.2 * len(record.cases) + 2.2, 1.9 + 0.27 * len(names)) as figure:
        panels = figure.subplots(1, len(record.cases), sharey=True, squeeze=False)[0]
        for ax, case in zip(panels, record.cases, strict=True):
            _panel(ax, case, names, backends)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.5, -0.5)
        entitle(figure, record.title, one_line(record.environment).split(" · attention ")[0])
        handles = [Patch(color=_color(backends, name), label=name) for name in backends]
        handles.append(Patch(color="#555555", label="forward"))
        handles.append(Patch(color="#555555", alpha=0.4, label="backward"))
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 7))
        return save(figure, path)


def _panel(ax: Axes, case: Case, names: Sequence[str], backends: Sequence[str]) -> None:
    dtypes = list(dict.fromkeys(row.labels.get("dtype", "") for row in case.rows))
    for row in case.rows:
        color = _color(backends, row.name.partition("/")[0])
        hatch = HATCHES[dtypes.index(row.labels.get("dtype", "")) % len(HATCHES)]
        _bar(ax, names.index(row.name), row, color, hatch)
    ax.set_title(case.name)
    ax.set_xlabel("ms per run, median and 95 % interval")
    ax.set_xlim(left=0)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")


def _bar(ax: Axes, y: int, row: Row, color: str, hatch: str) -> None:
    total = row.time_s["total"]
    forward = row.time_s.get("forward", total)
    style: dict[str, Any] = {"color": color, "hatch": hatch, "edgecolor": "white", "linewidth": 0.0}
    ax.barh(y, 1e3 * total.mean, height=0.7, alpha=0.4, **style)
    ax.barh(y, 1e3 * forward.mean, height=0.7, **style)
    if math.isfinite(total.high - total.low):
        error = [[1e3 * (total.mean - total.low)], [1e3 * (total.high - total.mean)]]
        ax.errorbar(1e3 * total.mean, y, xerr=error, color="black", linewidth=1.2, capsize=2)


def _color(backends: Sequence[str], name: str) -> str:
    return COLORS[backends.index(name) % len(COLORS)]
