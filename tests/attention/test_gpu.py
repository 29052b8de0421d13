"""The Triton kernels against the float64 reference, and what they promise apart from numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.attention import Mask, RelativeBias, attend
from genrank_cli.attention.gpu.attend import supported
from genrank_cli.attention.gpu.places import KINDS
from genrank_cli.errors import GenrankError
from tests.attention.cases import (
    BIASES,
    HEADS,
    NORM,
    WIDTH,
    Case,
    Shape,
    assert_as_exact_as_reference,
    run,
    run_rows,
)
from tests.attention.gpu_cases import DEVICE, SMALL, gpu_bias, gpu_case, needs_triton
from tests.attention.test_parity import ACTIVATIONS, MASKS

# The interpreter computes with numpy, which tells of infinities that the kernels allow for.
pytestmark = [needs_triton, pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")]

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
#: One block of the interpreter more or less, rows and keys; candidates only, and none.
EDGES: dict[str, Shape] = {
    "no-tokens": [(0, 0), (0, 0)],
    "one-token": [(1, 0), (0, 1), (0, 0), (1, 1)],
    "no-candidates": [(5, 0), (35, 0)],
    "only-candidates": [(0, 20), (0, 34)],
    "block-minus-1": [(31, 0), (12, 3)],
    "block": [(32, 0), (12, 4), (16, 16)],
    "block-plus-1": [(33, 0), (12, 5), (0, 1)],
    "more-candidates-than-history": [(3, 60)],
}


def assert_exact(
    case: Case, mask: Mask, bias: str, activation: str, dtype: Any = torch.float32, **options: Any
) -> None:
    assert_as_exact_as_reference(case, mask, gpu_bias(bias), activation, dtype, "triton", **options)


def gpu_run(
    case: Case, mask: Mask, bias: Any = None, activation: str = "silu", **options: Any
) -> Any:
    options = {"dtype": torch.float32} | options
    return run(case, mask, bias, activation, backend="triton", **options)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("mask", MASKS)
def test_every_mask_and_bias(mask: str, bias: str, activation: str) -> None:
    case = gpu_case(SMALL)
    assert_exact(case, case.mask(**MASKS[mask]), bias, activation)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", BIASES)
def test_every_bias_in_16_bits(bias: str, activation: str, dtype: str) -> None:
    case = gpu_case(SMALL)
    mask = case.mask(contextual=3, window=7, candidates="visible")
    assert_exact(case, mask, bias, activation, DTYPES[dtype])


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", EDGES)
def test_every_shape(shape: str, activation: str) -> None:
    """With a fixed tolerance: of a row with one key the reference has no error to compare with."""
    case, module = gpu_case(EDGES[shape]), gpu_bias("rab")
    got = gpu_run(case, case.mask(), module, activation)
    right = run(case, case.mask(), module, activation, backend="reference")
    for one, other in zip(got, right, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("width", [1, 16, 40, 96, 100, 128])
def test_every_head_width(width: int) -> None:
    """Powers of two, sums of such, and those that are filled up."""
    case = gpu_case([(18, 3), (2, 1)], width=width)
    assert_exact(case, case.mask(), "alibi", "softmax" if width % 3 else "silu")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("width", [5, 33])
def test_values_may_have_another_width(width: int, activation: str) -> None:
    case = gpu_case([(18, 3), (2, 1)], value_width=width)
    assert_exact(case, case.mask(), "rab", activation)


def test_heads_that_no_group_divides() -> None:
    case = gpu_case([(18, 3), (2, 1)])
    for name in ("q", "k", "v", "grad"):
        x = getattr(case, name)
        setattr(case, name, torch.cat((x, x[:, :1].flip(0)), dim=1))
    assert_exact(case, case.mask(), "rab", "softmax")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["rab", "rab-materialized", "none"])
def test_dropout_drops_what_the_reference_drops(bias: str, activation: str) -> None:
    for seed in (3, 2**31 + 7, 2**40):
        case = gpu_case([(20, 4), (9, 2)])
        assert_exact(case, case.mask(), bias, activation, dropout=0.6, seed=seed)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", ["none", "rab", "rab-materialized", "alibi-time"])
def test_candidates_alone_may_be_rows(bias: str, activation: str) -> None:
    case = gpu_case(SMALL)
    mask = case.mask(candidates="visible")
    chosen = torch.cat([
        torch.arange(int(first) + int(history), int(first) + int(history + shown))
        for first, history, shown in zip(
            case.offsets[:-1], case.history, case.shown, strict=True
        )
    ]).to(DEVICE)  # fmt: skip
    zero = case.shown.new_zeros(1)
    bounds = torch.cat((zero, case.shown.cumsum(0)))
    got, right = (
        run_rows(
            case, chosen, bounds, mask.rows(chosen), gpu_bias(bias), activation, name, torch.float32
        )
        for name in ("triton", "reference")
    )
    for one, other in zip(got, right, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@settings(max_examples=8, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    activation=st.sampled_from(ACTIVATIONS),
    bias=st.sampled_from(["alibi-time", "rab", "rab-materialized"]),
    seed=st.integers(0, 2**31),
)
def test_any_intervals(lengths: list[int], activation: str, bias: str, seed: int) -> None:
    """Not only masks that `packed_mask` makes: rows that see nothing, one key, disjoint ranges."""
    case = gpu_case([(length, 0) for length in lengths], seed=seed)
    length = case.offsets.diff().repeat_interleave(case.offsets.diff())
    random = torch.Generator().manual_seed(seed)
    draws = torch.rand(5, len(length), generator=random, dtype=torch.float64).to(DEVICE)
    bounds = (draws * (length + 1)).floor().long().sort(dim=0).values
    order = [0, 3, 4, 1, 2] if seed % 2 else [0, 1, 2, 3, 4]
    mask = Mask(*bounds[order])
    module = gpu_bias(bias)
    got = gpu_run(case, mask, module, activation)
    right = run(case, mask, module, activation, backend="reference")
    for one, other in zip(got, right, strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=2e-4, atol=2e-5)


def test_a_row_that_sees_nothing_is_zero() -> None:
    case = gpu_case([(4, 0)])
    nothing = torch.zeros(4, dtype=torch.int64, device=DEVICE)
    for activation in ACTIVATIONS:
        for result in gpu_run(case, Mask.of(nothing, nothing), gpu_bias("alibi"), activation):
            assert torch.equal(result, torch.zeros_like(result))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_steep_slopes_underflow_quietly(activation: str) -> None:
    case = gpu_case([(70, 4)])
    case.q, case.k = case.q * 30, case.k * 30
    assert_exact(case, case.mask(), "alibi", activation)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("mask", ["causal-isolated", "full-visible-window7", "context-window7"])
def test_hidden_keys_move_nothing_not_one_bit(mask: str, activation: str) -> None:
    case = gpu_case(SMALL)
    shown = case.mask(**MASKS[mask])
    visible = torch.block_diag(
        *(shown.dense(case.offsets, s).float() for s in range(len(SMALL)))
    ).bool()  # [T, T]
    before = gpu_run(case, shown, None, activation)[0]
    for key in (0, 5, 19, 31, 40, 48):
        kept = case.k[key].clone(), case.v[key].clone()
        case.k[key], case.v[key] = 9.0, -7.0
        after = gpu_run(case, shown, None, activation)[0]
        case.k[key], case.v[key] = kept
        assert torch.equal((after != before).flatten(1).any(1), visible[:, key]), f"key {key}"


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hidden_keys_get_no_gradient(activation: str) -> None:
    case, row = gpu_case(SMALL), 20
    mask = case.mask(window=7)
    seen = mask.dense(case.offsets, 0)[row]
    case.grad.zero_()[row] = 1.0
    _, _, dk, dv = gpu_run(case, mask, None, activation)
    for gradient in (dk, dv):
        touched = gradient.flatten(1).any(1)
        assert torch.equal(touched[: len(seen)], seen)
        assert not touched[len(seen) :].any()


@pytest.mark.parametrize("bias", ["rab", "alibi-time"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_sequence_alone_equals_it_in_a_batch(activation: str, bias: str) -> None:
    case, module = gpu_case(SMALL), gpu_bias(bias)
    together = gpu_run(case, case.mask(), module, activation)[0]
    first, last = case.offsets[2:4].tolist()
    own = slice(int(case.shown[:2].sum()), int(case.shown[:3].sum()))
    alone = Case(
        torch.tensor([0, last - first], device=DEVICE), case.history[2:3], case.shown[2:3],
        case.prefix[own], case.group[own],
        *(x[first:last] for x in (case.position, case.time, case.q, case.k, case.v, case.grad)),
    )  # fmt: skip
    got = gpu_run(alone, alone.mask(), module, activation)[0]
    torch.testing.assert_close(got, together[first:last], rtol=0, atol=1e-5)


def test_slices_of_one_projection_and_a_transposed_tensor() -> None:
    case = gpu_case(SMALL)
    wide = torch.cat([x.flatten(1) for x in (case.v, case.v, case.q, case.k)], dim=1).float()
    _, v, q, k = (x.unflatten(-1, (HEADS, -1)) for x in wide.chunk(4, dim=-1))
    plain = gpu_run(case, case.mask())[0]

    def output(q: torch.Tensor) -> torch.Tensor:
        return attend(
            q, k, v, offsets=case.offsets, mask=case.mask(), bias=None, activation="silu",
            scale=WIDTH**-0.5, norm=NORM, backend="triton",
        )  # fmt: skip

    assert torch.equal(output(q), plain)
    assert torch.equal(output(q.transpose(1, 2).contiguous().transpose(1, 2)), plain)
    assert torch.equal(output(q.permute(2, 0, 1).contiguous().permute(1, 2, 0)), plain)


def test_an_expanded_gradient() -> None:
    case = gpu_case(SMALL)
    case.grad = torch.ones(1, 1, 1, dtype=torch.float64, device=DEVICE).expand_as(case.v)
    got = gpu_run(case, case.mask(), None, "softmax")
    right = run(case, case.mask(), None, "softmax", backend="reference")
    for one, other in zip(got, right, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-5)


def test_what_the_kernels_do_not_know() -> None:
    from genrank_cli.attention import Alibi
    from genrank_cli.attention.alibi import AlibiRule
    from genrank_cli.attention.call import Call

    class Own(AlibiRule):
        pass

    case = gpu_case([(3, 1)])
    bias: Any = Alibi(HEADS).to(DEVICE)(case.position, case.time)
    call = Call(case.offsets, case.offsets, case.mask(), bias, "silu", 1.0, NORM)
    assert type(bias.rule) in KINDS
    assert supported(call, case.q.float())
    assert not supported(call, case.q)
    assert not supported(call, case.q.float().repeat(1, 1, 17))
    assert not supported(call, case.q.float().to("meta"))
    assert not supported(replace(call, bias=replace(bias, rule=Own())), case.q.float())


def test_calls_that_the_kernels_do_not_know_are_refused() -> None:
    with pytest.raises(GenrankError, match="triton computes float32"):
        run(gpu_case([(3, 1)]), gpu_case([(3, 1)]).mask(), None, backend="triton")


def test_masks_that_would_read_beyond_memory_are_refused() -> None:
    case = gpu_case([(32, 0)])
    mask = case.mask()
    for change, reason in (
        ({"stop": mask.stop + 8}, "reaches beyond its sequence"),
        ({"start": mask.start - 1}, "reaches beyond its sequence"),
        ({"peer_stop": mask.peer_start + 1}, "overlap"),
    ):
        with pytest.raises(ValueError, match=reason):
            gpu_run(case, replace(mask, **change))


def test_table_rows_more_than_tokens_and_far_fewer() -> None:
    for positions in (1, 3, 300):
        case, module = gpu_case([(40, 5)]), RelativeBias(positions).to(DEVICE)
        assert_as_exact_as_reference(
            case, case.mask(history="full"), module, "silu", torch.float32, "triton"
        )
