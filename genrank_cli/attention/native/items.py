"""What a batch is cut into for the kernels, and the order of its rows.

Legend: S sequences, R rows, H heads, I items.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.call import Call
from genrank_cli.attention.mask import check_mask

_ORDERS: BatchMemo[Tensor] = BatchMemo()


def make_items(call: Call, heads: int, item_heads: int) -> Tensor:
    """int64 [I, 3]: sequence, first head, end of heads; those with the most cells first.

    The same for any number of threads, so that sums have the same parts in the same order.
    """
    rows, keys = call.row_offsets.diff(), call.offsets.diff()
    order = torch.argsort(rows * (keys + 1), descending=True, stable=True)
    begin = torch.arange(0, heads, item_heads)
    end = (begin + item_heads).clamp(max=heads)
    order = order[(rows + keys)[order] > 0]
    cuts = len(begin)
    return torch.stack(
        (order.repeat_interleave(cuts), begin.repeat(len(order)), end.repeat(len(order))), dim=1
    )


def row_order(call: Call) -> Tensor:
    """`_sorted` of a batch, found by its first layer, dropped with its mask."""
    mask = call.mask
    others = (mask.context, mask.start, mask.peer_start, mask.peer_stop)
    made_from = (call.offsets, call.row_offsets, *others)
    return _ORDERS.get(mask.stop, made_from, (), lambda: _sorted(call))


def _sorted(call: Call) -> Tensor:
    """int64 [R]: the rows of each sequence by the end, then the start, of what they see."""
    mask, rows = call.mask, call.row_offsets.diff()
    check_mask(mask, call.offsets.diff().repeat_interleave(rows))
    sequence = torch.repeat_interleave(torch.arange(len(rows)), rows)
    stop = torch.where(mask.stop > mask.start, mask.stop, 0)
    keys = (x.numpy() for x in (mask.start, stop, sequence))
    return torch.from_numpy(np.lexsort(tuple(keys)))
