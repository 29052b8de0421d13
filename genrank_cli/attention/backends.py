"""The table of fast backends: each is two plain functions, without autograd."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from genrank_cli.attention.blockwise import backward_blockwise, forward_blockwise
from genrank_cli.attention.call import Call
from genrank_cli.attention.gpu.attend import available as gpu_available
from genrank_cli.attention.gpu.attend import backward_triton, forward_triton
from genrank_cli.attention.gpu.attend import supported as gpu_supported
from genrank_cli.attention.native.attend import backward_native, forward_native
from genrank_cli.attention.native.attend import supported as native_supported
from genrank_cli.attention.native.compiled import available as native_available
from genrank_cli.errors import unknown_name

Forward = Callable[[Tensor, Tensor, Tensor, Call], tuple[Tensor, Tensor | None]]
Backward = Callable[..., tuple[Tensor, Tensor, Tensor, list[Tensor]]]


@dataclass(frozen=True)
class Backend:
    """A fast implementation of attention; `genrank_cli.attention.op` makes it differentiable.

    ``forward(q, k, v, call)`` gives the output [R, H, E] in the dtype of q and, for softmax, the
    logarithm of each row's sum of exponentials [R, H]. ``backward(grad, q, k, v, out, log_sum,
    call, wanted)`` gives the gradients of q, k, v and, where ``wanted``, of the bias's tensors.
    ``supported(call, q)``: may it be called with these?
    """

    forward: Forward
    backward: Backward
    supported: Callable[[Call, Tensor], bool]


BACKENDS: dict[str, Backend] = {
    "blockwise": Backend(forward_blockwise, backward_blockwise, lambda call, q: True),
    "native": Backend(forward_native, backward_native, native_supported),
    "triton": Backend(forward_triton, backward_triton, gpu_supported),
}

#: The names that a configuration may give, besides ``auto``.
BACKEND_NAMES = ("reference", *BACKENDS)


def resolve_backend(name: str, device: str = "cpu") -> str:
    """The backend that ``name`` stands for; ``auto``: on this device, for a shipped bias."""
    if name == "auto":
        return _fastest(device)
    if name not in BACKEND_NAMES:
        raise unknown_name("attention backend", name, [*BACKEND_NAMES, "auto"])
    return name


def _fastest(device: str) -> str:
    if device == "cuda" and gpu_available():
        return "triton"
    return "native" if device == "cpu" and native_available() else "blockwise"


def backend_for(name: str, call: Call, q: Tensor) -> str:
    """The backend of one call; ``auto``: the fastest that knows it."""
    resolved = resolve_backend(name, q.device.type)
    if name != "auto" or BACKENDS[resolved].supported(call, q):
        return resolved
    return "blockwise"
