"""Window statistics: what the slow definition says, and never a word about the future."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrank_cli.data import windows
from genrank_cli.data.card import Task
from genrank_cli.data.columns import hash_values, window_columns
from genrank_cli.data.declare import WindowSpec, span_seconds
from genrank_cli.data.progress import Report, quiet
from genrank_cli.data.store import Store, TimeRange
from genrank_cli.data.windows import write_windows
from tests.factory import make_store

EXAMPLES = settings(max_examples=60, deadline=None, derandomize=True)
TASKS = ("click", "like")
SPEC = WindowSpec(spans=("30m", "2h", "1d"), tasks=TASKS)
GAP = 60.0
HOUR = 3600.0


@dataclass(frozen=True)
class Event:
    """One line of a log; ``number`` stays with it however the log is changed."""

    number: int
    user: int
    item: int
    time: float
    click: int
    like: int


# Times on a coarse grid, so that equal moments and exact ends of windows are common; hours from
# 1 e9 on are not full ones.
moments = st.integers(0, 120).map(lambda step: 1_000_000_000 + 900.0 * step)
fine = st.integers(0, 10**8).map(lambda step: 1_000_000_000 + step / 1000)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    size = draw(st.integers(2, 40))
    return [
        Event(
            number,
            draw(st.integers(0, 3)),
            draw(st.integers(0, 4)),
            draw(st.one_of(moments, fine)),
            draw(st.integers(0, 1)),
            draw(st.integers(0, 1)),
        )
        for number in range(size)
    ]


def sorted_log(log: list[Event]) -> list[Event]:
    return sorted(log, key=lambda event: (event.user, event.time, event.number))


def request_starts(log: list[Event]) -> list[float]:
    """Start of each event's request; ``log`` is sorted."""
    starts: list[float] = []
    for i, event in enumerate(log):
        before = log[i - 1] if i else None
        if before and before.user == event.user and event.time - before.time <= GAP:
            starts.append(starts[-1])
        else:
            starts.append(event.time)
    return starts


def statistics(
    log: list[Event], spec: WindowSpec = SPEC, report: Report = quiet
) -> dict[str, NDArray[np.float32]]:
    """The columns that `write_windows` writes for the sorted ``log``."""
    starts = request_starts(log)
    begins = [
        i == 0 or log[i].user != log[i - 1].user or starts[i] != starts[i - 1]
        for i in range(len(log))
    ]
    # Users without events would have no code: those that remain are numbered.
    _, user = np.unique([event.user for event in log], return_inverse=True)
    columns = {
        "user": user.astype(np.uint32),
        "item": np.array([event.item for event in log], np.uint32),
        "timestamp": np.array([event.time for event in log]),
        "request": (np.cumsum(begins) - 1).astype(np.uint32),
        "task.click": np.array([event.click for event in log], np.float32),
        "task.like": np.array([event.like for event in log], np.float32),
    }
    manifest = make_store((1,)).manifest
    counts = manifest.counts.model_copy(
        update={
            "events": len(log),
            "users": int(user.max()) + 1,
            "items": 5,
            "requests": sum(begins),
        }
    )
    manifest = manifest.model_copy(
        update={
            "counts": counts,
            "tasks": [Task(name=name, kind="binary") for name in TASKS],
            "time": TimeRange(
                first=float(columns["timestamp"].min()), last=float(columns["timestamp"].max())
            ),
        }
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "events").mkdir()
        for column, values in columns.items():
            np.save(folder / "events" / f"{column}.npy", values)
        records = write_windows(Store(folder, manifest), spec, folder, report)
        assert list(records) == [f"events/{column}.npy" for column in window_columns(spec)]
        found = {
            column: np.load(folder / "events" / f"{column}.npy") for column in window_columns(spec)
        }
        for column, values in found.items():
            record = records[f"events/{column}.npy"]
            assert record.sha256 == hash_values(values)
            assert record.bytes == (folder / "events" / f"{column}.npy").stat().st_size
    return found


def slow_statistics(log: list[Event], spec: WindowSpec) -> dict[str, list[float]]:
    """The definition, event by event."""
    found: dict[str, list[float]] = {column: [] for column in window_columns(spec)}
    for event, start in zip(log, request_starts(log), strict=True):
        hour = start // HOUR * HOUR
        known = [other for other in log if other.time < hour]
        for key in spec.keys:
            for span in spec.spans:
                inside = [
                    other
                    for other in log
                    if getattr(other, key) == getattr(event, key)
                    and start - span_seconds(span) <= other.time < start
                ]
                found[f"window.{key}_{span}_count"].append(len(inside))
                for task in spec.tasks:
                    p = (sum(getattr(o, task) for o in known) + 1) / (len(known) + 2)
                    positives = sum(getattr(other, task) for other in inside)
                    rate = (positives + 10 * p) / (len(inside) + 10)
                    found[f"window.{key}_{span}_{task}"].append(rate)
    return found


def assert_as_defined(log: list[Event], spec: WindowSpec = SPEC) -> None:
    found, expected = statistics(log, spec), slow_statistics(log, spec)
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert values.dtype == np.float32
        assert values == pytest.approx(np.array(expected[name]), rel=1e-6), name


@EXAMPLES
@given(logs())
def test_statistics_are_what_the_definition_says(log: list[Event]) -> None:
    assert_as_defined(sorted_log(log))


@EXAMPLES
@given(logs(), st.integers(1, 9), st.integers(1, 9), st.integers(1, 9))
def test_blocks_chunks_and_segments_do_not_matter(
    log: list[Event], block: int, chunk: int, segment: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(windows, "BLOCK_ROWS", block)
        patch.setattr(windows, "CHUNK_ROWS", chunk)
        patch.setattr(windows, "SEGMENT_ROWS", segment)
        patch.setattr(windows, "PART_ROWS", chunk)
        pieces = statistics(sorted_log(log))
    whole = statistics(sorted_log(log))
    for name in whole:
        assert np.array_equal(pieces[name], whole[name]), name


@EXAMPLES
@given(logs(), st.data())
def test_a_change_of_one_event_moves_no_earlier_statistic(
    log: list[Event], data: st.DataObject
) -> None:
    """Its labels, its item, or its time: requests up to that time keep every number."""
    victim = data.draw(st.sampled_from(log))
    time = data.draw(st.one_of(moments, fine, st.just(victim.time)))
    changed = replace(
        victim,
        time=time,
        item=data.draw(st.integers(0, 4)),
        click=1 - victim.click,
        like=data.draw(st.integers(0, 1)),
    )
    before = sorted_log(log)
    after = sorted_log([changed if event is victim else event for event in log])
    one, other = statistics(before), statistics(after)
    starts = dict(zip((e.number for e in before), request_starts(before), strict=True))
    moved = dict(zip((e.number for e in after), request_starts(after), strict=True))
    place = {event.number: i for i, event in enumerate(after)}
    for i, event in enumerate(before):
        start = starts[event.number]
        if event is victim or moved[event.number] != start or start > min(victim.time, time):
            continue
        for name in one:
            assert one[name][i] == other[name][place[event.number]], name


def test_a_label_counts_for_later_requests_but_not_at_its_own_moment() -> None:
    """The test above would also hold for a function that never looks at anything."""
    hour = 1_000_000_800.0 // HOUR * HOUR
    log = [
        Event(0, 0, 0, hour + 600, 1, 0),
        Event(1, 1, 0, hour + 600, 0, 0),  # the same moment, another user
        Event(2, 1, 0, hour + 630, 0, 0),  # the same request as the line before
        Event(3, 1, 0, hour + 1200, 0, 0),
        Event(4, 2, 0, hour + 600 + 1800, 0, 0),  # 600 is just in the window
        Event(5, 3, 0, hour + 600.001 + 1800, 0, 0),  # and here just out, but the last line in
    ]
    found = statistics(log)
    assert found["window.item_30m_count"].tolist() == [0, 0, 0, 3, 4, 3]
    assert found["window.user_30m_count"].tolist() == [0, 0, 0, 2, 0, 0]
    assert found["window.item_30m_click"] == pytest.approx(
        np.array([0.5, 0.5, 0.5, 6 / 13, 6 / 14, 5 / 13])
    )


@pytest.mark.parametrize("first", [0, 10**9, 1_649_347_200_000, 4_102_444_790_000])
def test_whole_milliseconds_stay_what_they_are(first: int) -> None:
    """Whatever the last bit of their float64 is; 1970, 2001, 2022 and 2099."""
    whole = first + np.arange(10_000)
    for seconds in (whole / 1000, whole * 0.001, np.nextafter(whole / 1000, 0)):
        assert np.array_equal(windows._milliseconds(np.asarray(seconds, np.float64)), whole)


def test_a_finer_fraction_of_a_second_never_counts_early() -> None:
    """Rounded to milliseconds, the event at .0004 would seem to precede the request at .0006."""
    log = [Event(0, 0, 0, 1e6 + 0.0006, 1, 0), Event(1, 1, 0, 1e6 + 0.0004, 1, 0)]
    assert statistics(log)["window.item_30m_count"].tolist() == [0, 0]
    log[0] = replace(log[0], time=1e6 + 0.0011)
    assert statistics(log)["window.item_30m_count"].tolist() == [1, 0]


@pytest.mark.parametrize(
    "spec",
    [
        WindowSpec(spans=("1h",), keys=("item",), tasks=("like",)),
        WindowSpec(spans=("1w", "5m"), keys=("user",), tasks=()),
    ],
    ids=["one-column-each", "counts-only"],
)
def test_only_what_is_asked_for(spec: WindowSpec) -> None:
    random = np.random.default_rng(0)
    log = [
        Event(i, int(who), int(what), 1e9 + 50.0 * i, i % 2, int(i % 3 == 0))
        for i, (who, what) in enumerate(random.integers(0, 4, (60, 2)))
    ]
    assert_as_defined(sorted_log(log), spec)


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[str, float, float]] = []
    log = sorted_log([Event(i, i % 3, i % 2, 1e9 + i, 0, 1) for i in range(10)])
    statistics(log, report=lambda *step: seen.append(step))
    assert seen[-1] == ("window statistics", 20, 20)
