"""The checks of an audit: each yields findings with a level, a figure, their meaning, a remedy.

``leak``: a model could know of a test event what no served model could have known. ``note``:
nothing is leaked, but figures may not compare with others'. ``ok``: looked for and not found, or
harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from genrank_cli.data.exposure import Coverage, Drift, Exposure
from genrank_cli.data.splits import Part
from genrank_cli.data.store import Manifest
from genrank_cli.data.wording import duration, listed, of_test, percent, utc

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


def _future(view: View) -> Iterator[Finding]:
    """Training events that come after the test events they could explain."""
    seen = view.exposure
    kinds = (("user", seen.user_future, seen.user_lag), ("item", seen.item_future, seen.item_lag))
    for what, count, lag in kinds:
        share = view.share(count)
        found, remedy = of_test(share), ""
        # What a request's last events can explain: few, and not later than requests are long.
        ending = share < TOLERATED and lag <= seen.longest_request
        level: Level = "ok" if count == 0 else "note" if ending else "leak"
        meaning = f"no training event of their {what} is later"
        if level == "note":
            late = duration(lag)
            meaning = f"their {what} has training events up to {late} later: requests are not cut"
        elif level == "leak":
            late = duration(lag)
            meaning = f"their {what} has training events up to {late} later: the future is learned"
            remedy = "split temporal or date" + ", or user-temporal" * (what == "user")
        figures = {"events": count, "share": share, "lag": lag}
        yield Finding(f"future of the {what}", level, found, meaning, remedy, figures)


def _overlap(view: View) -> Iterator[Finding]:
    seen, events = view.exposure, int(view.coverage.events[Part.TRAIN])
    kinds = [("time overlap", Part.TEST, seen.trained_after, "trends of its period are known")]
    if view.coverage.events[Part.VALID]:
        known = "the period that the best epoch is chosen by is known"
        kinds.append(("overlap with valid", Part.VALID, seen.trained_after_valid, known))
    for check, part, count, known in kinds:
        found = f"{percent(count / events)} of train" if count else "none"
        meaning, remedy = f"no training event is after {utc(view.coverage.first[part])[:16]}", ""
        lag = view.coverage.last[Part.TRAIN] - view.coverage.first[part]
        if count and lag <= seen.longest_request:
            meaning = f"are up to {duration(lag)} later than the first {part.name.lower()} event"
            meaning += ": requests are not cut"
        elif count:
            meaning = f"are later than the first {part.name.lower()} event: {known}"
            remedy = "split temporal or date"
        figures = {"events": count, "share": count / events}
        yield Finding(check, "note" if count else "ok", found, meaning, remedy, figures)


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
    level: Level = "note" if seen.repeated else "ok"
    meaning, remedy = "no user meets an item of training again", ""
    if same is not None:
        label = view.manifest.tasks[0].name
        meaning = f"user and item are in training, too, {percent(same)} with the same {label}"
        remedy = "judge new pairs apart"
    if later >= TOLERATED:
        level, remedy = "leak", "split temporal, date or user-temporal"
        meaning += f"; {percent(later)} of test are trained on later"
    yield Finding("repeated pairs", level, of_test(share), meaning, remedy, figures)


def _cut(view: View) -> Iterator[Finding]:
    count = view.exposure.cut_requests
    figures = {"requests": count, "share": count / view.manifest.counts.requests}
    meaning, remedy = "each request is in one part", ""
    if count:
        meaning = "are in several parts: labels of the same page are trained on"
        remedy = "keep requests whole, as every split of genrank does"
    found = f"{count:,} requests" if count else "none"
    yield Finding("cut requests", "leak" if count else "ok", found, meaning, remedy, figures)


def _statistics(view: View) -> Iterator[Finding]:
    tables = {"user": view.manifest.user_numbers, "item": view.manifest.item_numbers}
    names = [
        f"{side}.{name}"
        for side, table in tables.items()
        for name, number in table.items()
        if number.statistic
    ]
    taken = sum(len(table) for table in tables.values()) - len(names)
    meaning, remedy = "no field is declared to sum up a period of the log", ""
    if taken:
        meaning += f"; {taken} numbers are taken to be older than it, unchecked"
    if names:
        meaning = "sum up the whole period, test included; off by default"
        remedy = "leave model.features.statistics off; window statistics do not leak"
    level: Level = "leak" if names else "ok"
    found = listed(names) or "none declared"
    figures = {"fields": names, "unchecked": taken}
    yield Finding("statistic fields", level, found, meaning, remedy, figures)


def _side_tables(view: View) -> Iterator[Finding]:
    """What is known of users and items is one state of them, used for events of any time."""
    manifest = view.manifest
    tables = {
        "users": (manifest.user_fields, manifest.user_numbers),
        "items": (manifest.item_fields, manifest.item_numbers),
    }
    found = {side: len(fields) + len(numbers) for side, (fields, numbers) in tables.items()}
    if not any(found.values()):
        return
    shown = listed([f"{count} of {side}" for side, count in found.items() if count])
    meaning = "one snapshot of a time that the store does not know, used for earlier events, too"
    remedy = "make sure that it is older than test, or compare without model.features.user_fields"
    level: Level = "note" if found["users"] else "ok"
    if not found["users"]:
        meaning, remedy = meaning + "; items change little", ""
    yield Finding("side tables", level, shown, meaning, remedy, found)


def _label_drift(view: View) -> Iterator[Finding]:
    figures = {
        task: asdict(found) | {"change": found.change} for task, found in view.drifts.items()
    }
    drifted = [task for task, found in view.drifts.items() if _drifts(found)]
    shown = drifted or [view.manifest.tasks[0].name]
    found = listed([_moved(task, view.drifts[task]) for task in shown])
    meaning, remedy = "no mean moves by 5 % and 3 standard errors", ""
    if drifted:
        meaning = "means of train and test differ: calibration and NE suffer, AUC less"
        remedy = "compare calibration; train closer to test"
    level: Level = "note" if drifted else "ok"
    yield Finding("label drift", level, found, meaning, remedy, figures)


def _drifts(found: Drift) -> bool:
    significant = found.z is not None and abs(found.z) >= DRIFT_Z
    return significant and (found.change is None or abs(found.change) >= DRIFT_CHANGE)


def _moved(task: str, found: Drift) -> str:
    z = "" if found.z is None else f" (z {found.z:+.1f})".replace("-", "−")
    return f"{task} {found.train:.3g} → {found.test:.3g}{z}"


def _cold(view: View) -> Iterator[Finding]:
    seen, coverage = view.exposure, view.coverage
    kinds = (("users", coverage.users, seen.cold_users), ("items", coverage.items, seen.cold_items))
    for what, present, count in kinds:
        tested = present[Part.TEST]
        cold, total = int((tested & ~present[Part.TRAIN]).sum()), int(tested.sum())
        share = view.share(count)
        level: Level = "note" if share >= NOTABLE else "ok"
        meaning = f"{cold:,} of {total:,} {what} were never trained on"
        remedy = "compare cold and known ones apart" if level == "note" else ""
        figures = {"events": count, "share": share, what: cold, f"{what}_share": cold / total}
        yield Finding(f"cold {what}", level, of_test(share), meaning, remedy, figures)


def _histories(view: View) -> Iterator[Finding]:
    count, lengths = view.exposure.without_history, view.exposure.histories
    share = view.share(count)
    level: Level = "note" if share >= NOTABLE else "ok"
    meaning = f"half have {lengths['median']:,} or more earlier events"
    remedy = "compare those without apart" if level == "note" else ""
    figures = {"events": count, "share": share, "lengths": lengths}
    yield Finding("empty histories", level, of_test(share), meaning, remedy, figures)


def _shared(view: View) -> Iterator[Finding]:
    """Users and items on both sides: how every served model works, so nothing is wrong with it."""
    coverage = view.coverage
    for what, present in (("users", coverage.users), ("items", coverage.items)):
        tested = present[Part.TEST]
        both, total = int((tested & present[Part.TRAIN]).sum()), int(tested.sum())
        meaning = "of test are in train, too, as in serving"
        figures = {what: both, "share": both / total}
        yield Finding(f"{what} in both", "ok", f"{both:,} of {total:,}", meaning, figures=figures)


def _test_labels(view: View) -> Iterator[Finding]:
    count = view.exposure.after_test
    share = view.share(count)
    meaning = "have earlier test labels there: by design"
    if not count:
        meaning = "no history of a test event holds another"
    figures = {"events": count, "share": share}
    yield Finding("labels in history", "ok", of_test(share), meaning, figures=figures)


def _features(view: View) -> Iterator[Finding]:
    """What is computed from the data, and from which events."""
    manifest = view.manifest
    sides = (*manifest.user_numbers.values(), *manifest.item_numbers.values())
    buckets = [*manifest.event_numbers.values()]
    buckets += [number.buckets for number in sides if not number.statistic]
    learned = sum(bucket.quantiles is not None for bucket in buckets)
    if buckets:
        found = f"{learned} by quantiles, {len(buckets) - learned} fixed"
        meaning = "quantiles are those of training events only"
        figures = {"quantiles": learned, "fixed": len(buckets) - learned}
        yield Finding("number buckets", "ok", found, meaning, figures=figures)
    if manifest.windows is not None:
        spans = list(manifest.windows.spans)
        meaning = "count events before the request only"
        yield Finding(
            "window statistics", "ok", ", ".join(spans), meaning, figures={"spans": spans}
        )
    if manifest.content_width:
        width = manifest.content_width
        meaning = "the store does not tell what they were made from: labels of the log would leak"
        remedy = "leave model.features.content off unless they were made without labels"
        figures = {"width": width}
        yield Finding("content vectors", "note", f"width {width}", meaning, remedy, figures)


def _apart(view: View) -> Iterator[Finding]:
    if not view.manifest.apart:
        return
    random, apart = int(view.coverage.events[Part.RANDOM]), view.coverage.apart
    meaning, remedy = "evaluated by --part random; never trained on", ""
    if not apart:
        meaning = "the log holds none, although its source may"
    elif not random:
        meaning, remedy = "none is in the test period", "move test_from, or take another split"
    figures = {"random": random, "unused": apart - random}
    level: Level = "note" if apart and not random else "ok"
    found = f"{random:,} of {apart:,}" if apart else "none"
    yield Finding("events apart", level, found, meaning, remedy, figures)


#: Every check yields its findings; a new one is a function and a line.
CHECKS: tuple[Callable[[View], Iterator[Finding]], ...] = (
    _future,
    _overlap,
    _repeats,
    _cut,
    _statistics,
    _side_tables,
    _label_drift,
    _cold,
    _histories,
    _shared,
    _test_labels,
    _features,
    _apart,
)
