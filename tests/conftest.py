"""What all tests share: a place for built stores, the command line in-process, skips."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# Where there is no GPU, kernels in Triton are tested by its interpreter. Triton decides on that
# while it is imported, and torch imports it for purposes of its own: so before anything here is.
if not Path("/dev/nvidiactl").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")

REPOSITORY = Path(__file__).resolve().parent.parent
TEST_DATA = os.environ.get("GENRANK_TEST_DATA")


class Outcome(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Outcome]


@pytest.fixture(autouse=True, scope="session")
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Stores that tests build never land in the checkout."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """Run ``genrank`` in this process: ``cli("data", "list").out``."""
    from genrank_cli.__main__ import main

    def run(*arguments: str) -> Outcome:
        capsys.readouterr()
        code = main(arguments)
        return Outcome(code, *capsys.readouterr())

    log = logging.getLogger("genrank_cli")
    handlers, level = list(log.handlers), log.level
    with warnings.catch_warnings():
        yield run
    log.handlers, log.level = handlers, level


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine has no data or no device for, with the reason."""
    skips = {}
    if TEST_DATA is None or not Path(TEST_DATA).is_dir():
        skips["real_data"] = pytest.mark.skip(reason="GENRANK_TEST_DATA names no folder")
    if any(item.get_closest_marker("gpu") for item in items) and not _has_cuda():
        skips["gpu"] = pytest.mark.skip(reason="no CUDA device")
    for item in items:
        for name, skip in skips.items():
            if item.get_closest_marker(name):
                item.add_marker(skip)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()
