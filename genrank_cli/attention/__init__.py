"""Attention over jagged sequences: one interface, several backends.

Legend: S sequences, T tokens of all sequences (flat), H heads, D head width.
"""

from __future__ import annotations

from torch import Tensor

from genrank_cli.attention.alibi import Alibi, AlibiTime
from genrank_cli.attention.backends import BACKEND_NAMES, backend_for, resolve_backend
from genrank_cli.attention.bias import Bias, BiasModule
from genrank_cli.attention.biases import BIASES, build_biases
from genrank_cli.attention.call import ACTIVATIONS, Call
from genrank_cli.attention.checks import check_settings, check_shapes, check_times, check_values
from genrank_cli.attention.dropout import BITS
from genrank_cli.attention.mask import Mask, packed_mask
from genrank_cli.attention.materialized import materialize
from genrank_cli.attention.op import attend_op
from genrank_cli.attention.precision import lowered_dtype
from genrank_cli.attention.reference import attend_reference
from genrank_cli.attention.relative import RelativeBias

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
        which ones follows from ``seed`` (its lowest 32 bits), row, key and head: the same in every
        backend.
    backend
        A name of `BACKEND_NAMES`, or ``auto``: the fastest that knows the call (on a GPU
        ``triton``, on a CPU with a C++ compiler ``native``, else ``blockwise``).

    Returns [R, H, E] in the dtype of q. Differentiable in q, k, v and the bias's learned tensors.
    Raises `GenrankError` for an unknown name, ValueError for shapes and dtypes that do not fit and,
    on a CPU, for numbers that do not: offsets, a mask beyond its sequence, times that are not
    finite. On CUDA only the mask is looked at, once for a batch: every look waits for the device.
    What offsets and times that are wrong lead to there is undefined.
    """
    check_settings(activation, scale, norm, dropout, seed)
    check_shapes(q, k, v, offsets, mask, bias, row_offsets)
    q, k, v = (x.to(lowered_dtype(x)) for x in (q, k, v))
    rows = offsets if row_offsets is None else row_offsets
    if bias is not None and bias.form == "materialized":
        bias = materialize(bias, offsets, rows, q.dtype)
    call = Call(offsets, rows, mask, bias, activation, scale, norm, dropout, seed & BITS)
    name = backend_for(backend, call, q)
    if name == "reference":
        check_values(offsets, rows, mask, len(q), len(k))
        check_times(() if bias is None else bias.place_tensors())
        return attend_reference(q, k, v, call)
    return attend_op(q, k, v, call, name)
