"""From timings to the rows of a record: medians, ratios, shares, and what could not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

from genrank_cli.bench.checks import Bar, Verdict, judge_bar
from genrank_cli.bench.machine import pace_warnings
from genrank_cli.bench.peak import Probe
from genrank_cli.bench.record import Check, LeftOut, ProbeRow, Row
from genrank_cli.bench.statistics import median_interval, outliers, ratio_interval
from genrank_cli.bench.timing import Timings
from genrank_cli.metrics.intervals import Interval


@dataclass(frozen=True)
class Spec:
    """A row before it is measured.

    ``flops``: model FLOPs of each timed part, of one run. ``bases``: rows that it is compared with
    where they ran, the first of them as its base. ``figures``: see `Row`.
    """

    name: str
    labels: Mapping[str, str]
    flops: Mapping[str, int]
    bases: tuple[str, ...] = ()
    figures: Mapping[str, float] = field(default_factory=dict)


def make_row(spec: Spec, timings: Timings, product: Probe | None) -> Row:
    """The row of a subject that ran; its share is of ``product``'s rate, where that ran too."""
    parts = timings.rounds_s[spec.name]
    series = parts | {"total": timings.total(spec.name)}
    works = {**spec.flops, "total": sum(spec.flops.values())}
    bases = [x for x in spec.bases if x in timings.rounds_s and x != spec.name]
    shares: dict[str, Interval] = {}
    if product is not None and product.subject.name in timings.rounds_s:
        limit = timings.total(product.subject.name)
        shares = {
            part: scaled(ratio_interval(limit, times), works[part] / product.amount)
            for part, times in series.items()
            if works.get(part)
        }
    return Row(
        name=spec.name,
        labels=dict(spec.labels),
        base=bases[0] if bases else None,
        repeats=timings.repeats[spec.name],
        rounds_s=parts,
        flops=dict(spec.flops),
        hardware_flops={},
        time_s={part: median_interval(times) for part, times in series.items()},
        ratio={x: ratio_interval(series["total"], timings.total(x)) for x in bases},
        share=shares,
        outliers=outliers(series["total"]),
        figures=dict(spec.figures),
    )


def scaled(interval: Interval, factor: float) -> Interval:
    """The interval in another unit, ``factor`` > 0 of it to the old one."""
    low, high = interval.low * factor, interval.high * factor
    return replace(interval, mean=interval.mean * factor, low=low, high=high)


def probe_row(probe: Probe, timings: Timings) -> ProbeRow:
    """What a limit of the machine was, in the same rounds."""
    times = timings.total(probe.subject.name)
    return ProbeRow(
        name=probe.subject.name,
        unit=probe.unit,
        amount=probe.amount,
        rounds_s=times,
        time_s=median_interval(times),
    )


def probe_rows(probes: Iterable[Probe], timings: Timings) -> list[ProbeRow]:
    """Of those probes that ran."""
    return [probe_row(x, timings) for x in probes if x.subject.name in timings.rounds_s]


def pace_of(product: Probe, timings: Timings) -> list[str]:
    """Whether the machine changed its pace; nothing is known where the product did not run."""
    name = product.subject.name
    return pace_warnings(timings.total(name)) if name in timings.rounds_s else []


def checked_bar(
    bar: Bar, case: str, measured: Interval | None, more: str = "--rounds", why: str = ""
) -> Check:
    """The verdict on what was measured, None: nothing.

    ``more``: the option that narrows the interval, for the reason of a "cannot tell"; ``why``: a
    better reason of that, or why nothing was measured.
    """
    verdict = judge_bar(bar, measured)
    reason = why if verdict in (Verdict.CANNOT_TELL, Verdict.NOT_TESTABLE) else ""
    if verdict is Verdict.CANNOT_TELL and not why and measured is not None:
        within = isfinite(measured.high - measured.low)
        found = "the bound lies within the interval" if within else "too few for an interval"
        reason = f"{found}: give more {more}"
    return Check(
        id=bar.id,
        text=bar.text,
        case=case,
        side=bar.side,
        bound=bar.bound,
        unit=bar.unit,
        measured=measured,
        verdict=verdict,
        reason=reason,
    )


def left_out_rows(names: Iterable[str], timings: Timings, *, expected: bool) -> list[LeftOut]:
    """Those of ``names`` that could not run, with the reason."""
    return [
        LeftOut(name=name, reason=timings.left_out[name], expected=expected)
        for name in names
        if name in timings.left_out
    ]
