"""The C++ kernels against the float64 reference: outputs and all gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.attention import Mask
from genrank_cli.attention.native.edges import bucket, bucket_edges
from genrank_cli.attention.relative import TIME_BUCKETS
from tests.attention.cases import (
    BIASES,
    NORM,
    make_case,
    run,
    run_rows,
)
from tests.attention.native_cases import EDGES, LEARNED, assert_exact, needs_compiler
from tests.attention.test_parity import ACTIVATIONS, MASKS, RAGGED, SHAPES

pytestmark = needs_compiler


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_and_bias(mask: str, bias: str, activation: str, dtype: torch.dtype) -> None:
    case = make_case(RAGGED)
    assert_exact(case, case.mask(**MASKS[mask]), bias, activation, dtype)


@pytest.mark.parametrize("dtype", ["dots", "floats"], indirect=True)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", ["causal-isolated", "context-full-visible-window7"])
def test_bfloat16_without_amx(mask: str, bias: str, activation: str, dtype: torch.dtype) -> None:
    case = make_case([(130, 65), (0, 0), (1, 1), (33, 30)])
    assert_exact(case, case.mask(**MASKS[mask]), bias, activation, dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", ["causal-isolated", "causal-visible-window7"])
def test_dropout_drops_the_same_cells(
    mask: str, bias: str, activation: str, dtype: torch.dtype
) -> None:
    case = make_case(RAGGED)
    shown = case.mask(**MASKS[mask])
    assert_exact(case, shown, bias, activation, dtype, dropout=0.3, seed=2**33 + 17)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", MASKS)
def test_rows_may_be_some_of_the_tokens(mask: str, bias: str, activation: str) -> None:
    """Also none of a sequence, and rows in another order than their tokens."""
    case, module = make_case(RAGGED), BIASES[bias]()
    sequence = torch.arange(len(RAGGED)).repeat_interleave(case.offsets.diff())
    random = torch.Generator().manual_seed(0)
    mixed = torch.randperm(len(sequence), generator=random)
    rows = mixed[sequence[mixed].argsort(stable=True)]
    rows = rows[(rows % 3 > 0) & (sequence[rows] != 2)]
    counts = torch.bincount(sequence[rows], minlength=len(RAGGED))
    row_offsets = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    shown = case.mask(**MASKS[mask]).rows(rows)
    results = [
        run_rows(case, rows, row_offsets, shown, module, activation, name, torch.float32)
        for name in ("native", "reference")
    ]
    for got, right in zip(*results, strict=True):
        torch.testing.assert_close(got, right, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("peers", [8, 9, 40])
@pytest.mark.parametrize("bias", ["none", "rab", "alibi-time"])
def test_few_and_many_peers(peers: int, bias: str, dtype: torch.dtype) -> None:
    """Few are done one by one, many in tiles of their own."""
    case = make_case([(50, 100), (0, 100), (130, 3)], per_request=peers)
    assert_exact(case, case.mask(candidates="visible"), bias, "softmax", dtype)
    assert_exact(case, case.mask(candidates="visible"), bias, "silu", dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["none", "rab"])
@pytest.mark.parametrize("shape", SHAPES | EDGES)
def test_every_shape(shape: str, bias: str, activation: str, dtype: torch.dtype) -> None:
    for mask in ("causal-isolated", "full-visible-window7"):
        case = make_case((SHAPES | EDGES)[shape])
        assert_exact(case, case.mask(**MASKS[mask]), bias, activation, dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", SHAPES | EDGES)
def test_cells_give_what_tables_give(shape: str, activation: str, dtype: torch.dtype) -> None:
    """The two forms differ in their roundings only."""
    case = make_case((SHAPES | EDGES)[shape])
    for mask in ("causal-isolated", "full-visible-window7"):
        shown = case.mask(**MASKS[mask])
        both = [
            run(case, shown, BIASES[bias](), activation, backend="native", dtype=dtype)
            for bias in LEARNED
        ]
        rough = 1e-5 if dtype == torch.float32 else 4e-2
        for one, other in zip(*both, strict=True):
            torch.testing.assert_close(one, other, rtol=rough, atol=rough)


@pytest.mark.parametrize("width", [1, 8, 12, 16, 32, 48, 64, 80, 96, 100, 112, 128])
def test_every_head_width(width: int, dtype: torch.dtype) -> None:
    """Those that fill the vectors of the processor, and those that do not."""
    random = torch.Generator().manual_seed(0)
    case = make_case([(70, 9), (5, 1)])
    for name in ("q", "k", "v", "grad"):
        shape = (*case.q.shape[:2], width)
        setattr(case, name, torch.randn(shape, generator=random, dtype=torch.float64))
    assert_exact(case, case.mask(), "alibi", "silu", dtype)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    activation=st.sampled_from(ACTIVATIONS),
    bias=st.sampled_from(["alibi-time", *LEARNED]),
    seed=st.integers(0, 2**31),
)
def test_any_three_intervals(lengths: list[int], activation: str, bias: str, seed: int) -> None:
    """Not only masks that `packed_mask` makes: rows that see nothing, one key, disjoint ranges."""
    case = make_case([(length, 0) for length in lengths], seed=seed)
    length = case.offsets.diff().repeat_interleave(case.offsets.diff())
    random = torch.Generator().manual_seed(seed)
    draws = torch.rand(5, len(length), generator=random, dtype=torch.float64)
    bounds = (draws * (length + 1)).floor().long().sort(dim=0).values
    mask = Mask(*(bounds[[0, 3, 4, 1, 2]] if seed % 2 else bounds))
    module = BIASES[bias]()
    got = run(case, mask, module, activation, backend="native", dtype=torch.float32)
    right = run(case, mask, module, activation, backend="reference")
    for one, other in zip(got, right, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steep_slopes_underflow_quietly(activation: str) -> None:
    case = make_case([(300, 4)])
    case.q, case.k = case.q * 30, case.k * 30
    assert_exact(case, case.mask(), "alibi", activation)


def test_time_buckets_end_where_the_formula_says() -> None:
    """The float32 guess inside the kernels must not move a distance across an edge."""
    edges = bucket_edges()[1:TIME_BUCKETS]
    around = torch.stack([torch.nextafter(edges, edges.new_tensor(to)) for to in (0.0, 1e30)])
    seconds = torch.cat((edges, around.flatten(), torch.tensor([0.0, 0.5, 1e15]).double()))
    seconds = seconds[seconds < 1e15]
    case = make_case([(len(seconds) + 1, 0)])
    case.time = torch.cat((torch.zeros(1, dtype=torch.float64), seconds))
    module: Any = BIASES["rab"]()
    module.position_table.data.zero_()
    module.time_table.data = torch.arange(TIME_BUCKETS).float()
    case.q, case.v = torch.zeros_like(case.q), torch.ones_like(case.v)
    count = len(case.time)
    rows = torch.arange(count)
    mask = Mask.of(torch.zeros_like(rows), torch.ones_like(rows))  # the first key
    out = run(case, mask, module, "silu", backend="native", dtype=torch.float32)[0][1:, 0, 0]
    number = torch.tensor([float(bucket(float(x))) for x in seconds]).clamp(max=TIME_BUCKETS - 1)
    torch.testing.assert_close(out * NORM, torch.nn.functional.silu(number), rtol=1e-5, atol=1e-4)
