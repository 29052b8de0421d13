"""Charts of runs: learning curves, and AUC against what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from genrank_cli.report.html.build import Child, Html, el
from genrank_cli.report.html.scale import scale
from genrank_cli.report.html.svg import BOTTOM, RIGHT, TOP, WIDTH, Panel, key
from genrank_cli.report.page_runs import Curve, Curves
from genrank_cli.studies.record import RowResult, StudyRecord

LEFT = 46.0
HEIGHT = 250.0
HEAD = TOP + 14  # the vertical axis' name stands above it


def chart(panels: Sequence[Html], *caption: Child, kind: str = "") -> Html:
    """Panels beside each other where there is room, and what is said below them."""
    return el(
        "figure",
        el("div", panels, class_="panels"),
        el("figcaption", *caption),
        class_=f"chart {kind}".strip(),
    )


def learning(curves: Curves, series: Mapping[str, int]) -> Html | None:
    """Validation AUC by epoch and by training seconds; None where no run folder was found."""
    if not curves.curves:
        return None
    drawn = curves.curves
    panels = [
        _learning("By epoch", "epoch", drawn, series, lambda curve: curve.epoch),
        _learning("By cost", "training seconds", drawn, series, lambda curve: curve.train_s),
    ]
    names = list(dict.fromkeys(curve.row for curve in drawn))
    missing = curves.named - curves.found
    words = "Validation AUC after each epoch, a line per seed."
    if missing:
        words += f" {curves.found} of {curves.named} run folders were found."
    return chart(panels, key([(series[name], name) for name in names]), words)


def _learning(
    title: str,
    name: str,
    curves: Sequence[Curve],
    series: Mapping[str, int],
    along: Callable[[Curve], Sequence[float]],
) -> Html:
    panel = xy_panel(
        title,
        (name, [x for curve in curves for x in along(curve)], False),
        ("validation AUC", [auc for curve in curves for auc in curve.auc], False),
    )
    for curve in curves:
        number = series[curve.row]
        points = list(zip(along(curve), curve.auc, strict=True))
        panel.line(number, points, thin=True)
        panel.point(number, *points[-1], f"{curve.row}, seed {curve.seed}: {curve.auc[-1]:.4f}")
    names = dict.fromkeys(curve.row for curve in curves)
    return panel.render(f"Validation AUC, {title.lower()}, of {', '.join(names)}")


def series_of(record: StudyRecord) -> dict[str, int]:
    """A row's colour and shape: the same in all charts of a record."""
    return {row.name: number for number, row in enumerate(record.rows)}


def cost(record: StudyRecord, series: Mapping[str, int]) -> Html | None:
    """Test AUC against training seconds, events per second and parameters."""
    rows = [row for row in record.rows if math.isfinite(row.auc_mean.mean)]
    names = [row.name for row in rows if any(axis.of(row) for axis in AXES)]
    panels = [
        _cost(axis, drawn, series)
        for axis in AXES
        if len(drawn := [row for row in rows if axis.of(row)]) > 1
    ]
    if not panels:
        return None
    words = "Test AUC, mean and 95 % interval over seeds. What trains nothing is left out."
    return chart(panels, key([(series[name], name) for name in names]), words)


@dataclass(frozen=True)
class CostAxis:
    """One measure of cost, and its value for a row (None or 0: there is none)."""

    title: str
    name: str
    of: Callable[[RowResult], float | None]
    log: bool = True


def _mean_seconds(row: RowResult) -> float | None:
    return sum(row.train_s) / len(row.train_s) if row.train_s else None


AXES = (
    CostAxis("AUC against training time", "seconds a run, mean over seeds", _mean_seconds),
    CostAxis("AUC against speed", "training events/s", lambda row: row.events_per_s),
    CostAxis("AUC against size", "parameters", lambda row: row.parameters),
)


def _cost(axis: CostAxis, rows: Sequence[RowResult], series: Mapping[str, int]) -> Html:
    bounds = [v for row in rows for v in (row.auc_mean.mean, row.auc_mean.low, row.auc_mean.high)]
    places = [axis.of(row) or math.nan for row in rows]
    panel = xy_panel(axis.title, (axis.name, places, axis.log), ("test AUC", bounds, False))
    for row, x in zip(rows, places, strict=True):
        number, auc = series[row.name], row.auc_mean
        if math.isfinite(auc.high - auc.low):
            panel.stem(number, x, auc.low, auc.high)
        panel.point(number, x, auc.mean, f"{row.name}: {auc.mean:.4f}, {axis.name} {x:,.0f}")
    return panel.render(f"{axis.title}: {', '.join(row.name for row in rows)}")


def xy_panel(
    title: str,
    x: tuple[str, Sequence[float], bool],
    y: tuple[str, Sequence[float], bool],
) -> Panel:
    """An empty panel that holds the values; an axis is its name, its values, and whether log."""
    return Panel(
        title=title,
        x=scale(x[1], LEFT, WIDTH - RIGHT, log=x[2], pad=0.08),
        y=scale(y[1], HEIGHT - BOTTOM, HEAD, log=y[2], pad=0.08),
        x_name=x[0],
        y_name=y[0],
        height=HEIGHT,
    )
