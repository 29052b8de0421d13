"""PyTorch's own attention on the same numbers, each in the layout that it likes best.

All are softmax without a bias. Legend: S sequences, H heads, L tokens, D head width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.plan import Shape

Peer = tuple[Callable[[], Tensor], list[Tensor], Tensor]


def peer_forward(name: str, data: list[Tensor], grad: Tensor, inputs: Inputs) -> Peer:
    """Forward function, tensors that get gradients, gradient of the output: all [S, H, L, D].

    May raise whatever PyTorch raises where it has no such kernel for this device.
    """
    shape = inputs.shape
    tensors = [_by_head(x.detach(), shape).requires_grad_() for x in data]
    forward = FORWARDS[name](tensors, inputs)
    return forward, tensors, _by_head(grad, shape)


def _by_head(x: Tensor, shape: Shape) -> Tensor:
    """[T, H, D] → [S, H, L, D], contiguous."""
    return x.view(shape.batch_size, shape.seq_len, *x.shape[1:]).transpose(1, 2).contiguous()


def _sdpa(tensors: list[Tensor], inputs: Inputs) -> Callable[[], Tensor]:
    q, k, v = tensors
    return lambda: scaled_dot_product_attention(q, k, v, is_causal=True)


def _flash(tensors: list[Tensor], inputs: Inputs) -> Callable[[], Tensor]:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = tensors

    def forward() -> Tensor:
        with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
            return scaled_dot_product_attention(q, k, v, is_causal=True)

    return forward


def _flex(tensors: list[Tensor], inputs: Inputs) -> Callable[[], Tensor]:
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    length = inputs.shape.seq_len
    history = length - inputs.shape.candidates

    def visible(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        """A causal history; a candidate sees it and itself."""
        return ((key <= row) & (key < history)) | (key == row)

    mask = create_block_mask(visible, None, None, length, length, device=inputs.device)
    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=False)
    return lambda: compiled(*tensors, block_mask=mask)


FORWARDS = {"sdpa": _sdpa, "flash": _flash, "flex": _flex}
