"""Meta's ``generative_recommenders``, if that is installed with ``fbgemm_gpu``.

Its public entry points: ``ops.hstu_attention.hstu_mha`` and ``modules.stu.STULayer``. On CUDA their
Triton kernels run, elsewhere their PyTorch ones.

Legend: S sequences of L tokens, T tokens, H heads of width D, d = H · D.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor

from genrank_cli.bench.peers.tensors import Made, Tensors

PACKAGE = "generative_recommenders"


def attention(tensors: Tensors) -> Made:
    """SiLU attention, divided by the longest length, causal, no bias."""
    ops: Any = _module("ops.hstu_attention")
    kernel = _kernel(tensors)
    q, k, v = tensors.leaves()

    def forward() -> Tensor:
        out: Tensor = ops.hstu_mha(
            max_seq_len=tensors.shape.seq_len,
            alpha=tensors.shape.width**-0.5,
            q=q,
            k=k,
            v=v,
            seq_offsets=tensors.places.offsets,
            causal=True,
            kernel=kernel,
        )
        return out

    return Made(forward, [q, k, v], tensors.attention_grad, [])


def layer(tensors: Tensors) -> Made:
    """One STU layer without candidates and dropout: our block ``hstu-meta``."""
    stu: Any = _module("modules.stu")
    shape = tensors.shape
    width = shape.heads * shape.width
    theirs = stu.STULayer(
        stu.STULayerConfig(
            embedding_dim=width, num_heads=shape.heads, hidden_dim=shape.width,
            attention_dim=shape.width, output_dropout_ratio=0.0, target_aware=False,
        )
    )  # fmt: skip
    theirs.set_hammer_kernel(_kernel(tensors))
    theirs = theirs.to(device=tensors.device, dtype=tensors.dtype)
    given = tensors.block("hstu-meta").state_dict()
    theirs.load_state_dict(
        {
            "_uvqk_weight": given["uvqk.weight"].T,
            "_uvqk_beta": given["uvqk.bias"],
            "_input_norm_weight": given["norm_in.weight"],
            "_input_norm_bias": given["norm_in.bias"],
            "_output_weight": given["out.weight"].T,
            "_output_norm_weight": given["norm_out.weight"],
            "_output_norm_bias": given["norm_out.bias"],
        }
    )
    x = tensors.input()
    offsets = tensors.places.offsets

    def forward() -> Tensor:
        out: Tensor = theirs(
            x=x,
            x_lengths=offsets.diff(),
            x_offsets=offsets,
            max_seq_len=shape.seq_len,
            num_targets=torch.zeros_like(offsets[1:]),
        )
        return out

    return Made(forward, [x], tensors.grad, list(theirs.parameters()))


def _module(name: str) -> Any:
    importlib.import_module("fbgemm_gpu")  # its operators are used by name: say so if it is missing
    return importlib.import_module(f"{PACKAGE}.{name}")


def _kernel(tensors: Tensors) -> Any:
    kernels = _module("common").HammerKernel
    return kernels.TRITON if tensors.device.startswith("cuda") else kernels.PYTORCH
