"""The least bytes that a part of a training step moves between memory and processor.

A pass, forward or backward, reads each of its inputs once and writes each of its results once; what
it can compute again from its inputs does not count. So no implementation that runs the two passes
one after the other moves less.

attention    forward: q, k, v in, attended out; backward: q, k, v and attended's gradient in, three
             gradients out
projections  the rest of a block. Forward: x and attended in, v, q, k and the block's output y out;
             backward: the gradients of these four, x and attended in, those of x and attended out.
             The gate u never has to leave the processor: it is computed from x
embedding    forward: x out; backward: its gradient in. The rows of the tables that are read are not
             counted: how many are different depends on the data
matrices     read forward, read backward, their gradient written
optimizer    weight, gradient and two moments in; weight and moments out

Weights, gradients of weights, moments and tables are float32, and so is what passes from block to
block (x, y). All else is in the dtype of mixed precision, the copies of the matrices that the
backward pass reads as well.

Legend: T tokens, L tokens of a sample, d width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

FLOAT = 4


@dataclass(frozen=True)
class Arrays:
    """Arrays of T·d that are read or written: ``between`` blocks, and ``inside`` of one."""

    between: int
    inside: int


ATTENTION = Arrays(between=0, inside=4 + 7)
PROJECTIONS = Arrays(between=2 + 3, inside=4 + 5)
EMBEDDING = Arrays(between=2, inside=0)

#: Passes over an L × L bias: written and read; read again, its gradient written and read.
MATERIALIZED_PASSES = 5

OPTIMIZER_PASSES = 7


def array_bytes(arrays: Arrays, numbers: int, dtype: str = "float32") -> int:
    """Bytes of ``arrays`` of so many ``numbers`` (T·d) each."""
    return numbers * (arrays.between * FLOAT + arrays.inside * size_of(dtype))


def matrix_bytes(numbers: int, dtype: str = "float32") -> int:
    """Bytes for matrices of so many numbers, forward and backward."""
    return numbers * (2 * FLOAT + size_of(dtype))


def bias_bytes(cells: int, dtype: str = "float32") -> int:
    """Bytes for a materialized bias of so many cells (Σ L²)."""
    return MATERIALIZED_PASSES * cells * size_of(dtype)


def optimizer_bytes(parameters: int) -> int:
    """Bytes for so many parameters that have moments."""
    return OPTIMIZER_PASSES * parameters * FLOAT


def size_of(dtype: str) -> int:
    """Bytes of a number: 2 of bfloat16."""
    kind: torch.dtype = getattr(torch, dtype)
    return kind.itemsize
