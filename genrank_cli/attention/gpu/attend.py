"""The backend `triton`: jagged attention on a GPU, forward and backward.

Products of 16-bit inputs are summed in float32; float32 is multiplied as float32. Legend: R rows, T
keys, H heads, D width of q and k, E of v.
"""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from genrank_cli.attention.call import Call
from genrank_cli.attention.gpu.interpreter import interpreted
from genrank_cli.attention.gpu.places import KINDS
from genrank_cli.errors import GenrankError

DTYPES = (torch.float32, torch.bfloat16, torch.float16)
MAX_WIDTH = 128


def available() -> bool:
    """Whether the kernels can run: triton with a CUDA device, or with its interpreter."""
    if importlib.util.find_spec("triton") is None:
        return False
    return torch.cuda.is_available() or interpreted()


def supported(call: Call, q: Tensor) -> bool:
    """Whether the kernels compute this call: q, k and v like ``q``."""
    fits = q.dtype in DTYPES and q.shape[2] <= MAX_WIDTH
    known = call.bias is None or type(call.bias.rule) in KINDS
    device = q.device.type == "cuda" or (q.device.type == "cpu" and available() and interpreted())
    return fits and known and device and available()


def forward_triton(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor | None]:
    """The output [R, H, E] in the dtype of q and, for softmax, the logarithm of each row's sum.

    The latter is float32 [R, H], −inf for a row that sees nothing. Raises ValueError for a mask
    that reaches beyond a row's sequence or counts a key twice, `GenrankError` (2) for a call that
    the kernels do not know.
    """
    if not supported(call, q):
        raise GenrankError(
            "attention backend triton computes float32, bfloat16 and float16 on CUDA only, up to "
            f"{MAX_WIDTH} wide heads, with the biases rab, tables, alibi and alibi-time",
            "use the backend auto",
        )
    from genrank_cli.attention.gpu.passes import forward

    return forward(q, k, v, call)


def backward_triton(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_sum: Tensor | None,
    call: Call,
    wanted: bool,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Gradients of q, k, v and, where ``wanted``, of the bias's tensors that are learned."""
    from genrank_cli.attention.gpu.passes import backward

    return backward(grad, q, k, v, out, log_sum, call, wanted)
