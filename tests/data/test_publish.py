"""Building: folders are whole or absent, whatever ends the work."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from genrank_cli.data import build as building
from genrank_cli.data import workspace
from genrank_cli.data.build import build_store
from genrank_cli.data.columns import ColumnWriter
from genrank_cli.data.runs import RunWriter
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.raw import movielens_card, write_100k


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), OSError("x")])
@pytest.mark.parametrize("place", [(ColumnWriter, "append"), (RunWriter, "add")])
def test_full_disk_in_the_middle_leaves_nothing(
    place: tuple[type, str],
    error: OSError,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(self: object, values: object) -> None:
        raise error

    monkeypatch.setattr(*place, fail)
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

    monkeypatch.setattr(building, "write_sides", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_store(card, raw, force=True)
    assert [path.name for path in home.iterdir()] == ["tiny-100k"]
    assert Store.open(home / "tiny-100k").manifest == old


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="sends signals")
@pytest.mark.parametrize("found", ["runs/1.arrow", "events/user.npy", "items.arrow"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_ended_at_any_moment_leaves_no_store(
    end: signal.Signals, found: str, home: Path, tmp_path: Path
) -> None:
    arguments = [sys.executable, "-c", textwrap.dedent(SLOW), str(found)]
    # What a shell starts in the background ignores Ctrl-C, and so would what we start.
    process = subprocess.Popen(
        arguments,
        env=os.environ,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not any(home.glob(f".synthetic.*/{found}")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    process.send_signal(end)
    code = process.wait()
    assert code == (ExitCode.INTERRUPTED if end == signal.SIGINT else -signal.SIGKILL)
    left = [path for path in home.iterdir() if path.name != ".downloads"]
    assert [path.name.split(".")[1] for path in left] == ["synthetic"] * (end == signal.SIGKILL)
    assert not (home / "synthetic").exists()
    workspace.remove_leftovers(home / "synthetic")
    assert not any(path.exists() for path in left)


# Many runs with a pause after each, and one before the end: a signal finds the build at work.
SLOW = """
    import sys, time
    from pathlib import Path
    from genrank_cli.__main__ import main
    from genrank_cli.data import build, runs, staging

    staging.BLOCK_ROWS, runs.KEPT_BYTES = 2000, 0
    add, first_problem = runs.RunWriter.add, build.first_problem
    found = sys.argv[1]

    def slow_add(self, batch):
        add(self, batch)
        if found.startswith("runs"):
            time.sleep(0.05)

    runs.RunWriter.add = slow_add
    build.first_problem = lambda store: time.sleep(5) or first_problem(store)
    sys.exit(main(["data", "build", "synthetic", "--users", "300"]))
"""

KILLED = """
    import sys, time
    from pathlib import Path
    from genrank_cli.data import build
    from tests.data.raw import movielens_card

    def wait(*_arguments):
        print("half-way", flush=True)
        time.sleep(60)

    build.write_sides = wait
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


def test_leftovers_whose_process_id_another_process_has_now_go(home: Path) -> None:
    home.mkdir()
    host = workspace._owner().split(".")[0]
    parent = os.getppid()  # runs, and has started before now
    folder = home / f".mine.{host}.{parent}.abcd0123"
    folder.mkdir()
    workspace.remove_leftovers(home / "mine")
    assert folder.is_dir()
    before = psutil.Process(parent).create_time() - 2 * workspace.CLOCK_S
    os.utime(folder, (before, before))
    workspace.remove_leftovers(home / "mine")
    assert not folder.exists()
