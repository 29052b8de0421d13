"""Random event logs: the store is what plain Python makes of them, whatever the block size."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.data import build as building
from genrank_cli.data import runs, staging, vocabulary
from genrank_cli.data.card import RequestRule
from genrank_cli.data.invariants import check
from genrank_cli.data.sources import RawTables
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from tests.data.raw import plain_card
from tests.data.slow_build import Event, slow_build

IDS = {
    "integers": (st.integers(-3, 6), st.sampled_from([0, 1, 2, 7, 10**15, 2**62, -5])),
    "text": (st.sampled_from(["b", "", "é", "a,b", "Z", "10", "9"]), st.sampled_from("xyzé")),
}
BASE = 1_650_000_000_067  # milliseconds; as float64 seconds their differences are not exact
NUMBERS = st.sampled_from([None, float("nan"), 0.0, 0.5, -3.0, 2.0**30])
TYPES = {
    "request": pl.Int64,
    "like": pl.Float64,
    "a": pl.Int8,
    "b": pl.Boolean,
    "number": pl.Float64,
    "tab": pl.String,
    "apart": pl.Boolean,
    "odd": pl.Boolean,
}


@st.composite
def logs(draw: st.DrawFn, kind: str) -> list[Event]:
    """Unsorted events with ties and copies; both labels occur."""
    users, items = IDS[kind]
    event = st.fixed_dictionaries(
        {
            "user": users,
            "item": items,
            "time": st.integers(0, 4).map(lambda step: BASE + 500 * step) | st.just(BASE + 1),
            "request": st.integers(0, 2),
            "like": st.integers(0, 1),
            "a": st.integers(0, 1),
            "b": st.integers(0, 1),
            "number": NUMBERS,
            "tab": st.sampled_from([None, "p", "q", ""]),
            "apart": st.booleans(),
            "odd": st.booleans(),
        }
    )
    events = draw(st.lists(event, min_size=1, max_size=40))
    copies = draw(st.lists(st.sampled_from(events), max_size=8))
    both = [{**events[0], "like": label} for label in (0, 1)]
    return draw(st.permutations([*events, *copies, *both]))


def build(
    events: list[Event], kind: str, rule: str, block_rows: int, kept_bytes: int, home: Path
) -> Store:
    ids = pl.String if kind == "text" else pl.Int64
    schema = {"user": ids, "item": ids, "time": pl.Int64} | TYPES
    names = {
        "like": "task.like",
        "a": "action.a",
        "b": "action.b",
        "number": "number.n",
        "tab": "context.tab",
        "odd": "quirk.odd",
    }
    raw = pl.LazyFrame([{**event, "b": bool(event["b"])} for event in events], schema)
    seconds = (pl.col("time") / 1000).alias("timestamp")
    tables = RawTables(raw.with_columns(seconds).drop("time").rename(names))
    card = plain_card(requests=RequestRule.model_validate({"rule": rule, "gap_seconds": 0.5}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(home))
        patch.setattr(building, "read", lambda _card, _raw_dir: tables)
        patch.setattr(staging, "BLOCK_ROWS", block_rows)
        patch.setattr(runs, "KEPT_BYTES", kept_bytes)
        patch.setattr(vocabulary, "MERGE_ROWS", block_rows)
        return building.build_store(card, force=True).store


@pytest.mark.slow
@settings(max_examples=40)
@given(
    data=st.data(),
    block_rows=st.sampled_from([1, 5, 1000]),
    kept_bytes=st.sampled_from([0, 300, 1 << 20]),
)
@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("rule", ["gap", "column"])
def test_the_store_is_that_of_a_slow_build(
    kind: str, rule: str, block_rows: int, kept_bytes: int, data: st.DataObject
) -> None:
    events = data.draw(logs(kind))
    expected = slow_build(events, rule, gap=0.5)
    with tempfile.TemporaryDirectory() as folder:
        if expected is None:
            with pytest.raises(GenrankError, match="is not contiguous in time"):
                build(events, kind, rule, block_rows, kept_bytes, Path(folder))
            return
        store = build(events, kind, rule, block_rows, kept_bytes, Path(folder))
        assert store.columns == sorted(expected.columns)
        for name, values in expected.columns.items():
            np.testing.assert_array_equal(store.column(name), values, err_msg=name)
        assert store.users.ids.to_list() == [str(user) for user in expected.users]
        assert store.items.ids.to_list() == [str(item) for item in expected.items]
        assert store.manifest.context == {"tab": len(expected.contexts) + 1}
        assert store.manifest.counts.dropped_duplicates == expected.duplicates
        assert store.manifest.quirks == {"odd": expected.odd}
        assert [finding.detail for finding in check(store) if finding.detail] == []
        check_grouping(store)


def check_grouping(store: Store) -> None:
    """Every event lies in exactly one request and one user, each request within one user."""
    counts = store.manifest.counts
    for offsets, size in (
        (store.user_offsets, counts.users),
        (store.request_offsets, counts.requests),
    ):
        assert len(offsets) == size + 1
        assert (offsets[0], offsets[-1]) == (0, counts.events)
        assert (np.diff(offsets) > 0).all()
    user: np.ndarray[Any, Any] = store.column("user")
    starts, ends = store.request_offsets[:-1], store.request_offsets[1:] - 1
    assert (user[starts] == user[ends]).all()
