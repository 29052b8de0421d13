"""The Triton kernels of a block's parts, through Triton's interpreter, and compiled for a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

pytest.importorskip("triton")

from genrank_cli.attention.dropout import kept, row_hash
from genrank_cli.models.fused import cuda, launch
from genrank_cli.models.layer import PLAIN, LayerForm
from tests.models.fused_cases import assert_as_exact_as, parts_of_a_block

CUDA = LayerForm(cuda.project, cuda.update)


@pytest.mark.parametrize("width", [16, 24, 64])
@pytest.mark.parametrize("tokens", [0, 1, 33])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64], ids=str
)
def test_as_exact_as_plain(dtype: torch.dtype, tokens: int, width: int) -> None:
    sizes: dict[str, Any] = {"tokens": tokens, "width": width, "rounded_to": dtype}
    found, plain = (parts_of_a_block(form, dtype, **sizes) for form in (CUDA, PLAIN))
    assert_as_exact_as(found, plain, parts_of_a_block(PLAIN, torch.float64, **sizes))


def test_as_exact_as_plain_under_autocast() -> None:
    sizes: dict[str, Any] = {"tokens": 33, "width": 24, "rounded_to": torch.float32}
    found, plain = (
        parts_of_a_block(form, torch.float32, autocast=True, **sizes) for form in (CUDA, PLAIN)
    )
    assert_as_exact_as(found, plain, parts_of_a_block(PLAIN, torch.float64, **sizes))


def test_more_rows_than_the_programs_take_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs walk on, and their partial sums of the weights' gradients add up."""
    monkeypatch.setattr(launch, "PROGRAMS", 2)
    monkeypatch.setattr(launch, "CELLS", 64)
    sizes: dict[str, Any] = {"tokens": 37, "width": 24}
    found = parts_of_a_block(CUDA, torch.float64, **sizes)
    for got, right in zip(found, parts_of_a_block(PLAIN, torch.float64, **sizes), strict=True):
        torch.testing.assert_close(got, right, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_dropout_is_a_function_of_its_seed(share: float) -> None:
    """Forward and backward drop what the hash of the attention's dropout names."""
    torch.manual_seed(0)
    tokens, width = 19, 24
    norm, linear = nn.LayerNorm(width).double(), nn.Linear(width, width).double()
    x, attended, u = torch.randn(3, tokens, width, dtype=torch.float64).requires_grad_().unbind()
    torch.manual_seed(5)
    found = CUDA.update(x, attended, u, norm, linear, share)
    torch.manual_seed(5)
    seed = int(torch.randint(2**31, ()))
    stays = kept(row_hash(torch.arange(tokens), 1, seed)[0], torch.arange(width), share)
    assert 0.1 < stays.double().mean() < 0.9
    expected = x + linear(norm(attended) * u * stays / (1 - share))
    torch.testing.assert_close(found, expected)
    grad = torch.randn_like(found)
    inputs = [x, attended, u, *norm.parameters(), *linear.parameters()]
    for mine, other in zip(
        *(torch.autograd.grad(out, inputs, grad, retain_graph=True) for out in (found, expected)),
        strict=True,
    ):
        torch.testing.assert_close(mine, other)


def test_views_of_a_wider_tensor_are_read_in_place() -> None:
    torch.manual_seed(0)
    wide = torch.randn(9, 96, dtype=torch.float64)
    norm, linear = nn.LayerNorm(24).double(), nn.Linear(24, 24).double()
    x, attended, u, _ = wide.chunk(4, dim=-1)
    assert not u.is_contiguous()
    found = CUDA.update(x, attended, u, norm, linear, 0.0)
    torch.testing.assert_close(found, PLAIN.update(x, attended, u, norm, linear, 0.0))


def test_gradients_may_lie_apart() -> None:
    """Each of the four with a stride of its own, as attention gives them."""
    torch.manual_seed(0)
    grads = tuple(torch.randn(9, 24 + 8 * i, dtype=torch.float64)[:, :24] for i in range(4))
    before = torch.randn(9, 96, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(F.silu(before), before, torch.cat(grads, dim=-1))
    torch.testing.assert_close(launch.silu_backward(grads, before.detach()), expected)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from genrank_cli.models.fused import kernels, launch

def build(kernel, pointers, numbers, **constants):
    names = kernel.arg_names
    types = dict(zip(names, (*pointers, *numbers)))
    signature = {name: types.get(name, "constexpr") for name in names}
    source = triton.compiler.ASTSource(fn=kernel, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert made.asm["cubin"], kernel
    print(kernel.__name__, constants["WIDE"], len(made.asm["cubin"]))

SUM = {"SUM": triton.language.float32}
for low in ("*bf16", "*fp32"):
    for width in (64, 768):
        wide = 1 << (width - 1).bit_length()
        sizes = {"D": width, "WIDE": wide, "ROWS": max(1, min(16, launch.CELLS // wide)), **SUM}
        build(kernels.silu_backward, [low] * 6, ["i32"] * 5, **sizes)
        for gated in (False, True):
            options = {"GATED": gated, "DROPOUT": gated}
            x = low if gated else "*fp32"
            numbers = ["i32"] * 3 + ["fp32", "i32", "i32", "fp32"]
            pointers = [x, low, "*fp32", "*fp32", low, "*fp32", "*fp32"]
            build(kernels.norm_forward, pointers, numbers, **sizes, **options)
            pointers = [low, x, low, *["*fp32"] * 4, x, low, low, "*fp32", "*fp32"]
            numbers = ["i32"] * 5 + ["fp32"]
            build(kernels.norm_backward, pointers, numbers, **sizes, **options)
"""


@pytest.mark.slow
def test_the_kernels_compile_for_a_gpu() -> None:
    """Ahead of time, so without a GPU: to machine code of compute capability 9.0."""
    environment = {name: x for name, x in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(done.stdout.splitlines()) == 2 * 2 * 5
