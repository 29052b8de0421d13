"""Row-wise Adagrad: one number of state for a row of a table, where Adam keeps two rows.

Legend: B rows of a table, r rows that a step touches, d width.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowwiseAdagrad(torch.optim.Optimizer):
    """Adagrad with one rate a row, for tables with sparse gradients.

    For each row that the step touches, with its gradient g summed over the batch::

        G ← G + mean_d(g²)
        w ← (1 − lr · decay) w − lr · g / (√G + eps)

    as EXACT_ROWWISE_ADAGRAD of FBGEMM, the library behind TorchRec, but for the decay. State:
    4 bytes a row. Rows that the step does not touch are neither read nor written, so a row decays
    by its own steps, not by those of others. Deterministic: a batch's gradients of a row are summed
    in order, and no two threads write one row.

    Raises ValueError for a gradient that is not sparse.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "eps": eps}
        super().__init__(params, defaults)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update the touched rows of every table that has a gradient."""
        for group in self.param_groups:
            for table in group["params"]:
                if table.grad is not None:
                    self._update(table, table.grad, group)

    def _update(self, table: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        if not gradient.is_sparse:
            raise ValueError("row-wise Adagrad needs sparse gradients: nn.Embedding(sparse=True)")
        state = self.state[table]
        if not state:
            state["sum"] = torch.zeros(len(table), dtype=table.dtype, device=table.device)
        gradient = gradient.coalesce()
        rows, slope = gradient.indices()[0], gradient.values()  # [r], [r, d]
        total = state["sum"][rows] + slope.square().mean(dim=1)  # [r]
        state["sum"][rows] = total
        rate = group["lr"] / (total.sqrt() + group["eps"])
        kept = 1 - group["lr"] * group["weight_decay"]
        table[rows] = kept * table[rows] - rate.unsqueeze(1) * slope
