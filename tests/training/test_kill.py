"""kill -9 at any moment: the same command then ends with the same weights."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.training.small import run, small_cell

#: Trains the small cell, checkpoint after checkpoint, slowly enough to be killed in between.
SCRIPT = """
import sys, time
from pathlib import Path
from genrank_cli.training import loop
from tests.training.small import run, small_cell

loop.CHECKPOINT_SECONDS = float(sys.argv[2])
run(small_cell(), Path(sys.argv[1]), observe=lambda trainer: time.sleep(0.2))
"""


def kill_when(condition: str, runs: Path, checkpoint_s: float) -> None:
    """Start a run in a process of its own and kill it once ``condition`` names a file."""
    folder = small_cell().folder(runs)
    command = [sys.executable, "-c", SCRIPT, str(runs), str(checkpoint_s)]
    process = subprocess.Popen(command, cwd=REPOSITORY)
    try:
        until = time.monotonic() + 60
        while not (folder / condition).exists() and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "result.json").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("condition", "checkpoint_s", "resumed_at"),
    [("checkpoint.pt", 0.0, (0, 2)), ("metrics.jsonl", 1e9, (1, 1))],
    ids=["inside-an-epoch", "after-an-epoch"],
)
def test_a_killed_run_ends_with_the_weights_of_an_unbroken_one(
    condition: str, checkpoint_s: float, resumed_at: tuple[int, int], tmp_path: Path
) -> None:
    whole = Path(run(small_cell(), tmp_path / "whole")["folder"])
    kill_when(condition, tmp_path / "killed", checkpoint_s)
    seen: list[tuple[int, int]] = []
    record = run(
        small_cell(),
        tmp_path / "killed",
        observe=lambda t: seen.append((t.progress.epoch, t.progress.step)),
    )
    assert seen[0] >= resumed_at  # a slow machine kills a step later
    killed = Path(record["folder"])
    assert (killed / "weights.safetensors").read_bytes() == (
        whole / "weights.safetensors"
    ).read_bytes()
    assert sorted(file.name for file in killed.iterdir()) == sorted(
        file.name for file in whole.iterdir()
    )
