"""Splits of small logs whose parts are written down, and those that are refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np
import pytest

from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.splits import assign_split, split_events
from genrank_cli.data.store import TimeRange
from genrank_cli.errors import ExitCode, GenrankError
from tests.factory import MemoryStore, make_store

# --- by hand ---


def daily(hours: list[float]) -> MemoryStore:
    """One user, one event a request, at these hours after 2022-05-01T00:00Z."""
    store = make_store((len(hours),), per_request=1)
    begin = datetime(2022, 5, 1, tzinfo=UTC).timestamp()
    store.column("timestamp")[:] = begin + 3600 * np.array(hours)
    time = TimeRange(first=begin + 3600 * hours[0], last=begin + 3600 * hours[-1])
    manifest = store.manifest.model_copy(update={"time": time})
    columns = {name: store.column(name) for name in ("user", "item", "timestamp", "request")}
    return MemoryStore(manifest, columns, store.users, store.items)


def test_days_begin_at_midnight_of_the_offset() -> None:
    store = daily([15, 16.5, 23, 24, 39.9, 40, 60])
    utc = SplitSpec.model_validate({"name": "date", "test_from": "2022-05-02"})
    assert assign_split(store, utc).tolist() == [0, 0, 0, 2, 2, 2, 2]
    beijing = {"name": "date", "utc_offset_hours": 8, "test_from": "2022-05-02"}
    valid = beijing | {"test_from": "2022-05-03", "valid_from": "2022-05-02"}
    assert assign_split(store, SplitSpec.model_validate(beijing)).tolist() == [0, 2, 2, 2, 2, 2, 2]
    assert assign_split(store, SplitSpec.model_validate(valid)).tolist() == [0, 1, 1, 1, 1, 2, 2]
    moment = {"name": "temporal", "test_from": "2022-05-02T00:00:00+08:00"}
    assert assign_split(store, SplitSpec.model_validate(moment)).tolist() == [0, 2, 2, 2, 2, 2, 2]


def test_date_shares_are_rounded_to_days() -> None:
    store = daily([1, 2, 3, 4, 5, 6, 25, 26, 49, 73])  # 6, 2, 1 and 1 events a day
    spec = SplitSpec(name="date", train=0.65, valid=0.2, test=0.15)
    assert assign_split(store, spec).tolist() == [0] * 6 + [1] * 2 + [2] * 2
    without = SplitSpec(name="date", train=0.75, valid=0, test=0.25)
    assert assign_split(store, without).tolist() == [0] * 8 + [2] * 2
    # However small its share, each part gets a day.
    tiny = SplitSpec(name="date", train=0.98, valid=0.01, test=0.01)
    assert np.bincount(assign_split(store, tiny)).tolist() == [8, 1, 1]


def test_hand_made_example() -> None:
    store = make_store((10,), per_request=1)
    spec = SplitSpec(name="user-temporal", train=0.7, valid=0.1, test=0.2)
    assert assign_split(store, spec).tolist() == [0] * 7 + [1] + [2] * 2
    assert assign_split(store, SplitSpec(name="leave-one-out")).tolist() == [0] * 8 + [1, 2]


def with_requests(request: list[int]) -> MemoryStore:
    store = make_store((len(request),), per_request=1)
    store.column("request")[:] = request
    counts = store.manifest.counts.model_copy(update={"requests": request[-1] + 1})
    manifest = store.manifest.model_copy(update={"counts": counts})
    columns = {name: store.column(name) for name in ("user", "item", "timestamp", "request")}
    return MemoryStore(manifest, columns, store.users, store.items)


def test_a_request_takes_the_part_of_its_first_event() -> None:
    store = with_requests([0, 1, 1, 1])
    for name in ("temporal", "user-temporal"):
        spec = SplitSpec(name=name, train=0.5, valid=0.0, test=0.5)
        assert split_events(store, spec).tolist() == [0, 0, 0, 0]


def test_leave_one_out_does_not_train_on_the_rest_of_a_page() -> None:
    store = with_requests([0, 0, 1, 1, 2, 2, 2])
    assert assign_split(store, SplitSpec(name="leave-one-out")).tolist() == [0, 0, 3, 1, 3, 3, 2]


def test_apart_events_by_hand() -> None:
    store = with_requests([0, 0, 1, 2, 2, 3, 4])
    columns = {name: store.column(name) for name in ("user", "timestamp", "request")}
    columns["apart"] = np.array([0, 1, 0, 0, 1, 0, 1], np.uint8)
    manifest = store.manifest.model_copy(update={"apart": True})
    mixed = MemoryStore(manifest, columns, store.users, store.items)
    assert assign_split(mixed, SplitSpec(name="leave-one-out")).tolist() == [0, 3, 0, 1, 3, 2, 4]
    spec = SplitSpec(name="user-temporal", train=0.5, valid=0, test=0.5)
    assert assign_split(mixed, spec).tolist() == [0, 3, 0, 2, 4, 2, 4]
    columns["apart"][:] = 1
    with pytest.raises(GenrankError, match="every event of memory is apart"):
        assign_split(mixed, spec)


# --- what is refused ---


def refusals() -> Iterator[tuple[Callable[[], MemoryStore], SplitSpec, str]]:
    loo = SplitSpec(name="leave-one-out")
    yield lambda: make_store((2, 2)), loo, "leaves valid empty"
    tail = SplitSpec(name="user-temporal", train=0.9, valid=0.0, test=0.1)
    yield lambda: make_store((4,), per_request=1), tail, "leaves test empty"
    one_day = SplitSpec(name="date")
    yield lambda: daily([1, 2, 30]), one_day, "events on 2 days; split date needs 3"
    for day in ("2022-05-01", "2022-05-04", "2031-01-01"):
        spec = SplitSpec.model_validate({"name": "date", "test_from": day})
        outside = rf"test_from = {day} lies outside the events of memory \(2022-05-01T01:00:00"
        yield lambda: daily([1, 30, 60]), spec, outside
    early = {"name": "temporal", "valid_from": 1e9, "test_from": "2022-05-02T00:00:00Z"}
    yield lambda: daily([1, 30]), SplitSpec.model_validate(early), r"valid_from = 2001-.* outside"
    at_first = {"name": "temporal", "test_from": "2022-05-01T01:00:00Z"}
    yield lambda: daily([1, 30]), SplitSpec.model_validate(at_first), "lies outside the events"
    gap = {"name": "date", "valid_from": "2022-05-02", "test_from": "2022-05-03"}
    yield lambda: daily([1, 60]), SplitSpec.model_validate(gap), "leaves valid empty"


@pytest.mark.parametrize(("make", "spec", "message"), list(refusals()))
def test_empty_parts_and_bounds_outside_are_refused(
    make: Callable[[], MemoryStore], spec: SplitSpec, message: str
) -> None:
    with pytest.raises(GenrankError, match=message) as caught:
        assign_split(make(), spec)
    assert caught.value.exit_code == ExitCode.DATA
    assert caught.value.hint
