"""Row-wise Adagrad: equal to its formula, deterministic, resumable, small."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genrank_cli.training.rowwise import RowwiseAdagrad

STEPS, ROWS, WIDTH = 30, 12, 5


def batches(seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Rows with repetitions, and what each occurrence adds to the gradient."""
    random = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randint(0, ROWS - 2, (20,), generator=random),  # the last two are never met
            torch.randn(20, WIDTH, generator=random, dtype=torch.float64),
        )
        for _ in range(STEPS)
    ]


def make_table(dtype: torch.dtype = torch.float64) -> nn.Embedding:
    torch.manual_seed(1)
    return nn.Embedding(ROWS, WIDTH, sparse=True, dtype=dtype)


def train(
    table: nn.Embedding, optimizer: torch.optim.Optimizer, rates: list[float], first: int = 0
) -> None:
    for (rows, slope), rate in list(zip(batches(), rates, strict=True))[first:]:
        optimizer.zero_grad()
        (table(rows) * slope.to(table.weight.dtype)).sum().backward()
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()


def transcription(weight: Any, rates: list[float], decay: float, eps: float) -> Any:
    """The formula in float64, row by row."""
    weight, total = weight.copy(), np.zeros(ROWS)
    for (rows, slopes), rate in zip(batches(), rates, strict=True):
        gradient = np.zeros_like(weight)
        for row, slope in zip(rows.tolist(), slopes.numpy(), strict=True):
            gradient[row] += slope
        for row in set(rows.tolist()):
            total[row] += (gradient[row] ** 2).sum() / WIDTH
            weight[row] *= 1 - rate * decay
            weight[row] -= rate * gradient[row] / (np.sqrt(total[row]) + eps)
    return weight


RATES = [0.1 * (step + 1) / STEPS for step in range(STEPS)]


@pytest.mark.parametrize("decay", [0.0, 0.7])
def test_it_is_the_formula_in_float64(decay: float) -> None:
    table = make_table()
    expected = transcription(table.weight.detach().numpy(), RATES, decay, 1e-3)
    train(table, RowwiseAdagrad(table.parameters(), 0.1, decay, eps=1e-3), RATES)
    assert table.weight.detach().numpy() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_float32_stays_near_the_formula() -> None:
    table = make_table(torch.float32)
    expected = transcription(table.weight.detach().double().numpy(), RATES, 0.1, 1e-8)
    train(table, RowwiseAdagrad(table.parameters(), 0.1, 0.1), RATES)
    assert table.weight.detach().numpy() == pytest.approx(expected, abs=1e-5)


def test_rows_that_are_not_met_stay_as_they_are() -> None:
    table = make_table()
    before = table.weight.detach().clone()
    train(table, RowwiseAdagrad(table.parameters(), 0.1, 0.5), RATES)
    assert torch.equal(table.weight[-2:], before[-2:])
    assert not (table.weight[:-2] == before[:-2]).all(dim=1).any()


def test_the_state_is_one_number_a_row() -> None:
    table = make_table(torch.float32)
    optimizer = RowwiseAdagrad(table.parameters(), 0.1)
    train(table, optimizer, RATES)
    (state,) = optimizer.state.values()
    assert {name: tuple(x.shape) for name, x in state.items()} == {"sum": (ROWS,)}
    assert (state["sum"][:-2] > 0).all()
    assert not state["sum"][-2:].any()


def test_it_goes_on_from_its_state_to_the_same_bits() -> None:
    whole = make_table(torch.float32)
    optimizer = RowwiseAdagrad(whole.parameters(), 0.1, 0.3)
    part = make_table(torch.float32)
    begun = RowwiseAdagrad(part.parameters(), 0.1, 0.3)
    train(whole, optimizer, RATES)
    for (rows, slope), rate in list(zip(batches(), RATES, strict=True))[:13]:
        begun.zero_grad()
        (part(rows) * slope.float()).sum().backward()
        begun.param_groups[0]["lr"] = rate
        begun.step()
    saved = copy.deepcopy(begun.state_dict()), part.weight.detach().clone()
    other = make_table(torch.float32)
    resumed = RowwiseAdagrad(other.parameters(), 9.0)
    resumed.load_state_dict(saved[0])
    with torch.no_grad():
        other.weight.copy_(saved[1])
    train(other, resumed, RATES, first=13)
    assert torch.equal(other.weight, whole.weight)


def test_two_runs_give_the_same_bits() -> None:
    tables = [make_table(torch.float32) for _ in range(2)]
    for table in tables:
        train(table, RowwiseAdagrad(table.parameters(), 0.1), RATES)
    assert torch.equal(tables[0].weight, tables[1].weight)


def test_a_dense_gradient_is_refused() -> None:
    table = nn.Embedding(3, 2)
    optimizer = RowwiseAdagrad(table.parameters(), 0.1)
    optimizer.step()  # nothing to do yet
    table(torch.tensor([0])).sum().backward()
    with pytest.raises(ValueError, match="sparse=True"):
        optimizer.step()
