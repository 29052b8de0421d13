"""What all charts share: a panel with axes, marks that differ in shape as well as colour, keys.

Text stays text (it can be searched and read aloud), and a panel is as wide as a phone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from genrank_cli.report.html.build import Html, el, join
from genrank_cli.report.html.scale import Scale, tick_texts

WIDTH = 344.0
TOP = 26.0  # room for a panel's title
BOTTOM = 40.0  # for the ticks and the axis' name
RIGHT = 20.0
LETTER = 6.1  # average width of a letter at 11 px

#: Shapes inside a square of ±1; the last two are drawn as strokes.
SHAPES = (
    "M-1,0A1,1 0 1 1 1,0A1,1 0 1 1 -1,0Z",
    "M-.9,-.9H.9V.9H-.9Z",
    "M0,-1.1L1.1,.9H-1.1Z",
    "M0,-1.25L1.25,0L0,1.25L-1.25,0Z",
    "M0,1.1L1.1,-.9H-1.1Z",
    "M-1,-1L1,1M-1,1L1,-1",
    "M-1.2,0H1.2M0,-1.2V1.2",
)
STROKED = (5, 6)
DASHES = (None, "5 3", "1.5 2.5", "7 3 1.5 3")


@dataclass
class Panel:
    """One chart: ``x`` and ``y`` map values to pixels; ``body`` is drawn above the grid."""

    title: str
    x: Scale
    y: Scale
    x_name: str
    height: float
    y_name: str = ""
    body: list[Html] = field(default_factory=list)

    def point(self, series: int, x: float, y: float, title: str = "") -> None:
        """A mark at the values ``x``, ``y``."""
        self.body.append(mark(series, self.x.at(x), self.y.at(y), title))

    def bar(self, series: int, y: float, low: float, high: float) -> None:
        """A horizontal interval."""
        self.body.append(
            el(
                "line",
                x1=self.x.at(low),
                x2=self.x.at(high),
                y1=self.y.at(y),
                y2=self.y.at(y),
                class_=f"whisker s{series % 7}",
            )
        )

    def stem(self, series: int, x: float, low: float, high: float) -> None:
        """A vertical interval."""
        self.body.append(
            el(
                "line",
                x1=self.x.at(x),
                x2=self.x.at(x),
                y1=self.y.at(low),
                y2=self.y.at(high),
                class_=f"whisker s{series % 7}",
            )
        )

    def line(self, series: int, points: Iterable[tuple[float, float]], thin: bool = False) -> None:
        """A line through values."""
        d = "M" + "L".join(f"{self.x.at(x):.1f},{self.y.at(y):.1f}" for x, y in points)
        dash = DASHES[series // 7 % len(DASHES)]
        kind = f"curve s{series % 7}{' thin' if thin else ''}"
        self.body.append(el("path", d=d, class_=kind, stroke_dasharray=dash))

    def rule(self, x: float, kind: str, name: str = "") -> None:
        """A vertical line at the value ``x``, with its name at the top."""
        place, top, bottom = self.x.at(x), min(self.y.start, self.y.end), self.bottom
        self.body.insert(0, el("line", x1=place, x2=place, y1=top, y2=bottom, class_=kind))
        if name:
            late = place > self.x.start + 0.6 * (self.x.end - self.x.start)
            self.body.append(text(place, top - 4, name, f"{kind}-name", "end" if late else "start"))

    @property
    def bottom(self) -> float:
        return max(self.y.start, self.y.end)

    def render(self, described: str) -> Html:
        """The panel as SVG; ``described`` is what a screen reader says."""
        return el(
            "svg",
            el("title", described),
            text(0, 13, self.title, "panel-title"),
            x_axis(self.x, min(self.y.start, self.y.end), self.bottom, self.x_name),
            y_axis(self.y, self.x.start, self.x.end) if self.y_name else None,
            text(0, 13, self.y_name, "axis-name", "start", 13) if self.y_name else None,
            join(self.body),
            viewBox=f"0 0 {WIDTH:.0f} {self.height:.0f}",
            width=WIDTH,
            height=self.height,
            role="img",
        )


def mark(series: int, x: float, y: float, title: str = "", size: float = 4.2) -> Html:
    """The mark of a series: after seven colours the shapes are dealt anew."""
    shape = (series + series // 7) % 7
    return el(
        "path",
        el("title", title) if title else None,
        d=SHAPES[shape],
        transform=f"translate({x:.1f} {y:.1f}) scale({size})",
        class_=f"{'cross' if shape in STROKED else 'mark'} s{series % 7}",
    )


def text(x: float, y: float, words: str, kind: str, anchor: str = "start", dy: float = 0.0) -> Html:
    """Words at a place."""
    return el("text", words, x=x, y=y + dy, class_=kind, text_anchor=anchor)


def x_axis(axis: Scale, top: float, bottom: float, name: str) -> Html:
    """Vertical grid lines with their values, and the axis' name below."""
    ticks = axis.ticks(5)
    parts = []
    for value, words in zip(ticks, tick_texts(axis, ticks), strict=True):
        place = axis.at(value)
        parts.append(el("line", x1=place, x2=place, y1=top, y2=bottom, class_="grid"))
        parts.append(text(place, bottom + 13, words, "tick", "middle"))
    parts.append(el("line", x1=axis.start, x2=axis.end, y1=bottom, y2=bottom, class_="axis"))
    parts.append(text((axis.start + axis.end) / 2, bottom + 30, name, "axis-name", "middle"))
    return join(parts)


def y_axis(axis: Scale, left: float, right: float) -> Html:
    """Horizontal grid lines with their values."""
    ticks = axis.ticks(5)
    parts = []
    for value, words in zip(ticks, tick_texts(axis, ticks), strict=True):
        place = axis.at(value)
        parts.append(el("line", x1=left, x2=right, y1=place, y2=place, class_="grid"))
        parts.append(text(left - 5, place + 3.5, words, "tick", "end"))
    return join(parts)


def key(names: Sequence[tuple[int, str]]) -> Html:
    """The legend: a list of marks and names."""
    return el(
        "ul",
        [el("li", _swatch(series), name) for series, name in names],
        class_="key",
    )


def _swatch(series: int) -> Html:
    dash = DASHES[series // 7 % len(DASHES)]
    return el(
        "svg",
        el("path", d="M0,6H26", class_=f"curve s{series % 7}", stroke_dasharray=dash),
        mark(series, 13, 6),
        width=26,
        height=12,
        viewBox="0 0 26 12",
        aria_hidden="true",
    )


def cut(words: str, width: float) -> str:
    """``words``, shortened to about ``width`` pixels."""
    most = max(4, int(width / LETTER))
    return words if len(words) <= most else words[: most - 1] + "…"
