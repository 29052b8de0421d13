"""What the C++ kernels promise apart from their numbers: isolation, equal bits, refusals."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
import torch

from genrank_cli.attention import Alibi, attend
from genrank_cli.attention.alibi import AlibiRule
from genrank_cli.attention.call import Call
from genrank_cli.attention.native.attend import forward_native, supported
from genrank_cli.attention.native.threads import pool
from genrank_cli.errors import GenrankError
from tests.attention.cases import (
    BIASES,
    HEADS,
    NORM,
    WIDTH,
    make_case,
    run,
)
from tests.attention.native_cases import LEARNED, assert_exact, needs_compiler
from tests.attention.test_parity import ACTIVATIONS, MASKS, RAGGED

pytestmark = needs_compiler


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("mask", MASKS)
def test_hidden_keys_move_nothing_not_one_bit(mask: str, activation: str) -> None:
    case = make_case(RAGGED)
    visible = torch.block_diag(
        *(case.mask(**MASKS[mask]).dense(case.offsets, s).float() for s in range(len(RAGGED)))
    ).bool()  # [T, T]

    def output() -> torch.Tensor:
        options = MASKS[mask]
        return run(
            case, case.mask(**options), None, activation, backend="native", dtype=torch.float32
        )[0]

    before = output()
    for key in range(0, len(visible), 7):
        kept = case.k[key].clone(), case.v[key].clone()
        case.k[key], case.v[key] = 9.0, -7.0
        moved = (output() != before).flatten(1).any(1)  # [T]
        case.k[key], case.v[key] = kept
        assert torch.equal(moved, visible[:, key]), f"key {key}"


@pytest.mark.parametrize("bias", ["none", "alibi", *LEARNED])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_runs_and_thread_counts_give_the_same_bits(
    activation: str, bias: str, dtype: torch.dtype
) -> None:
    case, module = make_case(RAGGED), BIASES[bias]()
    before = torch.get_num_threads()
    results = []
    for count in (2, 2, 1, 3):
        torch.set_num_threads(count)
        results.append(run(case, case.mask(), module, activation, backend="native", dtype=dtype))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(map(torch.equal, results[0], other))


def test_slices_of_one_projection_and_a_transposed_tensor() -> None:
    case = make_case(RAGGED)
    wide = torch.cat([x.flatten(1) for x in (case.v, case.v, case.q, case.k)], dim=1).float()
    _, v, q, k = (x.unflatten(-1, (HEADS, -1)) for x in wide.chunk(4, dim=-1))
    plain = _output(case, case.q.float(), case.k.float(), case.v.float())
    assert torch.equal(_output(case, q, k, v), plain)
    turned = q.transpose(1, 2).contiguous().transpose(1, 2)
    assert torch.equal(_output(case, turned, k, v), plain)


def _output(case: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return attend(
        q, k, v, offsets=case.offsets, mask=case.mask(), bias=None, activation="silu",
        scale=WIDTH**-0.5, norm=NORM, backend="native",
    )  # fmt: skip


def test_an_expanded_gradient_and_values_of_another_width() -> None:
    case = make_case(RAGGED, value_width=5)
    case.grad = torch.ones(1, 1, 1, dtype=torch.float64).expand_as(case.v)
    assert_exact(case, case.mask(), "none", "silu")


def test_what_the_kernels_do_not_know_is_refused_or_left_to_blockwise() -> None:
    class OwnRule(AlibiRule):
        pass

    class Own(Alibi):
        def rule(self) -> Any:
            return OwnRule()

    case, own = make_case(RAGGED), Own(HEADS)
    for dtype, module in ((torch.float64, None), (torch.float16, None), (torch.float32, own)):
        bias = None if module is None else module(case.position, case.time)
        call = Call(case.offsets, case.offsets, case.mask(), bias, "silu", 1.0, NORM)
        q, k, v = (x.to(dtype) for x in (case.q, case.k, case.v))
        with pytest.raises(GenrankError, match="native computes float32") as caught:
            forward_native(q, k, v, call)
        assert caught.value.exit_code == 2
        kept, right = (
            run(case, case.mask(), module, backend=name, dtype=dtype)
            for name in ("auto", "blockwise")
        )
        assert all(map(torch.equal, kept, right))


def test_other_devices_are_left_to_other_backends() -> None:
    case = make_case(RAGGED)
    call = Call(case.offsets, case.offsets, case.mask(), None, "silu", 1.0, NORM)
    assert supported(call, case.q.float())
    assert not supported(call, case.q.float().to("meta"))


def test_masks_and_dtypes_that_would_read_beyond_memory_are_refused() -> None:
    case = make_case([(32, 0)])
    mask = case.mask()
    for change, reason in (
        ({"stop": mask.stop + 8}, "reaches beyond its sequence"),
        ({"start": mask.start - 1}, "reaches beyond its sequence"),
        ({"peer_stop": mask.peer_start + 1}, "overlap"),
        ({"start": mask.start.int()}, "start must be torch.int64"),
    ):
        with pytest.raises(ValueError, match=reason):
            run(case, replace(mask, **change), None, backend="native", dtype=torch.float32)
    case.time = case.time.float()
    with pytest.raises(ValueError, match=r"time must be torch\.float64"):
        run(case, mask, BIASES["rab"](), backend="native", dtype=torch.float32)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_makes_threads_of_its_own() -> None:
    """The parent's pool would wait for threads that the child does not have."""
    pool(2)
    child = os.fork()
    if child == 0:
        os._exit(pool.cache_info().currsize)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert pool.cache_info().currsize > 0


@pytest.mark.parametrize("bias", LEARNED)
def test_a_tensor_shared_by_two_masks_brings_back_nothing_wrong(bias: str) -> None:
    """What is kept for a batch is kept by one tensor of its mask, and checked by the others."""
    case, module = make_case(RAGGED), BIASES[bias]()
    mask = case.mask()
    start = torch.where(mask.stop > 3, torch.minimum(mask.stop - 2, mask.start + 5), mask.start)
    other = replace(mask, start=start)
    later = make_case(RAGGED)
    later.time = later.time * 3
    later.position = later.position + torch.arange(len(later.position)) % 3
    for batch, shown in ((case, mask), (case, other), (later, other), (case, mask)):
        got = run(batch, shown, module, "silu", backend="native", dtype=torch.float32)
        right = run(batch, shown, module, "silu", backend="reference", dtype=torch.float32)
        for one, two in zip(got, right, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-5)
