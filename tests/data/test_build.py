"""Building: order, codes, requests, refusals, and folders that are whole or absent."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from genrank_cli.data import build as building
from genrank_cli.data import staging, workspace
from genrank_cli.data.build import build_store, ensure_store
from genrank_cli.data.card import RequestRule, Task
from genrank_cli.data.columns import ColumnWriter
from genrank_cli.data.invariants import check
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.conftest import BuildTables
from tests.data.raw import events, movielens_card, plain_card, write_100k


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


def test_order_and_hash_do_not_depend_on_the_block_size(
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


NAN = float("nan")
REFUSALS = [
    (
        {"task.like": [0, 1, NAN, 1, 0, 1, 0, 1.0]},
        "task.like of event 3 .*user 1.: nan is not a finite",
    ),
    ({"task.like": [0, 1, None, 1, 0, 1, 0, 1.0]}, "task.like of event 3 .* is not a finite"),
    ({"task.like": [0, 1, 0.5, 1, 0, 1, 0, 1]}, "0.5 is neither 0 nor 1, as a binary label"),
    ({"task.like": [1.0] * 8}, "task like has only one class: every label is 1"),
    ({"truth.like": [0.5] * 7 + [float("inf")]}, "truth.like of event 8"),
    ({"truth.like": [0.5] * 7 + [1.5]}, "truth.like holds a probability outside 0 to 1"),
    ({"timestamp": [0, 1, 2, 3, 4, 5, 6, NAN]}, "timestamp of event 8 .*user 2.: nan is not a"),
    (
        {"timestamp": [float(k) for k in range(7)] + [-1.0]},
        "timestamp of event 8 .*: -1 is not betw",
    ),
    ({"timestamp": [1.7e12] * 8}, "looks like milliseconds, seconds are expected"),
    ({"user": [1, 1, None, 1, 2, 2, 2, 2]}, "no user in event 3 of the source"),
    ({"item": [1, 1, 2, 1, 2, 2, 2, None]}, "no item in event 8 of the source"),
    ({"action.a": [0, 0, 0, 2, 0, 0, 0, 0]}, "an action is neither 0 nor 1 in event 4"),
    ({"action.a": [0, None, 0, 1, 0, 0, 0, 0]}, "an action is neither 0 nor 1 in event 2"),
    ({"colour": [0] * 8}, "unknown column 'colour'"),
]


@pytest.mark.parametrize(("columns", "reason"), REFUSALS, ids=[reason for _, reason in REFUSALS])
def test_impossible_values_are_refused_and_leave_nothing(
    columns: dict[str, list[float]], reason: str, build_tables: BuildTables, home: Path
) -> None:
    numbers = {name: pl.Series(values, strict=False) for name, values in columns.items()}
    with pytest.raises(GenrankError, match=reason) as caught:
        build_tables(events(**numbers))
    assert caught.value.exit_code == ExitCode.DATA
    assert list(home.iterdir()) == []


def test_missing_columns_and_labels(build_tables: BuildTables) -> None:
    with pytest.raises(GenrankError, match="gives no column item"):
        build_tables(events().drop("item"))
    with pytest.raises(GenrankError, match="gives no column request"):
        build_tables(events(), card=plain_card(rule="column"))
    with pytest.raises(GenrankError, match="no label for task 'share'; the source has like"):
        build_tables(events(), card=plain_card(tasks=(Task(name="share", kind="binary"),)))
    with pytest.raises(GenrankError, match="holds no events"):
        build_tables(events()[:0])


def test_labels_that_no_task_names_are_left_out(build_tables: BuildTables) -> None:
    store = build_tables(events(**{"task.share": [NAN] * 8}))
    assert [name for name in store.columns if name.startswith("task.")] == ["task.like"]


def test_the_same_input_gives_the_same_hash_under_any_name(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    one = build_store(card, raw).store.manifest
    two = build_store(card, raw, "other").store.manifest
    assert one.content_hash == two.content_hash
    again = build_store(card, raw, force=True).store.manifest
    assert again == one
    text = (raw / "u.data").read_text()
    (raw / "u.data").write_text(text.replace("1000000300", "1000000301"))
    assert build_store(card, raw, "third").store.manifest.content_hash != one.content_hash


def test_a_second_build_does_nothing(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    first = build_store(card, raw)
    before = (first.store.path / "manifest.json").stat().st_mtime_ns
    assert first.fresh
    assert not build_store(card, raw).fresh
    assert not build_store(card).fresh  # without the raw files
    assert (first.store.path / "manifest.json").stat().st_mtime_ns == before
    assert build_store(card, raw, force=True).fresh


def test_another_card_or_other_files_need_force_or_a_name(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    build_store(card, raw)
    other = movielens_card("100k", options={"layout": "100k", "like_at": 3})
    with pytest.raises(GenrankError, match="built from another card") as caught:
        build_store(other, raw)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "--force" in caught.value.hint
    assert "--name" in caught.value.hint
    text = (raw / "u.data").read_text()
    (raw / "u.data").write_text(text.replace("1000000300", "1000000301"))
    with pytest.raises(GenrankError, match=r"built from another u\.data"):
        build_store(card, raw)
    assert build_store(other, raw, "other").fresh
    assert build_store(other, raw, force=True).store.manifest.options["like_at"] == 3


def test_a_broken_store_is_built_again(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    path = build_store(card, raw).store.path
    (path / "items.arrow").unlink()
    assert build_store(card, raw).fresh
    assert all(not finding.detail for finding in check(Store.open(path)))


def test_a_folder_that_is_no_store_is_never_replaced(home: Path, tmp_path: Path) -> None:
    (home / "thesis").mkdir(parents=True)
    (home / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(GenrankError, match="is not a built dataset") as caught:
        build_store(movielens_card("100k"), write_100k(tmp_path / "raw"), "thesis", force=True)
    assert caught.value.exit_code == ExitCode.USAGE
    assert (home / "thesis" / "chapter.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", ["../up", "/tmp/x", ".hidden", "A", ""])
def test_names_stay_inside_the_home(name: str, home: Path) -> None:
    with pytest.raises(GenrankError, match="is not a name for a dataset"):
        build_store(movielens_card("100k"), home, name or " ")


def test_missing_raw_folder(home: Path, tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match="no such folder") as caught:
        build_store(movielens_card("100k"), tmp_path / "none")
    assert caught.value.exit_code == ExitCode.DATA


def test_wrong_checksum_names_file_expected_and_found(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = write_100k(tmp_path / "raw")
    card = movielens_card("100k")
    files = {key: spec.model_dump() for key, spec in card.files.items()}
    files["items"]["sha256"] = "ab" * 32
    card = movielens_card("100k", files=files)
    with pytest.raises(GenrankError) as caught:
        build_store(card, raw)
    error = caught.value
    assert f"{raw / 'u.item'} is not the official file: expected SHA-256 abab" in error.message
    assert "found " in error.message
    assert "--no-verify" in error.hint
    assert error.exit_code == ExitCode.DATA
    assert build_store(card, raw, verify=False).fresh
    assert "accepted by --no-verify" in caplog.text


def test_full_disk_is_told_before_the_work(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=500)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(GenrankError, match=r"needs about .* 500 B are free") as caught:
        build_store(movielens_card("100k"), write_100k(tmp_path / "raw"))
    assert caught.value.exit_code == ExitCode.DATA
    assert not home.exists()


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError("x")])
def test_full_disk_in_the_middle_leaves_nothing(
    error: OSError, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: ColumnWriter, values: object) -> None:
        raise error

    monkeypatch.setattr(ColumnWriter, "append", fail)
    expected = GenrankError if error.errno else OSError
    with pytest.raises(expected, match=r"no space left|x"):
        build_store(movielens_card("100k"), write_100k(tmp_path / "raw"))
    assert list(home.iterdir()) == []


def test_interrupt_leaves_nothing_and_keeps_the_older_store(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    old = build_store(card, raw).store.manifest

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(building, "write_side", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_store(card, raw, force=True)
    assert [path.name for path in home.iterdir()] == ["tiny-100k"]
    assert Store.open(home / "tiny-100k").manifest == old


KILLED = """
    import sys, time
    from pathlib import Path
    from genrank_cli.data import build
    from tests.data.raw import movielens_card

    def wait(*_arguments):
        print("half-way", flush=True)
        time.sleep(60)

    build.write_side = wait
    build.build_store(movielens_card("100k"), Path(sys.argv[1]))
"""


def test_killed_build_leaves_no_store_and_the_next_one_cleans_up(
    home: Path, tmp_path: Path
) -> None:
    raw = write_100k(tmp_path / "raw")
    script = [sys.executable, "-c", textwrap.dedent(KILLED), str(raw)]
    process = subprocess.Popen(script, stdout=subprocess.PIPE, env=os.environ, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "half-way"
    running = [path for path in home.iterdir() if path.name.startswith(".tiny-100k.")]
    assert len(running) == 1
    # A build beside one that is running must not touch its folder.
    build_store(movielens_card("100k"), raw, "beside")
    workspace.remove_leftovers(home / "tiny-100k")
    assert running[0].is_dir()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (home / "tiny-100k").exists()
    with pytest.raises(GenrankError, match="is not built"):
        Store.open(home / "tiny-100k")
    assert build_store(movielens_card("100k"), raw).fresh
    assert {path.name for path in home.iterdir()} == {"beside", "tiny-100k"}


def test_leftovers_of_other_machines_go_after_a_day(home: Path) -> None:
    home.mkdir()
    names = ("other.123.abcd0123", "other.124.abcd0124.old", "x.other.1.abcd0123")
    old, trash, foreign = (home / f".mine.{name}" for name in names)
    for folder in (old, trash, foreign):
        folder.mkdir()
    workspace.remove_leftovers(home / "mine")
    assert old.is_dir()
    long_ago = time.time() - 2 * workspace.ABANDONED_S
    for folder in (old, trash, foreign):
        os.utime(folder, (long_ago, long_ago))
    workspace.remove_leftovers(home / "mine")
    assert [folder.is_dir() for folder in (old, trash, foreign)] == [False, False, True]


def test_ensure_store(
    home: Path, build_tables: BuildTables, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(GenrankError, match="'ml-100k' is not built") as caught:
        ensure_store("ml-100k")
    assert caught.value.hint == "run: genrank data build ml-100k"
    with pytest.raises(GenrankError, match="unknown dataset 'nothing'"):
        ensure_store("nothing")
    built = build_tables(events())
    assert ensure_store("plain").manifest == built.manifest
    assert caplog.text == ""
    build_tables(events(), card=plain_card("ml-100k"))
    ensure_store("ml-100k")
    assert "built with other settings than those of its card" in caplog.text
