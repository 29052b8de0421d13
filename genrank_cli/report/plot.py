"""Plots of a study: differences with their intervals, and learning curves (PNG and SVG)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from genrank_cli.report.figure import entitle, save, styled
from genrank_cli.report.table import Interval

STYLE = Path(__file__).with_name("genrank.mplstyle")
METADATA = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}
VARIANT, BASE, REFERENCE, CLAIM, ORACLE = "#0072B2", "#000000", "#7F7F7F", "#D55E00", "#009E73"
LINE_STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class DifferenceRow:
    """One variant or reference of a study.

    ``auc_seeds`` in the order of the study's seeds; ``delta`` is the AUC minus the base's with its
    95 % interval over seeds; ``speed`` the training events/s over the base's; the claims are the
    published values of these two.
    """

    name: str
    auc_seeds: Sequence[float]
    delta: Interval | None = None
    speed: Interval | None = None
    claim_delta: float | None = None
    claim_speed: float | None = None
    is_base: bool = False
    is_reference: bool = False

    @property
    def auc_mean(self) -> float:
        return sum(self.auc_seeds) / len(self.auc_seeds)

    @property
    def color(self) -> str:
        if self.is_base:
            return BASE
        return REFERENCE if self.is_reference else VARIANT


@dataclass(frozen=True)
class LearningCurve:
    """Validation AUC of one run: ``x`` in epochs or seconds, one value per evaluation."""

    name: str
    seed: int
    x: Sequence[float]
    auc: Sequence[float]


def plot_differences(
    rows: Sequence[DifferenceRow],
    path: Path,
    *,
    title: str = "",
    subtitle: str = "",
    oracle: float | None = None,
) -> list[Path]:
    """Three panels over the same rows: test AUC, ΔAUC against the base, training speed ratio.

    ``path`` with the suffix ``.png`` or ``.svg`` is written; without a suffix both are. Returns the
    files. References stand below the variants and appear in the first panel only, on whose scale
    they fit. The panels of ΔAUC and speed are left out where no row has one.
    """
    ordered = [row for row in rows if not row.is_reference] + [r for r in rows if r.is_reference]
    base = next((row for row in rows if row.is_base), None)
    panels = [_draw_auc]
    variants = [row for row in ordered if not row.is_reference]
    if any(row.delta for row in variants):
        panels.append(_draw_delta)
    if any(row.speed for row in variants):
        panels.append(_draw_speed)
    with styled(3.1 * len(panels) + 1.2, 1.7 + 0.36 * len(ordered)) as figure:
        axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        for ax, draw in zip(axes, panels, strict=True):
            for y, row in enumerate(ordered):
                draw(ax, y, row, base)
            ax.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
            ax.tick_params(axis="y", length=0)
        if oracle is not None:
            axes[0].axvline(oracle, color=ORACLE, linestyle=":", linewidth=1.4)
        _label_rows(axes[0], ordered)
        entitle(figure, title, subtitle)
        _legend(figure, ordered, oracle, intervals=len(panels) > 1)
        return save(figure, path)


def plot_learning_curves(
    curves: Sequence[LearningCurve],
    path: Path,
    *,
    title: str = "",
    x_label: str = "epoch",
) -> list[Path]:
    """Validation AUC against epochs or seconds: one colour and line style a name, a line a seed.

    ``path`` as in `plot_differences`. Raises `ValueError` without curves.
    """
    if not curves:
        raise ValueError("no learning curves to draw")
    with styled(7.0, 4.0) as figure:
        ax = figure.subplots()
        for index, name in enumerate(dict.fromkeys(curve.name for curve in curves)):
            style = LINE_STYLES[index // 7 % len(LINE_STYLES)]
            for number, curve in enumerate(c for c in curves if c.name == name):
                ax.plot(
                    curve.x,
                    curve.auc,
                    color=f"C{index % 7}",
                    linestyle=style,
                    marker="o^sDvPX"[index % 7],
                    markevery=[-1],
                    markersize=4.5,
                    linewidth=1.0,
                    alpha=0.8,
                    label=None if number else name,
                )
        ax.set_xlabel(x_label)
        ax.set_ylabel("validation AUC")
        ax.xaxis.set_major_locator(MaxNLocator(8, integer=x_label == "epoch"))
        figure.legend(loc="outside right upper")
        entitle(figure, title, "one line per seed")
        return save(figure, path)


def _draw_auc(ax: Axes, y: float, row: DifferenceRow, base: DifferenceRow | None) -> None:
    _draw_seeds(ax, y, row.auc_seeds, row.color)
    ax.plot(row.auc_mean, y, "o", color=row.color, markersize=5)
    ax.set_title("Test AUC")
    ax.set_xlabel("AUC")


def _draw_delta(ax: Axes, y: float, row: DifferenceRow, base: DifferenceRow | None) -> None:
    ax.set_title("Difference to the base")
    ax.set_xlabel("ΔAUC, 95 % t-interval over seeds")
    _zero_line(ax, 0.0)
    if row.is_base:
        ax.plot(0.0, y, "o", color=BASE, markersize=5)
    elif row.delta and not row.is_reference:
        if base and len(base.auc_seeds) == len(row.auc_seeds):
            pairs = zip(row.auc_seeds, base.auc_seeds, strict=True)
            _draw_seeds(ax, y, [ours - theirs for ours, theirs in pairs], row.color)
        _draw_interval(ax, y, row.delta, row.color)
    if row.claim_delta is not None:
        ax.plot(row.claim_delta, y, "D", markerfacecolor="none", color=CLAIM, markersize=7)


def _draw_speed(ax: Axes, y: float, row: DifferenceRow, base: DifferenceRow | None) -> None:
    ax.set_title("Training speed")
    ax.set_xlabel("events/s, ratio to the base, 95 % interval")
    _zero_line(ax, 1.0)
    if row.is_base:
        ax.plot(1.0, y, "o", color=BASE, markersize=5)
    elif row.speed and not row.is_reference:
        _draw_interval(ax, y, row.speed, row.color)
    if row.claim_speed is not None:
        ax.plot(row.claim_speed, y, "D", markerfacecolor="none", color=CLAIM, markersize=7)


def _draw_seeds(ax: Axes, y: float, values: Sequence[float], color: str) -> None:
    """A dot per seed, a little below the row's line."""
    ax.plot(values, [y + 0.22] * len(values), ".", color=color, alpha=0.6, markersize=4)


def _draw_interval(ax: Axes, y: float, interval: Interval, color: str) -> None:
    below, above = interval.value - interval.low, interval.high - interval.value
    ax.errorbar(interval.value, y, xerr=[[below], [above]], fmt="o", color=color, markersize=5)


def _zero_line(ax: Axes, x: float) -> None:
    if not ax.lines:
        ax.axvline(x, color=BASE, linewidth=0.8)


def _label_rows(ax: Axes, rows: Sequence[DifferenceRow]) -> None:
    """Row names at the left, the first on top, a gap line above the references."""
    names = [f"{row.name} (base)" if row.is_base else row.name for row in rows]
    ax.set_yticks(range(len(rows)), names)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    first = next((y for y, row in enumerate(rows) if row.is_reference), None)
    if first:
        for panel in ax.figure.axes:
            panel.axhline(first - 0.5, color=REFERENCE, linewidth=0.8, linestyle=(0, (4, 3)))


def _legend(
    figure: Figure, rows: Sequence[DifferenceRow], oracle: float | None, intervals: bool
) -> None:
    """What the marks mean, below the panels, off the data."""
    mean = Line2D([], [], color=VARIANT, marker="o", linestyle="-" if intervals else "")
    handles = [(mean, "mean and interval" if intervals else "mean")]
    handles.append(
        (Line2D([], [], color=VARIANT, marker=".", linestyle="", markersize=4), "a seed")
    )
    if any(row.claim_delta is not None or row.claim_speed is not None for row in rows):
        claim = Line2D([], [], color=CLAIM, marker="D", linestyle="", markerfacecolor="none")
        handles.append((claim, "published claim"))
    if any(row.is_reference for row in rows):
        handles.append((Line2D([], [], color=REFERENCE, marker="o", linestyle=""), "reference"))
    if oracle is not None:
        handles.append((Line2D([], [], color=ORACLE, linestyle=":"), f"oracle {oracle:.4f}"))
    marks, texts = zip(*handles, strict=True)
    figure.legend(marks, texts, loc="outside lower center", ncols=len(handles))
