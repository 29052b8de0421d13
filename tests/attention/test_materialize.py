"""The operators that build a bias cell by cell: values, gradients, schema, what they refuse."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor, library

from genrank_cli.attention import Alibi, Bias, RelativeBias, attend, materialized
from genrank_cli.attention.bias import Places
from genrank_cli.attention.materialized import _CODES, materialize
from tests.attention.cases import HEADS, NORM, POSITIONS, make_case

SHAPE = [(9, 4), (0, 0), (7, 0), (1, 1)]


def module_of(positions: int = POSITIONS) -> RelativeBias:
    module = RelativeBias(positions, "materialized").double()
    torch.nn.init.normal_(module.time_table, generator=torch.Generator().manual_seed(0))
    return module


def cells_of(bias: Bias, offsets: Tensor, row_offsets: Tensor) -> Tensor:
    return materialize(bias, offsets, row_offsets, torch.float64).tensors[0]


def literal(bias: Bias, offsets: Tensor, row_offsets: Tensor) -> Tensor:
    """Sequence by sequence, with autograd's own gradients."""
    parts = []
    for s in range(len(offsets) - 1):
        rows = bias.row_places(torch.arange(int(row_offsets[s]), int(row_offsets[s + 1]))[None])
        keys = bias.places(torch.arange(int(offsets[s]), int(offsets[s + 1]))[None])
        codes = bias.rule.codes(rows, keys, torch.float64)
        parts.append(bias.rule.values(codes, bias.tensors).flatten())
    return torch.cat(parts)


@pytest.mark.parametrize("piece", [materialized.PIECE, 7])
@pytest.mark.parametrize("some", [False, True], ids=["all-rows", "some-rows"])
def test_cells_and_gradients_of_every_sequence(
    some: bool, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(materialized, "PIECE", piece)
    case, module = make_case(SHAPE), module_of()
    rows = torch.tensor([0, 5, 12, 15, 21]) if some else None
    bounds = torch.tensor([0, 3, 3, 4, 5]) if some else case.offsets
    bias = module(case.position, case.time, rows)
    got, right = (make(bias, case.offsets, bounds) for make in (cells_of, literal))
    assert torch.equal(got, right)
    grad = torch.randn(len(got), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for one, other in zip(
        torch.autograd.grad(got, bias.tensors, grad),
        torch.autograd.grad(right, bias.tensors, grad),
        strict=True,
    ):
        torch.testing.assert_close(one, other)


def test_both_ways_to_find_the_codes_are_equal() -> None:
    """Sequence by sequence on a CPU, all at once elsewhere."""
    case, module = make_case(SHAPE), module_of()
    some, bounds = torch.tensor([0, 5, 12, 15, 21]), torch.tensor([0, 3, 3, 4, 5])
    rows = Places(case.position[some], case.time[some])
    keys = Places(case.position, case.time)
    rule = module.rule()
    one = materialized.codes_by_sequence(rule, rows, keys, case.offsets, bounds)
    other = materialized.codes_of_cells(rule, rows, keys, case.offsets, bounds)
    assert all(map(torch.equal, one, other))


def test_no_cells_at_all() -> None:
    case = make_case([(0, 0)])
    cells = cells_of(module_of()(case.position, case.time), case.offsets, case.offsets)
    assert cells.shape == (0,)
    cells.sum().backward()


def test_layers_share_the_codes_and_a_batch_drops_them() -> None:
    case = make_case(SHAPE)
    gc.collect()  # those of other tests
    before = len(_CODES)
    position = case.position.clone()
    for module in (module_of(), module_of()):
        cells_of(module(position, case.time), case.offsets, case.offsets)
        assert len(_CODES) == before + 1
    del position
    assert len(_CODES) == before


@pytest.mark.slow
def test_the_operator_keeps_its_promises() -> None:
    """PyTorch's own check: schema, fake kernel, autograd registration, traced backward."""
    case, module = make_case(SHAPE), RelativeBias(POSITIONS)
    arguments = (
        list(module.parameters()), [case.position, case.time], case.offsets, case.offsets,
        "relative", torch.float32,
    )  # fmt: skip
    library.opcheck(torch.ops.genrank.materialize.default, arguments)


@pytest.mark.parametrize("wrong", ["time", "offsets"])
def test_places_that_do_not_fit_are_refused_before_they_are_read(wrong: str) -> None:
    case, module = make_case(SHAPE), module_of()
    change: dict[str, Any] = {"time": case.time, "offsets": case.offsets}
    change[wrong] = change[wrong] * torch.nan if wrong == "time" else change[wrong] + 1
    with pytest.raises(ValueError, match=r"finite|begin with 0"):
        attend(
            case.q, case.k, case.v, offsets=change["offsets"], mask=case.mask(),
            bias=module(case.position, change["time"]), activation="silu", scale=1.0, norm=NORM,
        )  # fmt: skip


def test_a_bias_of_its_own_for_every_head_is_refused() -> None:
    case = make_case(SHAPE)
    with pytest.raises(ValueError, match="all heads share"):
        cells_of(Alibi(HEADS)(case.position, case.time), case.offsets, case.offsets)
