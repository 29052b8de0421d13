"""What `attend` asks of its arguments, the same for every backend.

Kernels read as many places as they are told, so that one wrong number would read beyond memory.
Legend: S sequences, R rows of q, T keys, H heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from genrank_cli.attention.alibi import AlibiRule
from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import ACTIVATIONS
from genrank_cli.attention.mask import Mask, check_mask
from genrank_cli.errors import GenrankError, unknown_name

DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
MASK_FIELDS = ("context", "start", "stop", "peer_start", "peer_stop")
PLACE_FIELDS = ("position", "time", "row_position", "row_time")


def check_settings(activation: str, scale: float, norm: int, dropout: float, seed: int) -> None:
    """Raise for numbers and names that no backend could use."""
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    for name, number in (("norm", norm), ("seed", seed)):
        if isinstance(number, bool) or not isinstance(number, int):
            raise ValueError(f"attention {name} must be an int, not {number!r}")
    if norm < 1:
        raise GenrankError(f"attention norm {norm} is below 1", "it is the fixed length N")
    if not math.isfinite(scale):
        raise ValueError(f"attention scale must be finite, not {scale}")
    if not 0 <= dropout < 1:
        raise GenrankError(f"attention dropout {dropout} is outside of 0 ≤ dropout < 1")


def check_shapes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    offsets: Tensor,
    mask: Mask,
    bias: Bias | None,
    row_offsets: Tensor | None,
) -> None:
    """Raise ValueError for shapes and dtypes that do not fit; reads no number of a tensor."""
    shapes = ", ".join(str(tuple(x.shape)) for x in (q, k, v))
    flat = any(x.dim() != 3 for x in (q, k, v))
    if flat or q.shape[1:] != k.shape[1:] or k.shape[:2] != v.shape[:2]:
        raise ValueError(f"q, k, v must be [tokens, heads, width], not {shapes}")
    if 0 in (*q.shape[1:], v.shape[2]):
        raise ValueError(f"q, k, v must be of at least one head and a width of 1: {shapes}")
    if q.dtype not in DTYPES:
        raise ValueError(f"q, k, v must be float64, float32, bfloat16 or float16, not {q.dtype}")
    if row_offsets is None and len(q) != len(k):
        raise ValueError(f"q and k must have the same tokens, or row_offsets be given: {shapes}")
    if not q.dtype == k.dtype == v.dtype and not torch.is_autocast_enabled(q.device.type):
        raise ValueError(f"q, k, v must be of one dtype, not {q.dtype}, {k.dtype}, {v.dtype}")
    _check_offsets(offsets, offsets if row_offsets is None else row_offsets)
    _check_dtypes(mask, bias)
    if any(x.shape != q.shape[:1] for x in mask.tensors()) or not _describes(
        bias, q, k, row_offsets
    ):
        raise ValueError(
            f"mask and bias must describe the {len(q)} rows, {len(k)} keys and {q.shape[1]} heads"
        )


def _check_offsets(offsets: Tensor, row_offsets: Tensor) -> None:
    for name, x in (("offsets", offsets), ("row_offsets", row_offsets)):
        if x.dtype != torch.int64:
            raise ValueError(f"{name} must be torch.int64, not {x.dtype}")
        if x.dim() != 1 or len(x) < 1:
            raise ValueError(f"{name} must be [sequences + 1], not {tuple(x.shape)}")
    if len(offsets) != len(row_offsets):
        raise ValueError(
            f"offsets are of {len(offsets) - 1} sequences, row_offsets of {len(row_offsets) - 1}"
        )


def _check_dtypes(mask: Mask, bias: Bias | None) -> None:
    fields = dict(zip(MASK_FIELDS, mask.tensors(), strict=True))
    if bias is not None:
        fields |= dict(zip(PLACE_FIELDS, bias.place_tensors(), strict=False))
    for name, x in fields.items():
        dtype = torch.float64 if name.endswith("time") else torch.int64
        if x.dtype != dtype:
            raise ValueError(f"{name} must be {dtype}, not {x.dtype}")


def _describes(bias: Bias | None, q: Tensor, k: Tensor, row_offsets: Tensor | None) -> bool:
    """Whether a bias has a place for every key and row."""
    if bias is None:
        return True
    if isinstance(bias.rule, AlibiRule) and len(bias.tensors[0]) != q.shape[1]:
        return False
    keys, rows = bias.place_tensors()[:2], bias.place_tensors()[2:]
    known = bool(rows) or row_offsets is None
    return known and all(len(x) == len(k) for x in keys) and all(len(x) == len(q) for x in rows)


_CHECKED: BatchMemo[bool] = BatchMemo()


def check_values(offsets: Tensor, row_offsets: Tensor, mask: Mask, rows: int, keys: int) -> None:
    """Raise ValueError for offsets or a mask that reach beyond the tokens.

    Once for a batch, and where the numbers are at hand: on another device every look at them would
    make the processor wait for it.
    """
    if offsets.device.type != "cpu":
        return
    context, start, stop, *peers = mask.tensors()
    made_from = offsets, row_offsets, context, start, *peers
    _CHECKED.get(
        stop,
        made_from,
        (rows, keys),
        lambda: _check_values(offsets, row_offsets, mask, rows, keys),
    )


def _check_values(offsets: Tensor, row_offsets: Tensor, mask: Mask, rows: int, keys: int) -> bool:
    check_bounds("offsets", offsets, keys)
    check_bounds("row_offsets", row_offsets, rows)
    if mask.start.device.type == "cpu":
        check_mask(mask, offsets.diff().repeat_interleave(row_offsets.diff()))
    return True


def check_bounds(name: str, bounds: Tensor, tokens: int) -> None:
    """Raise ValueError unless ``bounds`` int64 [S+1] cut ``tokens`` into sequences."""
    first, last = int(bounds[0]), int(bounds[-1])
    if first != 0:
        raise ValueError(f"{name} must begin with 0, not {first}")
    if last != tokens:
        raise ValueError(f"{name} end at {last}, there are {tokens} tokens")
    if (bounds.diff() < 0).any():
        raise ValueError(f"{name} must not fall")


def check_times(places: tuple[Tensor, ...] | list[Tensor]) -> None:
    """Raise ValueError for a time that is no number; ``places`` as `Bias.place_tensors` gives them.

    On a CPU only, as `check_values`: elsewhere what such a time does is undefined.
    """
    for time in places[1::2]:
        if time.device.type == "cpu" and not time.isfinite().all():
            raise ValueError("the times of a bias must be finite")
