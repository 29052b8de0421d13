"""The hash behind dropout: its definition, number by number, and how random it looks."""

from __future__ import annotations

import pytest
import torch

from genrank_cli.attention.dropout import kept, row_hash, threshold

BITS = 0xFFFFFFFF


def mix(x: int) -> int:
    x ^= x >> 16
    x = x * 0x85EBCA6B & BITS
    x ^= x >> 13
    x = x * 0xC2B2AE35 & BITS
    return x ^ x >> 16


@pytest.mark.parametrize("seed", [0, 7, 2**40 + 1])
def test_every_cell_by_plain_integers(seed: int) -> None:
    rows, keys, heads = torch.tensor([0, 3, 10**6]), torch.tensor([1, 2, 2**31]), 3
    got = kept(row_hash(rows, heads, seed), keys, 0.3)
    for head in range(heads):
        for i, row in enumerate(rows.tolist()):
            h = mix((mix(seed & BITS) + row * heads + head) & BITS)
            for j, key in enumerate(keys.tolist()):
                right = mix((h + key * 0x9E3779B1) & BITS) >= threshold(0.3)
                assert bool(got[head, i, j]) == right


@pytest.mark.parametrize("dropout", [0.1, 0.5, 0.9])
def test_the_share_is_right_and_neighbours_are_independent(dropout: float) -> None:
    cells = kept(row_hash(torch.arange(300), 4, 1), torch.arange(500), dropout).double()
    assert abs(cells.mean() - (1 - dropout)) < 0.002  # four standard errors of 600,000 cells
    scaled = (cells - cells.mean()) / cells.std()
    for one, other in (
        (scaled[:, :, 1:], scaled[:, :, :-1]),
        (scaled[:, 1:], scaled[:, :-1]),
        (scaled[1:], scaled[:-1]),
    ):
        assert abs((one * other).mean()) < 0.008


def test_another_seed_drops_others() -> None:
    one, other = (
        kept(row_hash(torch.arange(100), 2, seed), torch.arange(100), 0.5) for seed in (1, 2)
    )
    assert 0.4 < (one == other).double().mean() < 0.6
