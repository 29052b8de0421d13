"""Attention over jagged sequences: one interface, several backends.

Legend: S sequences, T tokens of all sequences (flat), H heads, D head width.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from genrank_cli.attention.alibi import Alibi, AlibiTime
from genrank_cli.attention.bias import Bias, BiasEntry, BiasModule
from genrank_cli.attention.blockwise import attend_blockwise
from genrank_cli.attention.call import ACTIVATIONS, Call
from genrank_cli.attention.mask import Mask, packed_mask
from genrank_cli.attention.native.attend import attend_native, supported
from genrank_cli.attention.native.compiled import available
from genrank_cli.attention.reference import attend_reference
from genrank_cli.attention.relative import RelativeBias
from genrank_cli.errors import GenrankError, unknown_name

__all__ = [
    "ACTIVATIONS",
    "BACKENDS",
    "BIASES",
    "Alibi",
    "AlibiTime",
    "Bias",
    "BiasModule",
    "Mask",
    "RelativeBias",
    "attend",
    "build_biases",
    "packed_mask",
    "resolve_backend",
]

Backend = Callable[[Tensor, Tensor, Tensor, Call], Tensor]

BACKENDS: dict[str, Backend] = {
    "reference": attend_reference,
    "blockwise": attend_blockwise,
    "native": attend_native,
}

BIASES: dict[str, BiasEntry] = {
    "rab": BiasEntry(lambda heads, positions, form: RelativeBias(positions, form)),
    "tables": BiasEntry(lambda heads, positions, form: RelativeBias(positions, form), shared=True),
    "alibi": BiasEntry(lambda heads, positions, form: Alibi(heads), shared=True),
    "alibi-time": BiasEntry(lambda heads, positions, form: AlibiTime(heads), shared=True),
}


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    offsets: Tensor,
    mask: Mask,
    bias: Bias | None,
    activation: str,
    scale: float,
    norm: int,
    backend: str = "auto",
) -> Tensor:
    """Attention of every token over the tokens of its own sequence that ``mask`` shows it.

    ``silu``: y_i = Σ_j SiLU(q_i·k_j · scale + bias_ij) v_j / norm over visible j (HSTU, PAPER
    section 2); ``softmax``: the same with a softmax over visible j, without ``norm``. A row that
    sees nothing gives 0.

    Parameters
    ----------
    q, k, v
        [T, H, D] of one dtype; v may have another width. Float32, float64 or bfloat16.
    offsets
        int64 [S+1]: sequence s is the rows ``offsets[s]:offsets[s+1]``.
    mask, bias
        Visible keys of each row, and what is added to the scores (None: nothing).
    norm
        SiLU's fixed N > 0; never the batch's longest length, or a score would depend on who shares
        the batch.
    backend
        A name of `BACKENDS`, or ``auto``: ``native`` on a CPU with a C++ compiler, if the kernels
        know the call (float32 or bfloat16, a shipped bias), else ``blockwise``.

    Returns [T, H, width of v] in the dtype of q. Differentiable in q, k, v and the bias's learned
    tensors. Raises `GenrankError` for an unknown name, ValueError for shapes that do not fit.
    """
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    _check_shapes(q, k, v, offsets, mask, bias)
    if norm < 1:
        raise GenrankError(f"attention norm {norm} is below 1", "it is the fixed length N")
    call = Call(offsets, mask, bias, activation, scale, norm)
    if backend == "auto" and not supported(call, q):
        backend = "blockwise"
    return BACKENDS[resolve_backend(backend)](q, k, v, call)


def resolve_backend(name: str) -> str:
    """The backend that ``name`` stands for; ``auto``: on this CPU, for a shipped bias."""
    if name == "auto":
        return "native" if available() else "blockwise"
    if name not in BACKENDS:
        raise unknown_name("attention backend", name, [*BACKENDS, "auto"])
    return name


def build_biases(
    name: str, *, layers: int, heads: int, positions: int, form: str = "fused"
) -> nn.ModuleList:
    """The bias modules of a model: none, one that all layers share, or one for each layer.

    ``name``: ``none`` or a name of `BIASES`. ``positions``: distances in position that a learned
    table tells apart. Layer i uses module ``i % len``.
    """
    if name == "none":
        return nn.ModuleList()
    if name not in BIASES:
        raise unknown_name("bias", name, [*BIASES, "none"])
    entry = BIASES[name]
    count = 1 if entry.shared else layers
    return nn.ModuleList(entry.make(heads, positions, form) for _ in range(count))


def _check_shapes(
    q: Tensor, k: Tensor, v: Tensor, offsets: Tensor, mask: Mask, bias: Bias | None
) -> None:
    if q.dim() != 3 or k.shape != q.shape or v.shape[:2] != q.shape[:2]:
        shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
        raise ValueError(f"q, k, v must be [tokens, heads, width], not {shapes}")
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k, v must be of one dtype, not {q.dtype}, {k.dtype}, {v.dtype}")
    tokens = len(q)
    if len(mask.start) != tokens or (bias is not None and len(bias.position) != tokens):
        raise ValueError(f"mask and bias must describe the {tokens} tokens of q")
    if q.device.type == "cpu" and int(offsets[-1]) != tokens:
        raise ValueError(f"offsets end at {int(offsets[-1])}, q has {tokens} tokens")
