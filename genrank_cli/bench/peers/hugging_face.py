"""A block of ``transformers``, if that is installed.

Legend: S sequences of L tokens, d width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from genrank_cli.bench.peers.tensors import Made, Tensors
from genrank_cli.bench.peers.torch_own import queries_first


def gpt2_block(tensors: Tensors) -> Made:
    """GPT-2's block with exact GELU: norms first, softmax, as our transformer block."""
    import importlib

    transformers: Any = importlib.import_module("transformers")
    gpt2: Any = importlib.import_module("transformers.models.gpt2.modeling_gpt2")
    shape = tensors.shape
    config = transformers.GPT2Config(
        n_embd=shape.heads * shape.width, n_head=shape.heads, n_positions=shape.seq_len,
        activation_function="gelu", layer_norm_epsilon=1e-6, attn_pdrop=0.0, resid_pdrop=0.0,
        attn_implementation="sdpa",
    )  # fmt: skip
    theirs = gpt2.GPT2Block(config, layer_idx=0).to(device=tensors.device, dtype=tensors.dtype)
    given = tensors.block("transformer").state_dict()
    # Its matrices are the transposed ones.
    theirs.load_state_dict(
        {
            "ln_1.weight": given["norm_in.weight"],
            "ln_1.bias": given["norm_in.bias"],
            "attn.c_attn.weight": queries_first(given["uvqk.weight"]).T,
            "attn.c_attn.bias": queries_first(given["uvqk.bias"]),
            "attn.c_proj.weight": given["out.weight"].T,
            "attn.c_proj.bias": given["out.bias"],
            "ln_2.weight": given["norm_out.weight"],
            "ln_2.bias": given["norm_out.bias"],
            "mlp.c_fc.weight": given["mlp.0.weight"].T,
            "mlp.c_fc.bias": given["mlp.0.bias"],
            "mlp.c_proj.weight": given["mlp.2.weight"].T,
            "mlp.c_proj.bias": given["mlp.2.bias"],
        },
        strict=False,  # some versions keep their mask among the weights
    )
    x = tensors.input(tensors.by_sequence)

    def forward() -> Tensor:
        found = theirs(x)
        out: Tensor = found if isinstance(found, Tensor) else found[0]
        return out

    grad = tensors.by_sequence(tensors.grad)
    return Made(forward, [x], grad, list(theirs.parameters()), tensors.from_sequences)
