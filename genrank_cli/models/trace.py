"""What PyTorch's own counter says of a ranker's products, without computing one of them.

Whole numbers (codes, offsets, masks) are real, so that shapes that follow from them are right;
numbers with a fraction are on the device ``meta``: shapes without memory, at any size of a model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.flop_counter import FlopCounterMode

from genrank_cli.data.batch import Batch
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.schema import Schema


class Mixed(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Lets an operation take ``meta`` tensors and real ones: its result is on ``meta``."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        leaves, _ = tree_flatten((args, kwargs))
        if any(isinstance(leaf, Tensor) and leaf.is_meta for leaf in leaves):
            args, kwargs = tree_map(_shape, (args, kwargs))
        return func(*args, **kwargs)


def _shape(leaf: Any) -> Any:
    return leaf.to("meta") if isinstance(leaf, Tensor) else leaf


def shape_model(config: ModelConfig, schema: Schema) -> nn.Module:
    """The ranker with weights on ``meta`` and the plain form of every operation.

    A bias is computed in place of being looked up in a tensor of its own: that is no product.
    """
    plain = config
    if config.kind == "generative":
        plainly = {"backend": "reference", "bias_form": "fused"}
        attention = config.attention.model_copy(update=plainly)
        plain = config.model_copy(update={"attention": attention, "layer": "plain"})
    with torch.device("meta"):
        return build_ranker(plain, schema).eval()


def counted(model: nn.Module, batch: Batch) -> tuple[int, int]:
    """FLOPs of the forward and of the backward pass of a `shape_model` on ``batch``."""
    counter = FlopCounterMode(display=False)
    with Mixed(), counter:  # type: ignore[no-untyped-call]
        total = model(batch).sum()
        forward = counter.get_total_flops()
        total.backward()
    return forward, counter.get_total_flops() - forward
