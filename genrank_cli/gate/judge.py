"""A measurement against a baseline, check by check.

| outcome | AUC | speed |
|---|---|---|
| passed | a loss as large as the tolerance is excluded | such a slowdown is excluded |
| regressed | the loss is beyond the tolerance and beyond the noise | surely slower than tolerated |
| cannot judge | neither, or the two are not comparable: the reason says why | the same |
| skipped | optional data that are not here | – |

AUC: the same seeds on the same data, so differences are paired: one-sided 95 % t bounds over
seeds. Regressed is a mean loss larger than the tolerance whose bounds exclude "no loss". Speed asks
for more, bounds beyond the tolerance, because rounds do not show what a process has of its own.
Speed: times in units of the yardstick, rounds of now against rounds of then: the shift of their
logarithms with the Mann-Whitney bounds, which a few disturbed rounds cannot move.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.gate.benchmarks import compare_benchmarks
from genrank_cli.gate.measurement import Measurement, Pace, Quality
from genrank_cli.gate.run import PARTS, machine
from genrank_cli.gate.suite import Suite
from genrank_cli.metrics.noninferiority import NonInferiority, non_inferiority
from genrank_cli.metrics.noninferiority import Outcome as Comparison

Unit = Literal["AUC", "×"]


class Outcome(StrEnum):
    """What the gate says of one check."""

    PASSED = "passed"
    REGRESSED = "regressed"
    CANNOT_JUDGE = "cannot judge"
    SKIPPED = "skipped"

    @property
    def symbol(self) -> str:
        """One character, since colour is never the only sign."""
        return {"passed": "+", "regressed": "x", "cannot judge": "?", "skipped": "-"}[self]


@dataclass(frozen=True)
class Change:
    """``value``, with one-sided 95 % bounds: new − old AUC, or new / old relative time."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Check:
    """One line of the gate's result; ``old`` and ``new`` are means (AUC) or medians (times)."""

    id: str
    outcome: Outcome
    reason: str
    unit: Unit = "AUC"
    old: float | None = None
    new: float | None = None
    change: Change | None = None
    tolerance: float | None = None

    @property
    def part(self) -> str:
        """``auc``, ``speed`` or ``benchmarks``."""
        return self.id.partition("/")[0]


def judge(suite: Suite, baseline: Measurement, now: Measurement) -> list[Check]:
    """Every check of the parts that were asked for now; also of what only one side has."""
    if baseline.suite_hash != suite.hash:
        reason = (
            f"not comparable: the baseline is of another suite (version "
            f"{baseline.suite_version}, here {suite.version}); make a new one with --update"
        )
        checks = [Check(part, Outcome.CANNOT_JUDGE, reason) for part in now.parts]
    else:
        checks = [*_all_quality(suite, baseline, now), *_all_pace(suite, baseline, now)]
    return [*checks, *_all_benchmarks(suite, baseline, now)]


def _all_quality(suite: Suite, baseline: Measurement, now: Measurement) -> Iterator[Check]:
    old, new = ({found.id: found for found in side.quality} for side in (baseline, now))
    failed = {failure.id: failure for failure in now.failures}
    tolerance = {part.name: part.tolerance for part in suite.quality}
    for part in suite.quality if "auc" in now.parts else ():
        for name in (f"auc/{part.name}/{model}" for model in part.models):
            if name in failed:
                skipped = failed[name].skipped
                outcome = Outcome.SKIPPED if skipped else Outcome.CANNOT_JUDGE
                yield Check(name, outcome, failed[name].reason)
            elif name not in new:
                yield Check(name, Outcome.CANNOT_JUDGE, "not measured")
            elif name not in old:
                outcome = Outcome.SKIPPED if part.optional else Outcome.CANNOT_JUDGE
                yield Check(name, outcome, "not in the baseline; add it with --update")
            else:
                yield judge_quality(old[name], new[name], tolerance[part.name])


def judge_quality(old: Quality, new: Quality, tolerance: float) -> Check:
    """The AUC of one model, seed against seed."""
    if old.data_hash != new.data_hash:
        reason = f"not comparable: data {new.data_hash[:12]}, baseline {old.data_hash[:12]}"
        return Check(new.id, Outcome.CANNOT_JUDGE, reason)
    then, today = old.by_seed(), new.by_seed()
    common = [seed for seed in today if seed in then]
    if len(common) < 2:
        reason = f"too few seeds: {len(common)} in common with the baseline, at least 2 are needed"
        return Check(new.id, Outcome.CANNOT_JUDGE, reason)
    found = non_inferiority([today[seed] - then[seed] for seed in common], tolerance)
    outcome = _quality_outcome(found)
    text = (
        f"AUC {_signed(found.mean)} [{_signed(found.low)}, {_signed(found.high)}] over "
        f"{len(common)} seeds, "
        f"tolerated −{tolerance:g}"
    )
    if outcome is Outcome.CANNOT_JUDGE:
        text += ": the noise between seeds reaches over the tolerance"
    before, after = (float(np.mean([side[seed] for seed in common])) for side in (then, today))
    change = Change(found.mean, found.low, found.high)
    return Check(new.id, outcome, text, "AUC", before, after, change, tolerance)


def _quality_outcome(found: NonInferiority) -> Outcome:
    if found.outcome is Comparison.NOT_INFERIOR:
        return Outcome.PASSED
    lost = found.worse and found.mean < found.limit
    return Outcome.REGRESSED if lost else Outcome.CANNOT_JUDGE


def _signed(value: float) -> str:
    return f"{value:+.4f}".replace("-", "−")


def _all_pace(suite: Suite, baseline: Measurement, now: Measurement) -> Iterator[Check]:
    if "speed" not in now.parts:
        return
    obstacle = _obstacle(baseline, now)
    if obstacle or baseline.pace is None or now.pace is None:
        yield Check("speed", Outcome.CANNOT_JUDGE, obstacle)
        return
    names = dict.fromkeys([*baseline.pace.subjects, *now.pace.subjects])
    failed = {failure.id: failure.reason for failure in now.failures}
    for name in names:
        missing = [
            side for side, pace in (("the baseline", baseline.pace), ("this run", now.pace))
            if name not in pace.rounds_s
        ]  # fmt: skip
        if missing:
            reason = f"not measured in {missing[0]}"
            why = failed.get(f"speed/{name}")
            text = f"{reason}: {why}" if why else reason
            yield Check(f"speed/{name}", Outcome.CANNOT_JUDGE, text)
        else:
            yield judge_pace(name, baseline.pace, now.pace, suite.pace.tolerance)


def _obstacle(baseline: Measurement, now: Measurement) -> str:
    """Why no time of this run can be compared with the baseline's; empty where all can."""
    reason = other_machine(baseline, now)
    if reason:
        return reason
    if baseline.pace is None:
        return "the baseline has no times; add them with --update"
    if now.pace is None:
        return "not measured"
    if now.pace.disturbed:
        return f"the machine was not quiet: {now.pace.disturbed}"
    if baseline.pace.data_hash != now.pace.data_hash:
        return "not comparable: the models were timed on other data"
    return ""


def other_machine(baseline: Measurement, now: Measurement) -> str:
    """How the two machines differ in what decides times; empty where they do not."""
    then, today = machine(baseline.environment), machine(now.environment)
    for name, value in today.items():
        if then[name] != value:
            return f"another machine: {name} is {value!r}, the baseline's {then[name]!r}"
    return ""


def judge_pace(name: str, old: Pace, new: Pace, tolerance: float) -> Check:
    """One subject's time in units of the yardstick, rounds against rounds."""
    then, today = old.relative(name), new.relative(name)
    change = shift(then, today)
    limit = 1 + tolerance
    outcome = Outcome.CANNOT_JUDGE
    if change.high < limit:
        outcome = Outcome.PASSED
    elif change.low > limit:
        outcome = Outcome.REGRESSED
    text = (
        f"time {change.value:.3f}× [{change.low:.3f}, {change.high:.3f}] of the baseline's, "
        f"tolerated {limit:g}×"
    )
    if outcome is Outcome.CANNOT_JUDGE:
        text += ": the noise between rounds reaches over the tolerance"
    medians = float(np.median(then)), float(np.median(today))
    return Check(f"speed/{name}", outcome, text, "×", *medians, change, tolerance)


def shift(old: ArrayLike, new: ArrayLike, confidence: float = 0.95) -> Change:
    """new / old for two independent samples of times [n], [m]: Hodges and Lehmann's estimate.

    The median of all n·m quotients; the bounds are those quotients that the Mann-Whitney test
    leaves out at level 1 − confidence each (normal approximation, n and m ≥ 6).
    """
    quotients = np.sort(np.subtract.outer(np.log(new), np.log(old)).ravel())
    n, m = np.size(old), np.size(new)
    deviation = math.sqrt(n * m * (n + m + 1) / 12)
    cut = math.floor(n * m / 2 - stats.norm.ppf(confidence) * deviation - 0.5)
    cut = max(cut, 0)
    ends = quotients[cut], quotients[len(quotients) - 1 - cut]
    return Change(*(math.exp(x) for x in (float(np.median(quotients)), *ends)))


def _all_benchmarks(suite: Suite, baseline: Measurement, now: Measurement) -> list[Check]:
    if now.benchmarks is None:
        return _not_given(baseline, now)
    if baseline.benchmarks is None:
        reason = "the baseline has none; add them with --update --benchmarks FILE"
        return [Check("benchmarks", Outcome.CANNOT_JUDGE, reason)]
    return [
        Check(f"benchmarks/{name}", Outcome(outcome), text, "×", old, new, None, tolerance)
        for name, outcome, text, old, new, tolerance in compare_benchmarks(
            baseline.benchmarks, now.benchmarks, suite.pace.tolerance
        )
    ]


def _not_given(baseline: Measurement, now: Measurement) -> list[Check]:
    """The baseline's rows that nobody looked at, unless ``--only`` asked for less than all."""
    if baseline.benchmarks is None or set(now.parts) < set(PARTS):
        return []
    rows = len(baseline.benchmarks.rows)
    reason = f"not given: the baseline has a file of {rows} rows; give --benchmarks FILE"
    return [Check("benchmarks", Outcome.CANNOT_JUDGE, reason)]


def verdict(checks: Sequence[Check], allowed: Sequence[str] = ()) -> Outcome:
    """The gate's: a regression first, then what could not be judged and was not ``allowed`` to."""
    if any(check.outcome is Outcome.REGRESSED for check in checks):
        return Outcome.REGRESSED
    judged = [check for check in checks if check.outcome is Outcome.PASSED]
    unjudged = [check for check in checks if check.outcome is Outcome.CANNOT_JUDGE]
    if any(check.part not in allowed for check in unjudged) or not judged:
        return Outcome.CANNOT_JUDGE
    return Outcome.PASSED
