"""The numbers that claims are judged by: one value a seed, or a timing round, for each row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from genrank_cli.studies.claims import EXACT, Claim
from genrank_cli.studies.speed import Speed
from genrank_cli.training.run import Record

Values = dict[int, float]
Terms = list[tuple[float, Values]]
Sliced = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Measurements:
    """What was measured of a study's rows; whatever is missing is an empty mapping.

    ``records``  row → seed → the run's record
    ``task``     the main task
    ``slices``   row → seed → ``cold`` or ``warm`` → metric → value
    ``flops``    row → part → forward FLOPs of one request
    """

    records: Mapping[str, Mapping[int, Record]]
    task: str
    speed: Speed | None = None
    slices: Mapping[str, Mapping[int, Sliced]] = field(default_factory=dict)
    flops: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def metric(self, row: str, name: str, task: str = "") -> Values:
        """Seed → metric ``name`` of ``task`` (default: the main one)."""
        found = {
            seed: record["test"][task or self.task].get(name)
            for seed, record in self.records.get(row, {}).items()
        }
        return {
            seed: value
            for seed, value in found.items()
            if value is not None and np.isfinite(value)  # nan: one class, nothing to rank
        }

    def values(self, claim: Claim, row: str, part: str = "all") -> Values:
        """What ``claim`` is about, of ``row``, in slice ``part``."""
        if claim.metric == "speed":
            return self._paces(row)
        if claim.metric in EXACT:
            return self._exact(claim.metric, row)
        if part != "all":
            return self._sliced(row, part)
        if claim.task == "others":
            return self._others(row, claim.metric)
        return self.metric(row, claim.metric)

    def _paces(self, row: str) -> Values:
        """Timing round → events per second."""
        if self.speed is None or row not in self.speed.round_s:
            return {}
        return dict(enumerate(self.speed.events_per_s(row)))

    def _exact(self, metric: str, row: str) -> Values:
        """A number without spread, as two equal values: its interval has no width."""
        records = self.records.get(row, {})
        if metric == "parameters":
            counts = [record["training"]["parameters"] for record in records.values()]
            return dict.fromkeys((0, 1), float(counts[0])) if counts else {}
        part = metric.removeprefix("flops.")
        work = self.flops.get(row, {}).get(part)
        return {} if work is None else dict.fromkeys((0, 1), float(work))

    def _sliced(self, row: str, part: str) -> Values:
        name = part.removesuffix("-items")
        found = {seed: slices[name]["auc"] for seed, slices in self.slices.get(row, {}).items()}
        return {seed: value for seed, value in found.items() if np.isfinite(value)}

    def _others(self, row: str, metric: str) -> Values:
        """Seed → mean of ``metric`` over the binary tasks but the main one."""
        means = {}
        for seed, record in self.records.get(row, {}).items():
            others = [
                values[metric]
                for task, values in record["test"].items()
                if task != self.task and np.isfinite(values.get(metric, np.nan))
            ]
            if others:
                means[seed] = float(np.mean(others))
        return means


def gain(found: Measurements, claim: Claim, base: str) -> Terms:
    """The claim's own effect: variant − base, or variant / base; ``base`` is the study's."""
    variant, against, *_ = claim.rows(base)
    return [
        (1.0, found.values(claim, variant, claim.slice)),
        (-1.0, found.values(claim, against, claim.slice)),
    ]


def gains(found: Measurements, claim: Claim, base: str) -> list[Terms]:
    """The gains on both sides of a claim with ``versus``, its own first; else none."""
    other = claim.versus
    if other is None:
        return []
    sides = [
        (1.0, found.values(claim, other.variant, other.slice)),
        (-1.0, found.values(claim, other.base, other.slice)),
    ]
    return [gain(found, claim, base), sides]


def terms(found: Measurements, claim: Claim, base: str) -> Terms:
    """The contrast that ``claim`` is judged by: its effect, minus times × that of ``versus``."""
    own, other = gain(found, claim, base), claim.versus
    if other is None:
        return own
    return [
        *own,
        (-other.times, found.values(claim, other.variant, other.slice)),
        (other.times, found.values(claim, other.base, other.slice)),
    ]


def missing(found: Measurements, claim: Claim, base: str) -> str:
    """Which rows have no value for ``claim``; empty: none."""
    pairs = zip(claim.rows(base), terms(found, claim, base), strict=True)
    absent = [row for row, (_, values) in pairs if not values]
    if not absent:
        return ""
    about = f" on {claim.slice}" if claim.slice != "all" else ""
    if claim.task == "others" and all(row in found.records for row in absent):
        return "the dataset has one binary task only"
    return f"{claim.metric}{about} was not measured for {' and '.join(dict.fromkeys(absent))}"
