"""Biases: their formulas, cell by cell, and their learned tables."""

from __future__ import annotations

import math

import pytest
import torch

from genrank_cli.attention import Alibi, AlibiTime, Bias, RelativeBias, build_biases
from genrank_cli.attention.bias import Places
from genrank_cli.errors import GenrankError
from tests.attention.cases import make_case, run


def literal_bucket(seconds: float) -> int:
    """PAPER section 2: clamp(floor(ln(max(1, Δ)) / 0.301), 0, 128)."""
    return min(max(math.floor(math.log(max(1.0, seconds)) / 0.301), 0), 128)


def dense(bias: Bias) -> torch.Tensor:
    """The bias among all tokens, [1 or H, T, T]."""
    places = Places(bias.position[None], bias.time[None])
    codes = bias.rule.codes(places, places, torch.float64)
    return bias.rule.values(codes, bias.tensors)[0]


def time_buckets(times: torch.Tensor) -> list[int]:
    """The bucket between the first time and each of them."""
    bias = RelativeBias(4)(torch.zeros(len(times), dtype=torch.int64), times)
    places = Places(bias.position[None], bias.time[None])
    return [int(x) for x in bias.rule.codes(places, places, torch.float32)[1][0, 0]]


def test_time_buckets_follow_the_formula_at_every_edge() -> None:
    edges = [math.exp(0.301 * bucket) for bucket in range(1, 129)]
    around = [edge * (1 + sign * 1e-12) for edge in edges for sign in (-1, 1)]
    seconds = [0.0, 0.001, 0.999, 1.0, 1.001, *around, *map(float, range(2, 3_000)), 1e300]
    times = torch.tensor([0.0, *seconds], dtype=torch.float64)
    assert time_buckets(times)[1:] == [literal_bucket(x) for x in seconds]
    assert max(time_buckets(times)) == 128


def test_milliseconds_count_after_months() -> None:
    """Float32 seconds would be 0.25 s apart here."""
    start = 2**22 + 0.125
    gaps = [1.349, 1.353, 1.824, 1.827]  # on both sides of exp(0.301) and exp(0.602)
    times = torch.tensor([start, *(start + gap for gap in gaps)], dtype=torch.float64)
    assert time_buckets(times)[1:] == [literal_bucket(x) for x in gaps] == [0, 1, 1, 2]


@pytest.mark.parametrize("positions", [1, 3, 500], ids="P{}".format)
def test_relative_bias_cell_by_cell(positions: int) -> None:
    """Rows of the table below and above the length; the table has nothing to do with any width."""
    case = make_case([(30, 9)])
    module = RelativeBias(positions).requires_grad_(False)
    got = dense(module(case.position, case.time))[0]
    last = positions - 1
    for i in range(39):
        for j in range(39):
            distance = min(max(int(case.position[i] - case.position[j]), -last), last)
            bucket = literal_bucket(abs(float(case.time[i] - case.time[j])))
            right = float(module.position_table[distance + last] + module.time_table[bucket])
            assert float(got[i, j]) == pytest.approx(right, abs=1e-7)


@pytest.mark.parametrize("heads", [1, 2, 3, 8], ids="H{}".format)
def test_alibi_cell_by_cell(heads: int) -> None:
    case = make_case([(12, 5)])
    slopes = [2 ** (-8 * (head + 1) / heads) for head in range(heads)]
    by_place = dense(Alibi(heads)(case.position, case.time))
    by_time = dense(AlibiTime(heads)(case.position, case.time))
    for head, slope in enumerate(slopes):
        for i in range(17):
            for j in range(17):
                steps = abs(int(case.position[i] - case.position[j]))
                seconds = abs(float(case.time[i] - case.time[j]))
                away = math.log(max(1.0, seconds)) / 0.301
                assert float(by_place[head, i, j]) == pytest.approx(-slope * steps, rel=1e-6)
                assert float(by_time[head, i, j]) == pytest.approx(-slope * away, rel=1e-6)


def test_table_gradients_equal_autograd() -> None:
    case = make_case([(30, 9)])
    module = RelativeBias(7).double()
    bias = module(case.position, case.time)
    places = Places(bias.position[None], bias.time[None])
    codes = bias.rule.codes(places, places, torch.float64)
    grad = torch.randn(1, 39, 39, dtype=torch.float64)
    right = torch.autograd.grad(bias.rule.values(codes, bias.tensors)[:, 0], bias.tensors, grad)
    for got, expected in zip(bias.rule.gradients(codes, grad, bias.tensors), right, strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("activation", ["silu", "softmax"])
def test_both_forms_are_equal(activation: str) -> None:
    case = make_case([(90, 40), (20, 3)])
    fused, built = RelativeBias(40).double(), RelativeBias(40, "materialized").double()
    built.load_state_dict(fused.state_dict())
    results = [run(case, case.mask(), module, activation) for module in (fused, built)]
    for got, right in zip(*results, strict=True):
        torch.testing.assert_close(got, right, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("frozen", ["position_table", "time_table"])
def test_one_table_may_be_frozen(frozen: str) -> None:
    case, module = make_case([(20, 3)]), RelativeBias(10).double()
    names = [name for name, _ in module.named_parameters()]
    whole = dict(zip(names, run(case, case.mask(), module)[4:], strict=True))
    getattr(module, frozen).requires_grad_(False)
    (kept,) = (name for name in names if name != frozen)
    torch.testing.assert_close(run(case, case.mask(), module)[4], whole[kept])


@pytest.mark.parametrize(
    ("name", "count"), [("none", 0), ("rab", 3), ("tables", 1), ("alibi", 1), ("alibi-time", 1)]
)
def test_build_biases_shares_what_belongs_to_no_layer(name: str, count: int) -> None:
    modules = build_biases(name, layers=3, heads=2, positions=10, form="materialized")
    assert len(modules) == count
    learned = {"rab": 3 * (19 + 129), "tables": 19 + 129}
    assert sum(x.numel() for x in modules.parameters()) == learned.get(name, 0)
    assert not any("slopes" in key for key in modules.state_dict())


def test_unknown_names_are_refused() -> None:
    with pytest.raises(GenrankError, match="unknown bias 'rap'") as caught:
        build_biases("rap", layers=1, heads=1, positions=1)
    assert "'rab'" in caught.value.hint
    with pytest.raises(GenrankError, match="unknown bias form 'fusd'"):
        RelativeBias(3, "fusd")
