"""The parts of a block around its attention, in two forms with equal results.

``plain``  PyTorch's modules one after the other.
``fused``  fewer passes over memory and less kept for the backward pass: hand-written steps on a
           CPU, Triton kernels on CUDA. The dropped elements are others than those of ``plain``.

Legend: T tokens, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genrank_cli.errors import GenrankError, unknown_name

LAYERS = ("plain", "fused")

Parts = tuple[Tensor, Tensor, Tensor, Tensor]  # u, v, q, k: [T, d] each
Project = Callable[[Tensor, nn.LayerNorm, nn.Linear], Parts]
Update = Callable[[Tensor, Tensor, Tensor, nn.LayerNorm, nn.Linear, float], Tensor]


@dataclass(frozen=True)
class LayerForm:
    """``project(x, norm, linear)`` = split(SiLU(LN(x) W + b)), and
    ``update(x, attended, u, norm, linear, dropout)`` = x + (dropout(LN(attended) ⊙ u) W + b).
    """

    project: Project
    update: Update


def plain_project(x: Tensor, norm: nn.LayerNorm, linear: nn.Linear) -> Parts:
    """[T, d] → four [T, d]."""
    u, v, q, k = F.silu(linear(norm(x))).chunk(4, dim=-1)
    return u, v, q, k


def plain_update(
    x: Tensor, attended: Tensor, u: Tensor, norm: nn.LayerNorm, linear: nn.Linear, dropout: float
) -> Tensor:
    """Three [T, d] → [T, d]; no dropout outside of training: the caller gives 0."""
    update: Tensor = linear(F.dropout(norm(attended) * u, dropout))
    return x + update


PLAIN = LayerForm(plain_project, plain_update)


def layer_form(name: str, device: torch.device) -> LayerForm:
    """The form that ``name`` (of `LAYERS`, or ``auto``) stands for on ``device``.

    Raises `GenrankError` for ``fused`` where it cannot be had.
    """
    if resolve_layer(name, device.type) == "plain":
        return PLAIN
    if device.type == "cpu":
        from genrank_cli.models.fused import cpu

        return LayerForm(cpu.project, cpu.update)
    from genrank_cli.models.fused import cuda

    return LayerForm(cuda.project, cuda.update)


def resolve_layer(name: str, device: str = "cpu") -> str:
    """``auto``: fused on a CPU, and on CUDA where Triton is installed; else plain."""
    known = device == "cpu" or (device == "cuda" and _has_triton())
    if name == "auto":
        return "fused" if known else "plain"
    if name not in LAYERS:
        raise unknown_name("layer", name, [*LAYERS, "auto"])
    if name == "fused" and not known:
        why = "Triton is not installed" if device == "cuda" else "only CPU and CUDA are known"
        raise GenrankError(f"layer fused on {device}: {why}", "use --set model.layer=plain")
    return name


def _has_triton() -> bool:
    return find_spec("triton") is not None
