"""A study's rows as points with intervals: AUC, the difference to the base, training speed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.html.build import Html, el
from genrank_cli.report.html.scale import Scale, scale
from genrank_cli.report.html.svg import BOTTOM, LETTER, RIGHT, TOP, WIDTH, Panel, cut, key, text
from genrank_cli.report.page_claims import is_plain
from genrank_cli.studies.record import RowResult, StudyRecord

ROW = 24.0
MOST_LABEL = 150.0

#: Series, that is colour and shape: variants, claims (a diamond), references (squares), the base.
VARIANT, CLAIM, REFERENCE, BASE = 0, 3, 1, 4


@dataclass(frozen=True)
class Entry:
    """One line of a panel; ``dots`` are the single seeds."""

    label: str
    series: int
    value: float
    low: float = math.nan
    high: float = math.nan
    dots: Sequence[float] = ()
    claim: float | None = None


def forest(record: StudyRecord) -> Html | None:
    """The figure of a study; None where it has no rows."""
    ordered = sorted(record.rows, key=lambda row: row.role == "reference")
    if not ordered:
        return None
    variants = [row for row in ordered if row.role != "reference"]
    panels = [_panel("Test AUC", "AUC", [_auc(row, record) for row in ordered], record.oracle_auc)]
    for title, name, zero, entry in (
        ("Difference to the base", "ΔAUC, 95 % interval over seeds", 0.0, _delta),
        ("Training speed", "events/s over the base's, 95 % interval", 1.0, _speed),
    ):
        entries = _entries(variants, record, entry)
        if entries:
            panels.append(_panel(title, name, entries, zero=zero))
    return el("figure", el("div", panels, class_="panels"), _caption(record), class_="chart forest")


def _entries(
    rows: Sequence[RowResult],
    record: StudyRecord,
    entry: Callable[[RowResult, StudyRecord], Entry | None],
) -> list[Entry]:
    found = [made for row in rows if (made := entry(row, record)) is not None]
    return found if len(found) > 1 else []


def _auc(row: RowResult, record: StudyRecord) -> Entry:
    mean = row.auc_mean
    return Entry(_name(row, record), _series(row, record), mean.mean, dots=row.auc)


def _delta(row: RowResult, record: StudyRecord) -> Entry | None:
    return _compared(row, record, row.delta_auc, 0.0, "auc")


def _speed(row: RowResult, record: StudyRecord) -> Entry | None:
    return _compared(row, record, row.speed_ratio, 1.0, "speed")


def _compared(
    row: RowResult, record: StudyRecord, effect: Interval | None, same: float, metric: str
) -> Entry | None:
    """A row beside the base, which is at ``same``; with what the paper reports of it."""
    if row.name == record.base:
        return Entry(_name(row, record), BASE, same)
    if effect is None or not math.isfinite(effect.mean):
        return None
    claim = _published(row, record, metric)
    return Entry(_name(row, record), VARIANT, effect.mean, effect.low, effect.high, claim=claim)


def _published(row: RowResult, record: StudyRecord, metric: str) -> float | None:
    """What the paper reports; a claim about another base, task or slice is no point on the axis."""
    published = (
        claim.reported
        for claim in record.claims
        if (claim.variant, claim.metric) == (row.name, metric) and is_plain(claim, record)
    )
    return next(published, None)


def _name(row: RowResult, record: StudyRecord) -> str:
    return f"{row.name} (base)" if row.name == record.base else row.name


def _series(row: RowResult, record: StudyRecord) -> int:
    if row.name == record.base:
        return BASE
    return REFERENCE if row.role == "reference" else VARIANT


def _panel(
    title: str,
    name: str,
    entries: Sequence[Entry],
    oracle: float | None = None,
    zero: float | None = None,
) -> Html:
    left = min(MOST_LABEL, LETTER * max(len(entry.label) for entry in entries)) + 8
    extra = [value for value in (oracle, zero) if value is not None]
    values = extra + [
        v for e in entries for v in (e.value, e.low, e.high, *e.dots, e.claim or e.value)
    ]
    bottom = TOP + ROW * len(entries)
    panel = Panel(
        title=title,
        x=scale(values, left, WIDTH - RIGHT),
        y=Scale(0, len(entries), TOP, bottom),
        x_name=name,
        height=bottom + BOTTOM,
    )
    for number, entry in enumerate(entries):
        _draw(panel, number + 0.5, entry, left)
    if zero is not None:
        panel.rule(zero, "zero")
    if oracle is not None:
        panel.rule(oracle, "oracle", f"oracle {oracle:.4f}")
    return panel.render(f"{title}: {', '.join(f'{e.label} {e.value:.4f}' for e in entries)}")


def _draw(panel: Panel, y: float, entry: Entry, left: float) -> None:
    panel.body.append(
        text(left - 8, panel.y.at(y) + 4, cut(entry.label, MOST_LABEL), "row-name", "end")
    )
    for dot in entry.dots:
        panel.body.append(
            el("circle", cx=panel.x.at(dot), cy=panel.y.at(y + 0.3), r=1.6, class_="dot")
        )
    if math.isfinite(entry.high - entry.low):
        panel.bar(entry.series, y, entry.low, entry.high)
    panel.point(entry.series, entry.value, y, f"{entry.label}: {entry.value:.4f}")
    if entry.claim is not None:
        panel.point(CLAIM, entry.claim, y, f"published: {entry.claim:g}")


def _caption(record: StudyRecord) -> Html:
    names = [(BASE, "base")]
    if any(row.role != "reference" and row.name != record.base for row in record.rows):
        names.append((VARIANT, "variant"))
    if any(row.role == "reference" for row in record.rows):
        names.append((REFERENCE, "reference"))
    if any(_published(row, record, metric) for row in record.rows for metric in ("auc", "speed")):
        names.append((CLAIM, "published"))
    return el("figcaption", key(names), "Small dots are single seeds.")
