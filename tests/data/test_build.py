"""Building: order, codes, requests, side tables."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from genrank_cli.data import runs, staging
from genrank_cli.data.card import RequestRule
from genrank_cli.data.invariants import check
from genrank_cli.errors import GenrankError
from tests.data.conftest import BuildTables
from tests.data.raw import events, plain_card


def test_rows_are_sorted_by_user_time_and_place_in_the_source(build_tables: BuildTables) -> None:
    random = np.random.default_rng(0)
    user, time_s = random.integers(0, 5, 300), random.integers(0, 20, 300).astype(float)
    item = random.permutation(300)
    raw = pl.DataFrame(
        {"user": user, "item": item, "timestamp": time_s, "task.like": item % 2 * 1.0}
    )
    store = build_tables(raw)
    order = np.lexsort((np.arange(300), time_s, user))
    assert (store.column("user") == user[order]).all()
    assert (store.column("timestamp") == time_s[order]).all()
    assert (store.column("item") == item[order]).all()
    assert (store.column("task.like") == item[order] % 2).all()


def test_order_and_hash_depend_neither_on_the_block_size_nor_on_what_fits_in_memory(
    build_tables: BuildTables, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(1)
    count = 500
    raw = pl.DataFrame(
        {
            "user": [f"u{k}" for k in random.integers(0, 40, count)],
            "item": random.integers(0, 60, count),
            "timestamp": random.integers(0, 900, count).astype(float),
            "request": random.integers(0, 2, count),
            "task.like": random.integers(0, 2, count),
            "action.a": random.integers(0, 2, count),
            "context.tab": np.array(["x", "y", None])[random.integers(0, 3, count)],
        }
    )
    whole = build_tables(raw)
    monkeypatch.setattr(staging, "BLOCK_ROWS", 30)
    for kept in (0, 5000, runs.KEPT_BYTES):
        monkeypatch.setattr(runs, "KEPT_BYTES", kept)
        blocks = build_tables(raw)
        assert blocks.manifest == whole.manifest
    assert blocks.manifest.counts.users == 40
    assert all(not finding.detail for finding in check(blocks))


def test_text_ids_are_sorted_as_text(build_tables: BuildTables) -> None:
    store = build_tables(events(user=["b", "b", "a", "a", "é", "é", "Z", "Z"]))
    assert store.users.ids.to_list() == ["Z", "a", "b", "é"]
    assert store.column("item").tolist() == [2, 3, 2, 3, 0, 1, 0, 1]


def test_exact_copies_are_dropped_and_counted(build_tables: BuildTables) -> None:
    raw = events()
    store = build_tables(pl.concat([raw, raw[2:3], raw, raw[7:8]]))
    assert store.manifest.counts.dropped_duplicates == 10
    assert store.manifest.counts.events == 8
    assert store.manifest.content_hash == build_tables(raw).manifest.content_hash


def test_events_that_differ_in_one_column_are_no_copies(build_tables: BuildTables) -> None:
    raw = events(**{"action.a": [0, 1] * 4})
    for change in ({"task.like": 1 - raw["task.like"]}, {"action.a": 1 - raw["action.a"]}):
        both = pl.concat([raw, raw.with_columns(**change)])
        assert build_tables(both).manifest.counts.events == 16


def test_request_rule_gap(build_tables: BuildTables) -> None:
    times = [0.0, 5.0, 10.0, 30.0, 30.0, 31.0, 60.0, 65.5]
    gap = RequestRule(rule="gap", gap_seconds=5)
    store = build_tables(events(timestamp=times), card=plain_card(requests=gap))
    assert store.column("request").tolist() == [0, 0, 0, 1, 2, 2, 3, 4]
    assert store.manifest.request_rule == "gap of at most 5 s"
    same = build_tables(events(timestamp=times))
    assert same.column("request").tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert same.request_offsets.tolist() == list(range(9))


def test_request_rule_column(build_tables: BuildTables) -> None:
    card = plain_card(rule="column")
    store = build_tables(events(request=[9, 9, 4, 4, 4, 4, 7, 7]), card=card)
    # Request 4 of user 1 and request 4 of user 2 are two requests.
    assert store.column("request").tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    with pytest.raises(GenrankError, match="request 4 of user 1 is not contiguous in time"):
        build_tables(events(request=[4, 9, 9, 4, 1, 1, 1, 1]), card=card)


def test_actions_become_a_mask(build_tables: BuildTables) -> None:
    flags = {"action.a": [0, 1] * 4, "action.b": [0, 0, 1, 1] * 2, "action.c": [True] + [False] * 7}
    store = build_tables(events(**flags))
    assert store.manifest.actions == ["a", "b", "c"]
    assert store.column("actions").tolist() == [4, 1, 2, 3, 0, 1, 2, 3]


def test_32_actions_fit_and_33_do_not(build_tables: BuildTables) -> None:
    flags = {f"action.a{k}": [1] * 8 for k in range(32)}
    assert (build_tables(events(**flags)).column("actions") == 2**32 - 1).all()
    with pytest.raises(GenrankError, match="33 actions; at most 32"):
        build_tables(events(**flags, **{"action.more": [0] * 8}))


def test_context_codes(build_tables: BuildTables) -> None:
    raw = events(**{"context.tab": ["b", None, "a", "b", "c", "c", None, "a"]})
    store = build_tables(raw)
    assert store.column("context.tab").tolist() == [2, 0, 1, 2, 3, 3, 0, 1]
    assert store.manifest.context == {"tab": 4}


def test_side_tables(build_tables: BuildTables) -> None:
    items = pl.DataFrame(
        {
            "item": [4, 2, 9, 1],
            "field.kind": ["x", None, "unused", "y"],
            "field.tags": [["q", "p", "q"], [], ["r"], None],
            "content": [[1.0, 2.0], [3.0, 4.0], [9.0, 9.0], [5.0, 6.0]],
        },
        schema_overrides={"content": pl.Array(pl.Float32, 2)},
    )
    store = build_tables(events(), items=items)
    table = store.items
    assert table.fields["kind"].tolist() == [2, 0, 0, 1]
    assert table.fields["tags"].tolist() == [[0, 0], [0, 0], [0, 0], [1, 2]]
    assert table.sizes == {"kind": 3, "tags": 3}
    assert table.content is not None
    assert table.content.tolist() == [[5, 6], [3, 4], [0, 0], [1, 2]]
    counts = store.manifest.counts
    assert (counts.dropped_items, counts.unlisted_items) == (1, 1)
    assert (counts.dropped_users, counts.unlisted_users) == (0, 0)
    assert store.users.fields == {}


def test_content_that_is_not_finite(build_tables: BuildTables) -> None:
    items = pl.DataFrame(
        {"item": [1, 2], "content": [[0.0], [float("nan")]]},
        schema_overrides={"content": pl.Array(pl.Float32, 1)},
    )
    with pytest.raises(GenrankError, match="content of item 2 is not finite"):
        build_tables(events(), items=items)


def test_labels_that_no_task_names_are_left_out(build_tables: BuildTables) -> None:
    store = build_tables(events(**{"task.share": [float("nan")] * 8}))
    assert [name for name in store.columns if name.startswith("task.")] == ["task.like"]


def test_requests_of_a_column_do_not_depend_on_the_order_of_the_source(
    build_tables: BuildTables,
) -> None:
    raw = events(request=[0, 0, 1, 1] * 2)
    card = plain_card(requests=RequestRule(rule="column"))
    expected = build_tables(raw, card=card).column("request").tolist()
    for seed in range(5):
        mixed = raw.sample(fraction=1.0, shuffle=True, seed=seed)
        assert build_tables(mixed, card=card).column("request").tolist() == expected
