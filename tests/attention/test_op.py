"""The operators in PyTorch's machinery: tracing, autocast, FLOP counter, and both schemas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, library
from torch.utils.flop_counter import FlopCounterMode

from genrank_cli.attention import Mask, RelativeBias, attend
from genrank_cli.attention.native.compiled import compiler
from tests.attention.cases import BIASES, HEADS, NORM, WIDTH, Case, make_case

SHAPE = [(40, 25), (0, 0), (37, 5), (1, 1)]
FAST = ["blockwise", pytest.param("native", marks=pytest.mark.skipif(
    compiler() is None, reason="needs a C++ compiler"))]  # fmt: skip


def attention(case: Case, bias: Any, backend: str, mask: Mask | None = None, **options: Any) -> Any:
    """A function of q, k, v."""
    shown = case.mask() if mask is None else mask

    def function(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attend(
            q, k, v,
            offsets=case.offsets, mask=shown,
            bias=None if bias is None else bias(case.position, case.time),
            **({"activation": "silu"} | options), scale=WIDTH**-0.5, norm=NORM, backend=backend,
        )  # fmt: skip

    return function


def inputs(case: Case, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    return [x.to(dtype).requires_grad_() for x in (case.q, case.k, case.v)]


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["silu", "softmax"])
@pytest.mark.parametrize("bias", ["none", "rab", "rab-materialized", "alibi-time"])
@pytest.mark.parametrize("backend", FAST)
def test_compiled_whole_it_gives_the_same(backend: str, bias: str, activation: str) -> None:
    """In one graph with what stands around it, forward and backward."""
    torch._dynamo.reset()  # or the variants before count as recompilations
    case, module = make_case(SHAPE), BIASES[bias]()
    inside = attention(case, module, backend, activation=activation, dropout=0.2, seed=3)

    def layer(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out: Tensor = inside(torch.sin(q), k, v).square()
        return out

    learned = [] if module is None else list(module.parameters())
    results = []
    # How many cells a materialized bias has is not known from shapes.
    with torch._dynamo.config.patch(capture_dynamic_output_shape_ops=True):
        for function in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
            given = inputs(case)
            out = function(*given)
            grads = torch.autograd.grad(out, [*given, *learned], case.grad.float())
            results.append([out, *grads])
    for got, right in zip(*results, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["silu", "softmax"])
def test_the_operators_keep_their_promises(activation: str) -> None:
    """PyTorch's own check: schema, fake kernel, autograd registration, traced backward."""
    case = make_case([(6, 3), (0, 1)])
    mask, position = case.mask(), case.position
    module = RelativeBias(5)
    arguments = (
        *inputs(case), case.offsets, case.offsets, list(mask.tensors()), list(module.parameters()),
        [position, case.time], "relative", activation, 0.5, NORM, 0.0, 0, "blockwise",
    )  # fmt: skip
    library.opcheck(torch.ops.genrank.attend.default, arguments)


@pytest.mark.parametrize("activation", ["silu", "softmax"])
@pytest.mark.parametrize("backend", ["reference", *FAST])
def test_autocast_lowers_what_it_lowers_elsewhere(backend: str, activation: str) -> None:
    """q, k and v, as for PyTorch's own attention; float64 and learned tables are left alone."""
    case, module = make_case(SHAPE), RelativeBias(5)
    function = attention(case, module, backend, activation=activation)
    low = [x.bfloat16() for x in inputs(case)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = function(*inputs(case))
        mixed = function(case.q.float(), case.k.bfloat16(), case.v.float())
    assert cast.dtype == torch.bfloat16
    right = function(*low)
    assert torch.equal(cast, right)
    assert torch.equal(mixed, right)
    if backend != "native":
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert function(*inputs(case, torch.float64)).dtype == torch.float64
    (grad,) = torch.autograd.grad(cast.float().sum(), [module.time_table])
    assert grad.dtype == torch.float32


@pytest.mark.parametrize("backend", FAST)
def test_the_flop_counter_counts_visible_cells(backend: str) -> None:
    """Two products forward and five backward (one is the scores again), of visible cells only."""
    case = make_case(SHAPE)
    mask = case.mask(window=9)
    given = inputs(case)
    with FlopCounterMode(display=False) as forward:
        out = attention(case, None, backend, mask)(*given)
    with FlopCounterMode(display=False) as backward:
        out.backward(case.grad.float())
    product = 2 * mask.area() * HEADS * WIDTH
    assert forward.get_total_flops() == 2 * product
    assert backward.get_total_flops() == 5 * product


def test_the_reference_is_counted_on_meta_tensors() -> None:
    case = make_case(SHAPE)
    meta = [x.to("meta") for x in (case.q, case.k, case.v)]
    with FlopCounterMode(display=False) as counter:
        out = attention(case, None, "reference")(*meta)
    assert out.shape == case.v.shape
    cells = int((case.offsets.diff() ** 2).sum())
    assert counter.get_total_flops() == 4 * cells * HEADS * WIDTH


def test_shapes_without_numbers() -> None:
    """The fake kernel, as tracing sees it."""
    case = make_case(SHAPE, value_width=5)
    for activation in ("silu", "softmax"):
        function = attention(case, None, "blockwise", activation=activation)
        with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
            out = function(*map(mode.from_tensor, inputs(case)))
        assert out.shape == case.v.shape
