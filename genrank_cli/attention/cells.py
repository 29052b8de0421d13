"""A bias given cell by cell: the materialized form, an L×L tensor for each sequence.

What HSTU's published implementations pay for. Built once for a layer and kept for the backward
pass, where the backends give back its gradient summed over heads, which the tables' gradients are
summed from (`genrank_cli.attention.materialized`). Legend: S sequences, C cells of all sequences
(flat).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from genrank_cli.attention.bias import Places

Codes = tuple[Tensor, ...]


@dataclass(frozen=True)
class CellsRule:
    """bias[i, j] = cell (i, j) of the sequence; its one tensor holds the cells [C].

    Each sequence's are [rows, keys], row by row, one sequence after the other. Places alone do not
    name a cell, so the backends read the tensor and never call the rule.
    """

    name: ClassVar[str] = "cells"

    @classmethod
    def of(cls, tensors: tuple[Tensor, ...]) -> CellsRule:
        return cls()

    def codes(self, rows: Places, keys: Places, dtype: torch.dtype) -> Codes:
        raise NotImplementedError("cells are read by their index")

    def values(
        self, codes: Codes, tensors: tuple[Tensor, ...], out: Tensor | None = None
    ) -> Tensor:
        raise NotImplementedError("cells are read by their index")

    def gradients(self, codes: Codes, grad: Tensor, tensors: tuple[Tensor, ...]) -> Codes:
        raise NotImplementedError("cells are read by their index")


def first_cells(offsets: Tensor, row_offsets: Tensor) -> Tensor:
    """int64 [S+1]: where the cells of each sequence begin."""
    sizes = (offsets.diff() * row_offsets.diff()).cumsum(0)
    return torch.cat((sizes.new_zeros(1), sizes))
