"""Attention over jagged sequences: one interface, several backends.

Legend: S sequences, T tokens of all sequences (flat), H heads, D head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention.alibi import Alibi, AlibiRule, AlibiTime
from genrank_cli.attention.backends import BACKEND_NAMES, backend_for, resolve_backend
from genrank_cli.attention.bias import Bias, BiasModule
from genrank_cli.attention.biases import BIASES, build_biases
from genrank_cli.attention.call import ACTIVATIONS, Call
from genrank_cli.attention.cells import materialize
from genrank_cli.attention.mask import Mask, packed_mask
from genrank_cli.attention.op import attend_op
from genrank_cli.attention.precision import lowered_dtype
from genrank_cli.attention.reference import attend_reference
from genrank_cli.attention.relative import RelativeBias
from genrank_cli.errors import GenrankError, unknown_name

__all__ = [
    "ACTIVATIONS",
    "BACKEND_NAMES",
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

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


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
    dropout: float = 0.0,
    seed: int = 0,
    row_offsets: Tensor | None = None,
    backend: str = "auto",
) -> Tensor:
    """Attention of every row over the keys of its own sequence that ``mask`` shows it.

    ``silu``: y_i = Σ_j SiLU(q_i·k_j · scale + bias_ij) v_j / norm over visible j (HSTU, PAPER
    section 2); ``softmax``: the same with a softmax over visible j, without ``norm``. A row that
    sees nothing gives 0.

    Parameters
    ----------
    q, k, v
        [R, H, D], [T, H, D] and [T, H, E] of one dtype: float64, float32, bfloat16 or float16.
        Under autocast they are cast to its dtype, as for PyTorch's own attention.
    offsets, row_offsets
        int64 [S+1]: sequence s has the keys ``offsets[s]:offsets[s+1]``, and the rows likewise by
        ``row_offsets`` (None: every token is a row, R = T).
    mask, bias
        Visible keys of each row, and what is added to the scores (None: nothing).
    norm
        SiLU's fixed N > 0; never the batch's longest length, or a score would depend on who shares
        the batch.
    dropout, seed
        Share of the weights, after the activation, that are 0, the others divided by 1 − dropout;
        which ones follows from ``seed``, row, key and head: the same in every backend.
    backend
        A name of `BACKEND_NAMES`, or ``auto``: the fastest that knows the call (on a GPU
        ``triton``, on a CPU with a C++ compiler ``native``, else ``blockwise``).

    Returns [R, H, E] in the dtype of q. Differentiable in q, k, v and the bias's learned tensors.
    Raises `GenrankError` for an unknown name, ValueError for shapes that do not fit.
    """
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    if norm < 1:
        raise GenrankError(f"attention norm {norm} is below 1", "it is the fixed length N")
    if not 0 <= dropout < 1:
        raise GenrankError(f"attention dropout {dropout} is outside of 0 ≤ dropout < 1")
    _check_shapes(q, k, v, mask, bias, row_offsets)
    q, k, v = (x.to(lowered_dtype(x)) for x in (q, k, v))
    rows = offsets if row_offsets is None else row_offsets
    if bias is not None and bias.form == "materialized":
        bias = materialize(bias, offsets, rows, q.dtype)
    call = Call(offsets, rows, mask, bias, activation, scale, norm, dropout, seed)
    name = backend_for(backend, call, q)
    if name == "reference":
        return attend_reference(q, k, v, call)
    return attend_op(q, k, v, call, name)


def _check_shapes(
    q: Tensor, k: Tensor, v: Tensor, mask: Mask, bias: Bias | None, row_offsets: Tensor | None
) -> None:
    shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
    flat = any(x.dim() != 3 for x in (q, k, v))
    if flat or q.shape[1:] != k.shape[1:] or k.shape[:2] != v.shape[:2]:
        raise ValueError(f"q, k, v must be [tokens, heads, width], not {shapes}")
    if q.dtype not in DTYPES:
        raise ValueError(f"q, k, v must be float64, float32, bfloat16 or float16, not {q.dtype}")
    if row_offsets is None and len(q) != len(k):
        raise ValueError(f"q and k must have the same tokens, or row_offsets be given: {shapes}")
    if not q.dtype == k.dtype == v.dtype and not torch.is_autocast_enabled(q.device.type):
        raise ValueError(f"q, k, v must be of one dtype, not {q.dtype}, {k.dtype}, {v.dtype}")
    if any(len(x) != len(q) for x in mask.tensors()) or not _describes(bias, q, k, row_offsets):
        raise ValueError(
            f"mask and bias must describe the {len(q)} rows, {len(k)} keys and {q.shape[1]} heads"
        )


def _describes(bias: Bias | None, q: Tensor, k: Tensor, row_offsets: Tensor | None) -> bool:
    """Whether a bias has a place for every key and row: kernels read as many as there are."""
    if bias is None:
        return True
    if isinstance(bias.rule, AlibiRule) and len(bias.tensors[0]) != q.shape[1]:
        return False
    keys, rows = bias.place_tensors()[:2], bias.place_tensors()[2:]
    known = bool(rows) or row_offsets is None
    return known and all(len(x) == len(k) for x in keys) and all(len(x) == len(q) for x in rows)
