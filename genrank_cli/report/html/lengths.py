"""Cost against length: times of a bench's rows over the lengths, or what else it swept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.html.build import Html
from genrank_cli.report.html.charts import chart, xy_panel
from genrank_cli.report.html.svg import Panel, key

#: What a length is called in a case's labels, the most telling first.
LENGTHS = ("seq_len", "length", "history", "tokens", "candidates", "batch_size")

#: Rows of different work have a panel each, and a line is one of its models.
STAGE, MODEL = "stage", "model"

#: What splits the rows of a crowded chart, and how many lines are not yet a crowd.
SPLITS = ("dtype", "bias")
MOST_LINES = 7

#: The lengths themselves are the ticks where they are this few.
MOST_TICKS = 5


@dataclass(frozen=True)
class Point:
    """The median time of a row at one length; ``panel`` and ``line`` say where it is drawn."""

    panel: str
    line: str
    length: float
    time: Interval


def lengths(record: BenchRecord) -> Html | None:
    """Milliseconds against length, a panel a kind of row; None where only one length was run."""
    along, points = _swept(record) if "over" in record.settings else _by_case(record)
    points = [p for p in points if math.isfinite(p.time.mean) and p.time.mean > 0]
    if len({point.length for point in points}) < 2:
        return None
    names = list(dict.fromkeys(point.line for point in points))
    series = {name: number for number, name in enumerate(names)}
    titles = dict.fromkeys(point.panel for point in points)
    drawn = [_panel(t, along, [p for p in points if p.panel == t], series) for t in titles]
    words = f"Milliseconds of a whole run (median and its 95 % interval) against {along}."
    return chart(drawn, key(list(enumerate(names))), words)


def _swept(record: BenchRecord) -> tuple[str, list[Point]]:
    """Points of a sweep, whose rows hold the value that they were measured at."""
    points = [
        Point(
            panel=row.labels.get(STAGE, case.name),
            line=row.labels.get(MODEL, row.name),
            length=row.figures["value"],
            time=row.time_s["total"],
        )
        for case in record.cases
        for row in case.rows
        if row.figures.get("value", 0) > 0
    ]
    return str(record.settings["over"]), points


def _by_case(record: BenchRecord) -> tuple[str, list[Point]]:
    """Points of a bench whose cases have different shapes."""
    varying = [k for k in _labels(record.cases) if len(_values(record.cases, k)) > 1]
    along = next((k for k in LENGTHS if k in varying), "")
    free = [k for k in varying if k != along and not _follows(record.cases, k, along)]
    splits = _splits(record.cases)
    points = []
    for case in record.cases:
        others = [f"{k} {case.labels.get(k)}" for k in free]
        for row in case.rows if along in case.labels else []:
            kinds = [row.labels[k] for k in splits if k in row.labels]
            title = ", ".join([*others, *kinds]) or "all rows"
            length = float(case.labels[along])
            said = {*kinds, str(case.labels[along])}
            line = row.labels[MODEL] if {STAGE, MODEL} <= row.labels.keys() else _stem(row, said)
            points.append(Point(title, line, length, row.time_s["total"]))
    return along, points


def _follows(cases: Sequence[Case], label: str, along: str) -> bool:
    """Whether a label has one value at each length, so that it tells no two cases apart."""
    pairs = {(case.labels.get(along), case.labels.get(label)) for case in cases}
    return len(pairs) == len(_values(cases, along))


def _splits(cases: Sequence[Case]) -> list[str]:
    """The labels that rows are parted by, so that no panel is crowded."""
    staged = any(STAGE in row.labels for case in cases for row in case.rows)
    chosen = [STAGE] if staged else []
    for label in SPLITS:
        if max((_crowd(case.rows, chosen) for case in cases), default=0) > MOST_LINES:
            chosen.append(label)
    return chosen


def _crowd(rows: Sequence[Row], splits: Sequence[str]) -> int:
    """The most rows that share the labels ``splits``."""
    kinds = [tuple(row.labels.get(label) for label in splits) for row in rows]
    return max(map(kinds.count, kinds), default=0)


def _stem(row: Row, said: set[str]) -> str:
    """A row's name without what its panel's title and the axis say."""
    return "/".join(part for part in row.name.split("/") if part not in said) or row.name


def _panel(title: str, along: str, found: Sequence[Point], series: Mapping[str, int]) -> Html:
    values = [1e3 * v for p in found for v in (p.time.mean, p.time.low, p.time.high)]
    places = [point.length for point in found]
    panel = xy_panel(title, (along, places, True), ("ms", values, True))
    if len(set(places)) <= MOST_TICKS:
        panel.x = replace(panel.x, marks=tuple(sorted(set(places))))
    lines = list(dict.fromkeys(point.line for point in found))
    for name in lines:
        own = sorted((p for p in found if p.line == name), key=lambda p: p.length)
        _draw(panel, series[name], own)
    return panel.render(f"Time against {along}, {title}: {', '.join(lines)}")


def _draw(panel: Panel, series: int, own: Sequence[Point]) -> None:
    panel.line(series, [(p.length, 1e3 * p.time.mean) for p in own])
    for p in own:
        ms = 1e3 * p.time.mean
        if math.isfinite(p.time.high - p.time.low):
            panel.stem(series, p.length, 1e3 * p.time.low, 1e3 * p.time.high)
        panel.point(series, p.length, ms, f"{p.line}, {p.length:,.0f}: {ms:.3g} ms")


def _labels(cases: Sequence[Case]) -> list[str]:
    return list(dict.fromkeys(key for case in cases for key in case.labels))


def _values(cases: Sequence[Case], label: str) -> set[int | None]:
    return {case.labels.get(label) for case in cases}
