"""AdamW for dense weights, row-wise Adagrad for large tables, warm-up and decay."""

from __future__ import annotations

import logging
import math
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from genrank_cli.attention import BiasModule
from genrank_cli.training.config import TrainingConfig
from genrank_cli.training.rowwise import RowwiseAdagrad

log = logging.getLogger(__name__)

Optimizers = list[torch.optim.Optimizer]


def make_optimizers(model: nn.Module, config: TrainingConfig) -> Optimizers:
    """One AdamW for dense parameters and, where there are sparse tables, one row-wise Adagrad.

    Embedding tables have a learning rate and a decay of their own. The tables of a learned
    attention bias are tables too (a step touches few of their rows), but are never decayed. Of the
    rest, decay goes to matrices only.
    """
    groups: dict[str, list[nn.Parameter]] = {
        "matrix": [],
        "other": [],
        "table": [],
        "bias": [],
        "sparse": [],
    }
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            groups[_group(module, parameter)].append(parameter)
    rate, table_rate = config.learning_rate, config.embedding_learning_rate
    dense: list[dict[str, Any]] = [
        {"params": groups["matrix"], "lr": rate, "weight_decay": config.weight_decay},
        {"params": groups["other"], "lr": rate, "weight_decay": 0.0},
        {"params": groups["table"], "lr": table_rate, "weight_decay": config.embedding_decay},
        {"params": groups["bias"], "lr": table_rate, "weight_decay": 0.0},
    ]
    betas = (0.9, 0.98)
    optimizers: Optimizers = [
        torch.optim.AdamW([group for group in dense if group["params"]], betas=betas, fused=True)
    ]
    _warn_of_idle(config, bool(groups["sparse"]))
    if groups["sparse"]:
        sparse = {"lr": config.sparse_learning_rate, "weight_decay": config.sparse_decay}
        optimizers.append(RowwiseAdagrad(groups["sparse"], **sparse))
    return optimizers


def _warn_of_idle(config: TrainingConfig, sparse: bool) -> None:
    """Say which settings have no effect: the sizes of tables are known only now."""
    fields = TrainingConfig.model_fields
    for name in () if sparse else ("sparse_learning_rate", "sparse_decay"):
        if getattr(config, name) != fields[name].default:
            log.warning(
                "training.%s has no effect: no table has sparse gradients, all are small", name
            )


def _group(module: nn.Module, parameter: nn.Parameter) -> str:
    if isinstance(module, nn.Embedding):
        return "sparse" if module.sparse else "table"
    if isinstance(module, BiasModule):
        return "bias"
    return "matrix" if isinstance(module, nn.Linear) and parameter.ndim == 2 else "other"


def make_schedules(optimizers: Optimizers, config: TrainingConfig, steps: int) -> list[LambdaLR]:
    """Linear warm-up, then a cosine down to a hundredth over ``steps`` steps."""
    warmup = max(1, round(config.warmup * steps))

    def factor(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))

    return [LambdaLR(optimizer, factor) for optimizer in optimizers]
