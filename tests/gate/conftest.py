"""A suite of seconds on a machine that is never busy, and its baseline."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from genrank_cli.bench import timing
from genrank_cli.gate import pace as pacing
from genrank_cli.gate import run as running
from genrank_cli.gate import suite as suites
from genrank_cli.gate.baseline import write_baseline
from tests.conftest import Cli
from tests.gate.cases import small_suite

Check = Callable[..., Any]
SWEEPING = ("collect", "disable", "enable", "freeze", "isenabled", "unfreeze")


@pytest.fixture(scope="package")
def _quiet() -> Iterator[None]:
    """What else the machine does decides no test; nor is memory swept, which takes most of one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pacing, "load_warnings", lambda begin, end: [])
        patch.setattr(timing, "gc", SimpleNamespace(**dict.fromkeys(SWEEPING, lambda: None)))
        yield


@pytest.fixture(autouse=True)
def _small(_quiet: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "load_suite", small_suite)


@pytest.fixture(scope="package")
def made(_quiet: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of the small suite."""
    file = tmp_path_factory.mktemp("baseline") / "cpu.json"
    write_baseline(file, running.measure_suite(small_suite(), jobs=1))
    return file


@pytest.fixture
def baseline(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "cpu.json"))


@pytest.fixture
def check(cli: Cli, baseline: Path) -> Check:
    """``genrank check`` with a baseline (default: the small suite's) and options."""

    def run(*more: str, file: Path = baseline) -> Any:
        return cli("check", "--baseline", str(file), "--jobs", "1", *more)

    return run
