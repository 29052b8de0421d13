"""The real compiler takes the kernels: down to machine code for a Hopper GPU, without one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.conftest import REPOSITORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("triton") is None, reason="triton is not installed"
    ),
]

SHARED_MEMORY = 227 * 1024  # bytes that a block of a Hopper GPU may have


def compile_all(dtype: str, width: int, kinds: str) -> list[dict[str, Any]]:
    """In a process of its own, since triton either compiles or interprets."""
    environment = {key: x for key, x in os.environ.items() if key != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.attention.gpu_compile", dtype, str(width), kinds]
    done = subprocess.run(
        command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


# A bias takes half a minute: the whole matrix (every bias, fp16, widths 16 to 128) is for whoever
# changes the kernels, by the program that this calls.
@pytest.mark.parametrize(("dtype", "width", "kind"), [("bf16", 96, "3"), ("fp32", 64, "1")])
def test_the_kernels_compile(dtype: str, width: int, kind: str) -> None:
    for made in compile_all(dtype, width, kind):
        assert made["size"] > 0
        assert made["shared"] <= SHARED_MEMORY, made
        assert made["wgmma"] == (dtype != "fp32"), made
        assert made["copies"], made
