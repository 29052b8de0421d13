"""The environment block: complete, printable, and without names of people or hosts."""

from __future__ import annotations

import getpass
import json
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from genrank_cli import __version__
from genrank_cli.training.environment import command_line, environment, git_commit, one_line

KEYS = (
    "genrank commit python platform cpu cores_physical cores_logical cores_usable memory_bytes "
    "torch threads blas attention layer numpy polars device cuda command"
)


def test_block_is_complete_and_json() -> None:
    block = environment()
    assert list(block) == KEYS.split()
    assert json.loads(json.dumps(block)) == block
    assert block["genrank"] == __version__
    assert block["python"] == platform.python_version()
    assert block["threads"] >= 1
    assert block["memory_bytes"] > 2**28


def test_block_names_neither_user_nor_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/home/alice/bin/genrank", "train", "--data", "/srv/h1/x.csv"])
    block = environment()
    assert block["command"] == "genrank train --data .../x.csv"
    words = json.dumps({key: value for key, value in block.items() if key != "cpu"}).split('"')
    assert platform.node() not in words
    assert getpass.getuser() not in words


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["genrank", "ablate", "--component", "bias"], "genrank ablate --component bias"),
        (["x", "--raw-dir=/home/bob/ml-100k"], "genrank --raw-dir=.../ml-100k"),
        (["x", "--set", "a.b=1/2"], "genrank --set a.b=1/2"),
        (["x", "results/runs"], "genrank results/runs"),
    ],
)
def test_command_line_keeps_what_matters(arguments: list[str], text: str) -> None:
    assert command_line(arguments) == text


def test_a_gpu_that_was_not_used_is_not_named() -> None:
    assert environment()["device"] is None
    assert environment("cpu")["device"] == "cpu"
    block = environment("cpu") | {"cuda": {"device": "NVIDIA H100"}}
    assert "H100" not in one_line(block)
    assert one_line(block | {"device": "cuda"}).startswith("NVIDIA H100 · ")
    older = {key: value for key, value in block.items() if key != "device"}
    assert "H100" in one_line(older)


def test_one_line_is_one_line() -> None:
    line = one_line(environment())
    assert "\n" not in line
    assert f"genrank {__version__}" in line
    assert "torch" in line
    assert "thread" in line


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_commit_and_dirtiness(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True)

    assert git_commit(tmp_path) is None
    git("init", "--quiet")
    assert git_commit(tmp_path) is None
    file = tmp_path / "a"
    file.write_text("1")
    git("add", "a")
    git("commit", "--quiet", "-m", "first")
    commit = git_commit(tmp_path)
    assert commit is not None
    assert len(commit) == 12
    (tmp_path / "untracked").write_text("1")
    assert git_commit(tmp_path) == commit
    file.write_text("2")
    assert git_commit(tmp_path) == f"{commit}+dirty"
