"""The training loss, and what a model's outputs mean.

Legend: m candidates, K tasks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F


def candidate_loss(
    output: Tensor, labels: Tensor, kinds: Sequence[str], weights: Sequence[float] | None = None
) -> Tensor:
    """Sum over the tasks of the mean over the candidates; ``output`` and ``labels`` are [m, K].

    Binary tasks: cross entropy of the logit. Regression: smooth L1 between the value and
    ln(1 + label), since stay times are spread over orders of magnitude. ``weights`` [K] of the
    tasks, by default 1 each.
    """
    losses = [
        F.binary_cross_entropy_with_logits(output[:, k], labels[:, k])
        if kind == "binary"
        else F.smooth_l1_loss(output[:, k], labels[:, k].log1p())
        for k, kind in enumerate(kinds)
    ]
    if weights is not None:
        losses = [weight * loss for weight, loss in zip(weights, losses, strict=True)]
    return torch.stack(losses).sum()


def predictions(output: Tensor, kinds: Sequence[str]) -> Tensor:
    """Probabilities of binary tasks, values of regression tasks in the label's unit, [m, K]."""
    columns = [
        output[:, k].sigmoid() if kind == "binary" else output[:, k].expm1()
        for k, kind in enumerate(kinds)
    ]
    return torch.stack(columns, dim=1)


def start_levels(means: Sequence[float], kinds: Sequence[str]) -> list[float]:
    """Outputs that predict the training means: a rate's logit, or the mean of ln(1 + label)."""
    rates = torch.tensor(means, dtype=torch.float64)
    return [
        float(torch.logit(rate, eps=1e-6)) if kind == "binary" else float(rate)
        for rate, kind in zip(rates, kinds, strict=True)
    ]
