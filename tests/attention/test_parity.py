"""Every backend against the float64 reference: outputs and all gradients."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.attention import Mask, attend, planner
from tests.attention.cases import (
    BIASES,
    HEADS,
    WIDTH,
    Shape,
    assert_as_exact_as_reference,
    make_case,
    run,
    run_rows,
)

ACTIVATIONS = ("silu", "softmax")
MASKS: dict[str, dict[str, Any]] = {
    f"{history}-{candidates}{'-window7' if window else ''}": {
        "history": history,
        "candidates": candidates,
        "window": window,
    }
    for history, candidates, window in itertools.product(
        ("causal", "full"), ("isolated", "visible"), (None, 7)
    )
}
MASKS |= {
    "context": {"contextual": 3},
    "context-sees-history": {"contextual": 3, "context": "history"},
    "context-window7": {"contextual": 3, "window": 7},
    "context-full-visible-window7": {
        "contextual": 3, "window": 7, "history": "full", "candidates": "visible",
    },
}  # fmt: skip
SHAPES: dict[str, Shape] = {
    "no-tokens": [(0, 0), (0, 0)],
    "one-token": [(1, 0), (0, 1), (0, 0), (1, 1)],
    "no-candidates": [(5, 0), (70, 0)],
    "only-candidates": [(0, 20), (0, 66)],
    "tile-minus-1": [(63, 0), (60, 3)],
    "tile": [(64, 0), (60, 4)],
    "tile-plus-1": [(65, 0), (60, 5), (0, 1)],
    "one-long": [(420, 10)],
    "ragged": [(130, 65), (0, 0), (97, 5), (1, 1), (96, 0), (33, 130)],
}
RAGGED: Shape = [(40, 25), (0, 0), (37, 5), (1, 1), (36, 0), (13, 50)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_and_bias(mask: str, bias: str, activation: str, dtype: torch.dtype) -> None:
    case = make_case(RAGGED)
    module = BIASES[bias]()
    assert_as_exact_as_reference(case, case.mask(**MASKS[mask]), module, activation, dtype)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["none", "rab"])
@pytest.mark.parametrize("mask", ["causal-isolated", "full-visible-window7"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape(shape: str, mask: str, bias: str, activation: str) -> None:
    case = make_case(SHAPES[shape])
    module = BIASES[bias]()
    assert_as_exact_as_reference(case, case.mask(**MASKS[mask]), module, activation, torch.float32)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["rab", "rab-materialized", "alibi"])
@pytest.mark.parametrize("cells", [1, 700, 5_000])
def test_small_tiles_of_rows_and_keys(
    cells: int, bias: str, activation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many tiles in both directions, so that rows are put together from several."""
    monkeypatch.setattr(planner, "TILE_CELLS", cells)
    monkeypatch.setattr(planner, "MIN_KEYS", 8)
    monkeypatch.setattr(planner, "rows_per_tile", lambda rows: 16)
    for mask in MASKS.values():
        case, module = make_case(RAGGED), BIASES[bias]()
        _assert_equal(case, case.mask(**mask), module.double() if module else None, activation)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=5),
    activation=st.sampled_from(ACTIVATIONS),
    seed=st.integers(0, 2**31),
)
def test_any_two_intervals(lengths: list[int], activation: str, seed: int) -> None:
    """Not only masks that `packed_mask` makes: rows that see nothing, one key, three ranges."""
    case = make_case([(length, 0) for length in lengths], seed=seed)
    length = case.offsets.diff().repeat_interleave(case.offsets.diff())
    random = torch.Generator().manual_seed(seed)
    draws = torch.rand(5, len(length), generator=random, dtype=torch.float64)
    bounds = (draws * (length + 1)).floor().long().sort(dim=0).values
    bounds = bounds[[0, 3, 4, 1, 2]] if seed % 2 else bounds
    _assert_equal(case, Mask(*bounds), BIASES["alibi-time"](), activation)


def _assert_equal(case: Any, mask: Mask, bias: Any, activation: str) -> None:
    results = [run(case, mask, bias, activation, backend=x) for x in ("blockwise", "reference")]
    for got, right in zip(*results, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["none", "rab", "rab-materialized", "alibi"])
def test_gradcheck(bias: str, activation: str) -> None:
    case, module = make_case([(4, 3), (0, 1)]), BIASES[bias]()
    mask = case.mask(candidates="visible")
    learned = () if module is None else tuple(module.double().parameters())

    def function(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *_: torch.Tensor) -> Any:
        return attend(
            q, k, v,
            offsets=case.offsets, mask=mask,
            bias=None if module is None else module(case.position, case.time),
            activation=activation, scale=0.7, norm=8, backend="blockwise",
        )  # fmt: skip

    inputs = tuple(x.requires_grad_() for x in (case.q, case.k, case.v))
    assert torch.autograd.gradcheck(function, (*inputs, *learned))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
def test_dropout_drops_the_same_cells(bias: str, activation: str) -> None:
    case, module = make_case(RAGGED), BIASES[bias]()
    mask = case.mask(candidates="visible", window=20)
    assert_as_exact_as_reference(
        case, mask, module, activation, torch.float32, dropout=0.4, seed=2**33 + 5
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", ["causal-visible", "context-window7"])
def test_rows_may_be_some_of_the_tokens(mask: str, bias: str, activation: str) -> None:
    """Rows in the middle of sequences give what they give among all rows, gradients too."""
    case, module = make_case(RAGGED), BIASES[bias]()
    module = module.double() if module is not None else None
    whole = case.mask(**MASKS[mask])
    sequence = torch.arange(len(RAGGED)).repeat_interleave(case.offsets.diff())
    rows = torch.arange(0, len(sequence), 3)
    case.grad[~torch.isin(torch.arange(len(sequence)), rows)] = 0
    counts = torch.bincount(sequence[rows], minlength=len(RAGGED))
    bounds = torch.cat((counts.new_zeros(1), counts.cumsum(0)))
    for backend in ("blockwise", "reference"):
        out, dq, *others = run(case, whole, module, activation, backend=backend)
        few = run_rows(case, rows, bounds, whole.rows(rows), module, activation, backend)
        expected = (out[rows], dq[rows], *others)
        for got, right in zip(few, expected, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("bias", [name for name in BIASES if name != "none"])
def test_one_mask_may_serve_other_rows(bias: str) -> None:
    """What a batch's first layer worked out is of its own rows, wherever others stand."""
    case, module = make_case([(40, 0)]), BIASES[bias]()
    assert module is not None
    module, bounds = module.double(), torch.tensor([0, 3])
    mask = Mask.of(torch.zeros(3, dtype=torch.int64), torch.full((3,), 40))
    for rows in (torch.tensor([0, 1, 2]), torch.tensor([20, 38, 39])):
        results = [
            run_rows(case, rows, bounds, mask, module, "silu", backend)
            for backend in ("blockwise", "reference")
        ]
        for got, right in zip(*results, strict=True):
            torch.testing.assert_close(got, right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_may_have_another_width(activation: str) -> None:
    case = make_case(RAGGED, value_width=5)
    _assert_equal(case, case.mask(), None, activation)


def test_a_row_that_sees_nothing_is_zero() -> None:
    case = make_case([(4, 0)])
    nothing = torch.zeros(4, dtype=torch.int64)
    for activation, backend in itertools.product(ACTIVATIONS, ("blockwise", "reference")):
        mask = Mask.of(nothing, nothing)
        for result in run(case, mask, None, activation, backend=backend):
            assert torch.equal(result, torch.zeros(4, HEADS, WIDTH, dtype=torch.float64))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steep_slopes_underflow_quietly(activation: str) -> None:
    """Scores far below any other: nothing but zeros, no denormal numbers and no NaN."""
    case = make_case([(300, 4)])
    case.q, case.k = case.q * 30, case.k * 30
    module = BIASES["alibi"]()
    assert_as_exact_as_reference(case, case.mask(), module, activation, torch.float32)
