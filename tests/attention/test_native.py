"""The C++ kernels against the float64 reference, and what they promise apart from their numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.attention import Alibi, Mask, attend, resolve_backend
from genrank_cli.attention.alibi import AlibiRule
from genrank_cli.attention.call import Call
from genrank_cli.attention.native import compiled, held
from genrank_cli.attention.native.attend import forward_native, supported
from genrank_cli.attention.native.edges import bucket, bucket_edges
from genrank_cli.attention.native.threads import pool
from genrank_cli.attention.relative import TIME_BUCKETS
from genrank_cli.errors import GenrankError
from tests.attention.cases import (
    BIASES,
    HEADS,
    NORM,
    WIDTH,
    Shape,
    assert_as_exact_as_reference,
    make_case,
    run,
    run_rows,
)
from tests.attention.test_parity import ACTIVATIONS, MASKS, RAGGED, SHAPES

pytestmark = pytest.mark.skipif(not compiled.available(), reason="no C++ compiler")

#: One vector of rows, strip, block of keys or panel of rows more or less.
EDGES: dict[str, Shape] = {
    "edge-minus-1": [(95, 0), (31, 0), (191, 0), (15, 0), (23, 0)],
    "edge": [(96, 0), (32, 0), (192, 0), (16, 0), (24, 0)],
    "edge-plus-1": [(97, 0), (33, 0), (193, 0), (17, 0), (25, 0)],
    "two-panels": [(150, 130), (3, 140)],
}
LEARNED = ("rab", "rab-materialized")
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


def assert_exact(
    case: Any, mask: Mask, bias: str, activation: str, dtype: Any = torch.float32, **options: Any
) -> None:
    module = BIASES[bias]()
    assert_as_exact_as_reference(case, mask, module, activation, dtype, "native", **options)


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


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing compiled yet, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = (compiled.kernels, compiled.compiler, compiled.available)
    for function in cached:
        function.cache_clear()
    yield tmp_path / "genrank"
    for function in cached:
        function.cache_clear()


def test_compiled_once_and_found_again(fresh: Path) -> None:
    compiled.kernels()
    (made,) = fresh.iterdir()
    stamp = made.stat().st_mtime_ns
    compiled.kernels.cache_clear()
    compiled.kernels()
    assert [(path, path.stat().st_mtime_ns) for path in fresh.iterdir()] == [(made, stamp)]


def test_no_compiler_and_a_broken_one(
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(GenrankError, match="no C\\+\\+ compiler") as caught:
        compiled.kernels()
    assert resolve_backend("auto") == "blockwise"
    assert not caplog.records
    assert "blockwise" in (caught.value.hint or "")
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "c++"
    broken.write_text("#!/bin/sh\necho 'kernel.cpp:1: error: no such flag' >&2\nexit 1\n")
    broken.chmod(0o755)
    compiled.compiler.cache_clear()
    with pytest.raises(GenrankError, match=r"failed: kernel\.cpp:1: error: no such flag"):
        compiled.kernels()
    compiled.available.cache_clear()
    assert [resolve_backend("auto") for _ in range(2)] == ["blockwise"] * 2
    assert [record.message for record in caplog.records] == [
        f"attention backend native: {broken} failed: kernel.cpp:1: error: no such flag; "
        "using blockwise"
    ]
    assert list(fresh.glob("*")) == []


def test_a_file_that_cannot_be_loaded(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled.kernels()
    (made,) = fresh.iterdir()
    broken = tmp_path / "other" / "genrank" / made.name
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a library")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    compiled.kernels.cache_clear()
    with pytest.raises(GenrankError, match=r"attention-.*\.so: ") as caught:
        compiled.kernels()
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")


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
