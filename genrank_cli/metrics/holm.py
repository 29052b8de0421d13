"""Several questions asked of one study: p-values adjusted so that one false answer stays rare."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from genrank_cli.errors import data_error
from genrank_cli.metrics.arrays import FloatArray


def holm(p_values: ArrayLike) -> FloatArray:
    """Holm's step-down adjusted p-values [m], in the order of `p_values` [m].

    With p₍₁₎ ≤ … ≤ p₍ₘ₎ the i-th is max over j ≤ i of min(1, (m − j + 1) · p₍ⱼ₎). Rejecting what is
    ≤ α makes one false rejection or more in at most a share α of all families, however the tests
    depend on each other. A nan is a question that was not asked: it stays nan and does not count.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or np.any((p < 0) | (p > 1)):
        raise data_error(f"p-values must be a list of numbers from 0 to 1, found {p.tolist()}")
    adjusted = np.full(p.size, np.nan)
    asked = np.flatnonzero(~np.isnan(p))
    order = asked[np.argsort(p[asked], kind="stable")]
    steps = p[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
