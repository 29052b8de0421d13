"""PyTorch's own: SDPA, FlexAttention, the encoder layer.

Legend: S sequences of L tokens, H heads of width D, d = H · D.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from genrank_cli.bench.peers.tensors import Made, Tensors


def sdpa(tensors: Tensors) -> Made:
    """``scaled_dot_product_attention(is_causal=True)``: whichever kernel PyTorch chooses."""
    q, k, v = tensors.leaves(tensors.by_head)
    grad = tensors.by_head(tensors.attention_grad)
    return Made(
        lambda: scaled_dot_product_attention(q, k, v, is_causal=True),
        [q, k, v],
        grad,
        [],
        tensors.from_heads,
    )


def flex(tensors: Tensors) -> Made:
    """FlexAttention, compiled, with a causal block mask."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    def causal(batch: Tensor, head: Tensor, row: Tensor, key: Tensor) -> Tensor:
        return key <= row

    length = tensors.shape.seq_len
    mask = create_block_mask(causal, None, None, length, length, device=tensors.device)
    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=False)
    q, k, v = tensors.leaves(tensors.by_head)
    grad = tensors.by_head(tensors.attention_grad)
    return Made(lambda: compiled(q, k, v, block_mask=mask), [q, k, v], grad, [], tensors.from_heads)


def encoder(tensors: Tensors) -> Made:
    """``nn.TransformerEncoderLayer``, norms first, GELU: the softmax block of many libraries."""
    ours, shape = tensors.block("transformer"), tensors.shape
    width = shape.heads * shape.width
    theirs = nn.TransformerEncoderLayer(
        width, shape.heads, 4 * width, dropout=0.0, activation="gelu", layer_norm_eps=1e-6,
        batch_first=True, norm_first=True,
    ).to(device=tensors.device, dtype=tensors.dtype)  # fmt: skip
    given = ours.state_dict()
    theirs.load_state_dict(
        {
            "self_attn.in_proj_weight": queries_first(given["uvqk.weight"]),
            "self_attn.in_proj_bias": queries_first(given["uvqk.bias"]),
            "self_attn.out_proj.weight": given["out.weight"],
            "self_attn.out_proj.bias": given["out.bias"],
            "linear1.weight": given["mlp.0.weight"],
            "linear1.bias": given["mlp.0.bias"],
            "linear2.weight": given["mlp.2.weight"],
            "linear2.bias": given["mlp.2.bias"],
            "norm1.weight": given["norm_in.weight"],
            "norm1.bias": given["norm_in.bias"],
            "norm2.weight": given["norm_out.weight"],
            "norm2.bias": given["norm_out.bias"],
        }
    )
    x = tensors.input(tensors.by_sequence)
    mask = nn.Transformer.generate_square_subsequent_mask(
        shape.seq_len, device=torch.device(tensors.device), dtype=tensors.dtype
    )

    def forward() -> Tensor:
        out: Tensor = theirs(x, src_mask=mask, is_causal=True)
        return out

    grad = tensors.by_sequence(tensors.grad)
    return Made(forward, [x], grad, list(theirs.parameters()), tensors.from_sequences)


def queries_first(vqk: Tensor) -> Tensor:
    """Our projection's thirds v, q, k as q, k, v."""
    v, q, k = vqk.chunk(3)
    return torch.cat((q, k, v))
