"""The learned tables in the Triton kernels: buckets to the last bit, gradients bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

from genrank_cli.attention import Mask, RelativeBias
from genrank_cli.attention.gpu import launch
from genrank_cli.attention.gpu.places import split
from genrank_cli.attention.native.edges import bucket_edges
from genrank_cli.attention.relative import TIME_BUCKET_WIDTH, TIME_BUCKETS
from tests.attention.cases import NORM, assert_as_exact_as_reference, run
from tests.attention.gpu_cases import DEVICE, SMALL, gpu_bias, gpu_case, needs_triton
from tests.attention.test_parity import ACTIVATIONS

pytestmark = [needs_triton, pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")]


@pytest.fixture
def slow_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device on which times are split into two float32."""
    monkeypatch.setattr(launch, "fast_float64", lambda q: False)


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def _seen_buckets(seconds: torch.Tensor) -> torch.Tensor:
    """The time bucket that the kernels find for each distance."""
    case = gpu_case([(len(seconds) + 1, 0)])
    case.time = torch.cat((seconds.new_zeros(1), seconds)).to(DEVICE)
    module: Any = gpu_bias("rab")
    module.position_table.data.zero_()
    module.time_table.data = torch.arange(TIME_BUCKETS, device=DEVICE).float()
    case.q, case.v = torch.zeros_like(case.q), torch.ones_like(case.v)
    first = torch.zeros(len(case.time), dtype=torch.int64, device=DEVICE)
    out = run(case, Mask.of(first, first + 1), module, backend="triton", dtype=torch.float32)[0]
    return (out[1:, 0, 0] * NORM).cpu()


def _bucket(seconds: torch.Tensor) -> torch.Tensor:
    scaled = seconds.clamp(min=1).log().div(TIME_BUCKET_WIDTH).clamp(max=TIME_BUCKETS - 1)
    return scaled.floor().float()


def _assert_buckets(seconds: torch.Tensor) -> None:
    right = torch.nn.functional.silu(_bucket(seconds))
    torch.testing.assert_close(_seen_buckets(seconds), right, rtol=1e-5, atol=1e-4)


def test_time_buckets_end_where_the_formula_says() -> None:
    edges = bucket_edges()[1:TIME_BUCKETS]
    around = [torch.nextafter(edges, edges.new_tensor(to)) for to in (0.0, 1e30)]
    _assert_buckets(torch.cat((edges, *around, torch.tensor([0.0, 0.5, 1.0, 1e19, 1e30]).double())))


def test_split_times_decide_to_fourteen_digits(slow_float64: None) -> None:
    """Two float32 hold 48 bits: a millisecond is told from its neighbours for nine years."""
    edges = bucket_edges()[1:TIME_BUCKETS]
    near = torch.cat((edges * (1 - 1e-13), edges * (1 + 1e-13)))
    _assert_buckets(torch.cat((near, torch.tensor([0.0, 0.5, 1.0, 1e19, 1e30]).double())))


@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("begin", [0.3, 2e8 + 0.123])
def test_milliseconds_years_apart(begin: float, direction: int, slow_float64: None) -> None:
    """The key near 0 and far from it, before the rows and after: a millisecond decides."""
    edges = bucket_edges()[1:60]
    below = (edges * 1000).floor() / 1000
    case = gpu_case([(2 * len(edges) + 1, 0)])
    rows = begin + direction * torch.cat((below, below + 0.001))
    case.time = torch.cat((rows.new_full((1,), begin), rows)).to(DEVICE)
    module: Any = gpu_bias("rab")
    first = torch.zeros(len(case.time), dtype=torch.int64, device=DEVICE)
    got, right = (
        run(case, Mask.of(first, first + 1), module, backend=name, dtype=torch.float32)[0]
        for name in ("triton", "reference")
    )
    torch.testing.assert_close(got, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_split_times_in_all_kernels(slow_float64: None, activation: str) -> None:
    case = gpu_case(SMALL)
    assert_as_exact_as_reference(
        case, case.mask(), gpu_bias("rab"), activation, torch.float32, "triton"
    )


def test_the_guess_is_always_next_to_the_right_edge() -> None:
    """The kernels' fixed-point logarithm, in Python: the bucket ends or begins at its edge."""
    random = torch.Generator().manual_seed(0)
    seconds = torch.rand(200_000, generator=random, dtype=torch.float64).mul(42).exp()
    for bits in (
        ((seconds.view(torch.int64) >> 32) - (1023 << 20)) >> 8,
        (seconds.float().view(torch.int32).long() - (127 << 23)) >> 11,
    ):
        edge = (((bits.clamp(0, 57 << 12) + 1066) * 4716) >> 23).clamp(max=TIME_BUCKETS - 1)
        bucket = _bucket(seconds).long()
        assert bool(((edge == bucket) | (edge == bucket + 1)).all())


def test_a_time_is_the_sum_of_its_parts() -> None:
    times = torch.tensor([0.0, 0.1, 12_345_678.901], dtype=torch.float64)
    high, low = split(times)
    assert high.dtype == low.dtype == torch.float32
    assert bool(((high.double() + low - times).abs() <= times * 2.0**-47).all())


@pytest.mark.parametrize("bias", ["rab", "rab-materialized"])
def test_two_runs_are_equal_bit_for_bit(bias: str, deterministic: None) -> None:
    case, module = gpu_case(SMALL), gpu_bias(bias)
    first, second = (
        run(case, case.mask(), module, backend="triton", dtype=torch.float32) for _ in range(2)
    )
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("positions", [9, 500])
def test_positions_in_any_order(positions: int, strict: bool) -> None:
    """Shuffled, repeated, with gaps: the tiles have no diagonals to sum along."""
    torch.use_deterministic_algorithms(strict)
    try:
        for spread in (1, 40):
            case = gpu_case([(37, 4), (9, 0)])
            random = torch.Generator().manual_seed(spread)
            order = torch.randperm(len(case.position), generator=random).to(DEVICE)
            case.position = case.position[order] // 2 * spread
            module = RelativeBias(positions).to(DEVICE)
            mask = case.mask(history="full", candidates="visible")
            assert_as_exact_as_reference(case, mask, module, "silu", torch.float32, "triton")
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gaps_and_rows_that_stand_together(activation: str) -> None:
    """Keys one after the other, from any place on, and rows anywhere, even before them."""
    case = gpu_case([(50, 14)])
    random = torch.Generator().manual_seed(3)
    case.position[:50] += 7
    case.position[50:] = torch.randint(-90, 200, (14,), generator=random).to(DEVICE)
    module = RelativeBias(60).to(DEVICE)
    assert_as_exact_as_reference(
        case, case.mask(history="full"), module, activation, torch.float32, "triton"
    )
