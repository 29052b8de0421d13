"""What a split lets through: findings with a level, a figure, their meaning and a remedy.

``leak``: a model could know of a test event what no served model could have known. ``note``:
nothing is leaked, but figures may not compare with others'. ``ok``: looked for and not found, or
harmless.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from genrank_cli.data.exposure import Coverage, Drift, Exposure, cover, drift, expose
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.splits import Part, Parts, assign_split
from genrank_cli.data.store import Manifest, Store

Record = dict[str, Any]
Level = Literal["leak", "note", "ok"]

LEVELS: tuple[Level, ...] = ("leak", "note", "ok")
# A whole request is in one part, so that its last events may lie beyond the next part's first.
TOLERATED = 0.001
NOTABLE = 0.01  # share of test events above which coldness is worth a note
DRIFT_Z, DRIFT_CHANGE = 3.0, 0.05  # a difference needs significance and size


@dataclass(frozen=True)
class Finding:
    """One thing looked for. ``found`` is the figure in words, ``figures`` the raw values."""

    check: str
    level: Level
    found: str
    meaning: str
    remedy: str = ""
    figures: Record = field(default_factory=dict)


@dataclass(frozen=True)
class Audit:
    """All findings about one split of a store, leaks first; and the size of its parts."""

    dataset: str
    split: SplitSpec
    parts: dict[str, Record]
    findings: tuple[Finding, ...]

    def record(self) -> Record:
        """The audit as nested plain values."""
        return {
            "dataset": self.dataset,
            "split": self.split.model_dump(mode="json", exclude_none=True),
            "leaks": sum(finding.level == "leak" for finding in self.findings),
            "parts": self.parts,
            "findings": [asdict(finding) for finding in self.findings],
        }


def audit(store: Store, spec: SplitSpec | None = None) -> Audit:
    """Examine a split (default: the store's own); raises `GenrankError` as `assign_split` does."""
    spec = spec or store.manifest.split
    return audit_parts(store, spec, assign_split(store, spec))


def audit_parts(store: Store, spec: SplitSpec, parts: Parts) -> Audit:
    """Examine ``parts``, uint8 [E], whatever made them; train and test must not be empty."""
    coverage = cover(store, parts)
    exposure = expose(store, parts, coverage)
    drifts = {task.name: drift(store, parts, task.name) for task in store.manifest.tasks}
    view = View(store.manifest, coverage, exposure, drifts)
    findings = [finding for check in CHECKS for finding in check(view)]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    sizes = {
        part.name.lower(): _part(coverage, drifts, part) for part in Part if coverage.events[part]
    }
    return Audit(store.manifest.name, spec, sizes, tuple(findings))


@dataclass(frozen=True)
class View:
    """What the checks look at."""

    manifest: Manifest
    coverage: Coverage
    exposure: Exposure
    drifts: dict[str, Drift]

    @property
    def tests(self) -> int:
        return int(self.coverage.events[Part.TEST])

    def share(self, count: int) -> float:
        """Of the test events."""
        return count / self.tests


def _part(coverage: Coverage, drifts: dict[str, Drift], part: Part) -> Record:
    events = int(coverage.events[part])
    record: Record = {
        "events": events,
        "share": events / int(coverage.events.sum()),
        "users": int(coverage.users[part].sum()),
        "items": int(coverage.items[part].sum()),
        "first": _utc(coverage.first[part]),
        "last": _utc(coverage.last[part]),
    }
    if part in (Part.TRAIN, Part.VALID, Part.TEST):
        record["mean_label"] = {
            task: getattr(found, part.name.lower()) for task, found in drifts.items()
        }
    return record


def _leak_above(share: float) -> Level:
    return "ok" if share == 0 else "note" if share < TOLERATED else "leak"


def _future(view: View) -> Iterator[Finding]:
    """Training events that come after the test events they could explain."""
    seen = view.exposure
    for what, count in (("user", seen.user_future), ("item", seen.item_future)):
        share = view.share(count)
        level = _leak_above(share)
        found = f"{_percent(share)} of test events"
        meaning = f"their {what} has later training events: the model learned from the future"
        remedy = "split temporal or date"
        if level == "note":
            meaning = f"their {what} has later training events, by seconds: requests are not cut"
            remedy = ""
        elif level == "ok":
            found, meaning, remedy = "none", f"no {what} has training events after a test event", ""
        elif what == "user":
            remedy = "split temporal, date or user-temporal"
        yield Finding(
            f"future of the {what}", level, found, meaning, remedy, {"events": count, "share": share}
        )


def _overlap(view: View) -> Iterator[Finding]:
    count, events = view.exposure.trained_after, int(view.coverage.events[Part.TRAIN])
    share = count / events
    figures = {"events": count, "share": share}
    first = _utc(view.coverage.first[Part.TEST])
    if not count:
        meaning = f"no training event is later than the first test event ({first})"
        yield Finding("time overlap", "ok", "none", meaning, figures=figures)
        return
    yield Finding(
        "time overlap",
        "note",
        f"{_percent(share)} of training events",
        f"are later than the first test event ({first}): trends of the test period are known",
        "split temporal or date, which also tests what serving meets",
        figures,
    )


def _repeats(view: View) -> Iterator[Finding]:
    seen = view.exposure
    share, later = view.share(seen.repeated), view.share(seen.repeated_later)
    same = seen.repeated_same_label / seen.repeated if seen.repeated else None
    figures = {
        "events": seen.repeated,
        "share": share,
        "same_label_share": same,
        "later_events": seen.repeated_later,
    }
    if same is None:
        meaning = "no user meets an item in test that was in training"
        yield Finding("repeated pairs", "ok", "none", meaning, figures=figures)
        return
    found = f"{_percent(share)} of test events"
    meaning = (
        f"user and item met in training, too, {_percent(same)} with the same "
        f"{view.manifest.tasks[0].name}"
    )
    if later >= TOLERATED:
        meaning += f"; {_percent(later)} of test events are repeated later, in training"
        remedy = "split temporal, date or user-temporal"
        yield Finding("repeated pairs", "leak", found, meaning, remedy, figures)
        return
    meaning += "; served models know that, too"
    yield Finding("repeated pairs", "note", found, meaning, "judge new pairs apart", figures)


def _cut(view: View) -> Iterator[Finding]:
    count, requests = view.exposure.cut_requests, view.manifest.counts.requests
    figures = {"requests": count, "share": count / requests}
    if not count:
        yield Finding("cut requests", "ok", "none", "each request is in one part", figures=figures)
        return
    yield Finding(
        "cut requests",
        "leak",
        f"{count:,} requests",
        "are in two parts: labels of the same page are trained on",
        "take a split of genrank as it is",
        figures,
    )


def _statistics(view: View) -> Iterator[Finding]:
    tables = {"user": view.manifest.user_numbers, "item": view.manifest.item_numbers}
    names = [
        f"{side}.{name}" for side, table in tables.items() for name in table if table[name].statistic
    ]
    figures = {"fields": names}
    if not names:
        meaning = "no field sums up a period of the log"
        yield Finding("statistic fields", "ok", "none", meaning, figures=figures)
        return
    yield Finding(
        "statistic fields",
        "leak",
        _listed(names),
        "sum up the whole period, test included; off by default",
        "leave model.features.statistics off, use window statistics",
        figures,
    )


def _label_drift(view: View) -> Iterator[Finding]:
    figures = {task: asdict(found) | {"change": found.change} for task, found in view.drifts.items()}
    drifted = [task for task, found in view.drifts.items() if _drifts(found)]
    main = view.manifest.tasks[0].name
    described = [_moved(task, view.drifts[task]) for task in drifted or [main]]
    if not drifted:
        meaning = "no label's mean differs between train and test by 5 % and three standard errors"
        yield Finding("label drift", "ok", described[0], meaning, figures=figures)
        return
    yield Finding(
        "label drift",
        "note",
        _listed(described),
        "a label's mean differs between train and test: calibration and NE suffer, AUC less",
        "compare calibration; train closer to the test part",
        figures,
    )


def _drifts(found: Drift) -> bool:
    significant = found.z is not None and abs(found.z) >= DRIFT_Z
    return significant and (found.change is None or abs(found.change) >= DRIFT_CHANGE)


def _moved(task: str, found: Drift) -> str:
    z = "" if found.z is None else f", z {found.z:+.1f}".replace("-", "−")
    return f"{task} {found.train:.3g} → {found.test:.3g}{z}"


def _cold(view: View) -> Iterator[Finding]:
    seen, coverage = view.exposure, view.coverage
    kinds = (
        ("user", coverage.users, seen.cold_users),
        ("item", coverage.items, seen.cold_items),
    )
    for what, present, count in kinds:
        tested = present[Part.TEST]
        cold, total = int((tested & ~present[Part.TRAIN]).sum()), int(tested.sum())
        share = view.share(count)
        yield Finding(
            f"cold {what}s",
            "note" if share >= NOTABLE else "ok",
            f"{_percent(share)} of test events",
            f"{cold:,} of {total:,} {what}s in test have no training event",
            f"compare the cold {what}s apart: ids say nothing of them" if share >= NOTABLE else "",
            {"events": count, "share": share, what + "s": cold, f"{what}s_share": cold / total},
        )


def _histories(view: View) -> Iterator[Finding]:
    seen = view.exposure
    share = view.share(seen.without_history)
    lengths = seen.histories
    meaning = (
        f"have no history; half have {lengths['median']:,} or more earlier events "
        f"(p10 {lengths['p10']:,}, p90 {lengths['p90']:,})"
    )
    notable = share >= NOTABLE
    yield Finding(
        "empty histories",
        "note" if notable else "ok",
        f"{_percent(share)} of test events",
        meaning,
        "compare them apart: a sequence model has nothing to read there" if notable else "",
        {"events": seen.without_history, "share": share, "lengths": lengths},
    )


def _shared(view: View) -> Iterator[Finding]:
    """Users and items on both sides: how every served model works, so nothing is wrong with it."""
    coverage = view.coverage
    for what, present in (("users", coverage.users), ("items", coverage.items)):
        tested = present[Part.TEST]
        both, total = int((tested & present[Part.TRAIN]).sum()), int(tested.sum())
        yield Finding(
            f"{what} in both",
            "ok",
            f"{both:,} of {total:,} in test",
            f"are in train, too: what is learned of {what} is used, as in serving",
            figures={what: both, "share": both / total},
        )


def _test_labels(view: View) -> Iterator[Finding]:
    count = view.exposure.after_test
    share = view.share(count)
    meaning = "have earlier test events with their labels in the history: by design, as in serving"
    if not count:
        meaning = "no test event has an earlier one in its history"
    found = f"{_percent(share)} of test events" if count else "none"
    yield Finding(
        "labels in history", "ok", found, meaning, figures={"events": count, "share": share}
    )


def _features(view: View) -> Iterator[Finding]:
    """What is computed from the data, and from which events."""
    manifest = view.manifest
    sides = {**manifest.user_numbers, **manifest.item_numbers}
    buckets = [
        *manifest.event_numbers.values(),
        *(info.buckets for info in sides.values() if not info.statistic),
    ]
    learned = sum(bucket.quantiles is not None for bucket in buckets)
    if buckets:
        found = f"{learned} by quantiles, {len(buckets) - learned} fixed"
        meaning = "quantiles are those of the training events of the split in use"
        figures = {"quantiles": learned, "fixed": len(buckets) - learned}
        yield Finding("number buckets", "ok", found, meaning, figures=figures)
    if manifest.windows is not None:
        spans = list(manifest.windows.spans)
        meaning = "count events strictly before the request: known at that moment"
        yield Finding("window statistics", "ok", ", ".join(spans), meaning, figures={"spans": spans})
    if manifest.content_width:
        width = manifest.content_width
        meaning = "made of the items' own content, all items together; no label is used"
        yield Finding("content vectors", "ok", f"width {width}", meaning, figures={"width": width})


def _apart(view: View) -> Iterator[Finding]:
    if not view.manifest.apart:
        return
    random = int(view.coverage.events[Part.RANDOM])
    apart = random
    if view.coverage.apart_unused is not None:
        apart += view.coverage.apart_unused
    yield Finding(
        "events apart",
        "ok" if random else "note",
        f"{random:,} of {apart:,} in random",
        "never trained on; those of the test period are a test part of their own",
        "" if random else "move test_from, or take another split",
        {"random": random, "unused": apart - random},
    )


#: Every check yields its findings; a new one is a function and a line.
CHECKS: tuple[Callable[[View], Iterator[Finding]], ...] = (
    _future,
    _overlap,
    _repeats,
    _cut,
    _statistics,
    _label_drift,
    _cold,
    _histories,
    _shared,
    _test_labels,
    _features,
    _apart,
)


def _listed(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _percent(share: float) -> str:
    """``0.0004`` → ``0.04 %``; what is not 0 never reads as 0."""
    scaled = 100 * share
    digits = 1 if scaled >= 0.1 or scaled == 0 else 1 - math.floor(math.log10(scaled))
    return f"{scaled:.{digits}f} %"


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
