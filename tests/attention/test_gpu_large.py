"""The Triton kernels in the sizes that a GPU runs them in, too large for the interpreter."""

from __future__ import annotations

import pytest
import torch

from tests.attention.cases import BIASES, assert_as_exact_as_reference
from tests.attention.gpu_cases import gpu_bias, gpu_case, needs_triton
from tests.attention.test_parity import ACTIVATIONS, MASKS, RAGGED, SHAPES

pytestmark = [needs_triton, pytest.mark.gpu]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("shape", SHAPES)
def test_large_shapes(shape: str, bias: str, activation: str, dtype: str) -> None:
    for mask in ("causal-visible", "full-visible-window7", "context-full-visible-window7"):
        case = gpu_case(SHAPES[shape])
        assert_as_exact_as_reference(
            case, case.mask(**MASKS[mask]), gpu_bias(bias), activation, DTYPES[dtype], "triton"
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [16, 32, 64, 96, 128])
def test_large_widths(width: int, dtype: str) -> None:
    for bias in BIASES:
        case = gpu_case(RAGGED, width=width)
        assert_as_exact_as_reference(
            case, case.mask(), gpu_bias(bias), "silu", DTYPES[dtype], "triton"
        )
