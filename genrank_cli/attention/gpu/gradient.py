# mypy: ignore-errors

"""What the backward kernels share: from scores to weights and to the gradient of scores."""

from __future__ import annotations

import triton
import triton.language as tl

from genrank_cli.attention.gpu.tile import LOG2E, sigmoid, silu_slope


@triton.jit
def weights_and_slope(x, shown, log_sum, SOFTMAX: tl.constexpr, MASKED: tl.constexpr):
    """The weights before dropout, and what turns their gradient into that of the scores.

    SiLU: its value and derivative at ``x``. Softmax: the weight itself, twice.
    """
    if SOFTMAX:
        weights = tl.exp2((x - log_sum) * LOG2E)
        slope = weights
    else:
        share = sigmoid(x)
        weights = x * share
        slope = silu_slope(x, share)
    if MASKED:
        weights = tl.where(shown, weights, 0.0)
        slope = tl.where(shown, slope, 0.0)
    return weights, slope


@triton.jit
def finite_sum(log_sum, rows, head, heads, ok):
    """The logarithm of each row's sum; 0 for a row that saw nothing, of which nothing is left."""
    x = tl.load(log_sum + rows.to(tl.int64) * heads + head, mask=ok, other=0.0)
    return tl.where(x == float("-inf"), 0.0, x)
