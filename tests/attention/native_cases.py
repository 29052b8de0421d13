"""Cases for the C++ kernels."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from genrank_cli.attention import Mask
from genrank_cli.attention.native import compiled
from tests.attention.cases import BIASES, Shape, assert_as_exact_as_reference

needs_compiler = pytest.mark.skipif(not compiled.available(), reason="no C++ compiler")

#: One vector of rows, strip, block of keys or panel of rows more or less.
EDGES: dict[str, Shape] = {
    "edge-minus-1": [(95, 0), (31, 0), (191, 0), (15, 0), (23, 0)],
    "edge": [(96, 0), (32, 0), (192, 0), (16, 0), (24, 0)],
    "edge-plus-1": [(97, 0), (33, 0), (193, 0), (17, 0), (25, 0)],
    "two-panels": [(150, 130), (3, 140)],
}
LEARNED = ("rab", "rab-materialized")


def assert_exact(
    case: Any, mask: Mask, bias: str, activation: str, dtype: Any = torch.float32, **options: Any
) -> None:
    module = BIASES[bias]()
    assert_as_exact_as_reference(case, mask, module, activation, dtype, "native", **options)
