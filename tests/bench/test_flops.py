"""FLOPs in closed form against cells counted one by one and against PyTorch's own counter."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from genrank_cli.attention import attend, packed_mask
from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.plan import RowSpec, Shape
from genrank_cli.bench.flops import attention_flops, visible_cells


@pytest.mark.parametrize(("history", "candidates"), [(1, 0), (1, 1), (7, 3), (20, 0), (0, 4)])
def test_visible_cells_are_those_of_the_mask(history: int, candidates: int) -> None:
    mask = packed_mask(
        torch.tensor([history]),
        torch.tensor([candidates]),
        torch.full((candidates,), history),
        torch.zeros(candidates, dtype=torch.int64),
    )
    dense = mask.dense(torch.tensor([0, history + candidates]), 0)
    assert visible_cells(history, candidates) == mask.area() == int(dense.sum())


def test_a_cell_costs_four_and_eight_widths() -> None:
    found = attention_flops(1, 1, 1)
    assert found.parts() == {"forward": 4, "backward": 8}
    assert found.hardware_parts() == {"forward": 4, "backward": 10}
    assert attention_flops(3, 5, 7).forward == 4 * 3 * 5 * 7
    dense = attention_flops(3, 5, 7, visited=10, recomputes=False)
    assert dense.hardware_parts() == {"forward": 4 * 350, "backward": 8 * 350}
    assert dense.parts() == attention_flops(3, 5, 7).parts()


def test_the_reference_does_what_pytorch_counts() -> None:
    shape = Shape(seq_len=12, batch_size=3, heads=2, width=8, candidates=2)
    inputs = Inputs(shape, "cpu")
    q, k, v = (torch.empty(36, 2, 8, device="meta", requires_grad=True) for _ in range(3))
    with FlopCounterMode(display=False) as counter:
        out = attend(
            q, k, v, offsets=inputs.offsets, mask=inputs.mask, bias=None, activation="silu",
            scale=1.0, norm=12, backend="reference",
        )  # fmt: skip
        forward = counter.get_total_flops()
        out.sum().backward()
    expected = RowSpec("reference", "none", "float32", "silu", ()).flops(shape).hardware_parts()
    assert forward == expected["forward"]
    assert counter.get_total_flops() - forward == expected["backward"]


def test_each_row_counts_its_own_mask() -> None:
    shape = Shape(seq_len=10, batch_size=2, heads=1, width=1, candidates=3)

    def row(backend: str) -> dict[str, int]:
        return RowSpec(backend, "none", "float32", "silu", ()).flops(shape).parts()

    isolated, causal = 2 * (7 * 8 // 2 + 3 * 8), 2 * 55
    assert row("native")["forward"] == row("reference")["forward"] == 4 * isolated
    assert row("flex")["forward"] == 4 * isolated
    assert row("sdpa")["forward"] == row("flash")["forward"] == 4 * causal
