"""Fixtures of the attention tests."""

from __future__ import annotations

import pytest
import torch

from genrank_cli.attention.native import compiled, held

LEVELS = {"amx": 2, "dots": 1, "floats": 0}  # what bfloat16 is computed with


@pytest.fixture(params=["fp32", "bf16"])
def dtype(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> torch.dtype:
    """Float32; bfloat16 in the best way that this processor has, or in a way of `LEVELS`."""
    if request.param == "fp32":
        return torch.float32
    level = LEVELS.get(request.param, held.LEVEL)
    if request.param in LEVELS and compiled.kernels().genrank_level(level) != level:
        pytest.skip(f"this processor has no {request.param}")
    monkeypatch.setattr(held, "LEVEL", level)
    return torch.bfloat16
