"""The backend `native`: jagged attention in C++ on the CPU, forward and backward.

Bfloat16 is computed in float32. Legend: T tokens, S sequences, H heads, D width of q and k, E of v.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
import torch
from torch import Tensor

from genrank_cli.attention.alibi import AlibiRule, AlibiTimeRule
from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import Call
from genrank_cli.attention.mask import check_mask
from genrank_cli.attention.native.compiled import Problem, kernels
from genrank_cli.attention.native.materialized import Cells, cells_of
from genrank_cli.attention.relative import TIME_BUCKET_WIDTH, TIME_BUCKETS, RelativeRule
from genrank_cli.errors import GenrankError

#: Rule → its number in ``kernel.cpp``, inside the tile.
KINDS: dict[type, int] = {AlibiRule: 1, AlibiTimeRule: 2, RelativeRule: 3}
CELLS = 4  # tables, but given cell by cell

_INTS = "offsets start stop peer_start peer_stop order position cells_first cells_side"
#: What the kernels read as anything but float32.
DTYPES = dict.fromkeys(_INTS.split(), torch.int64) | dict.fromkeys(("time", "edges"), torch.float64)

Item = tuple[int, int, int]  # sequence, first head, end of heads


def supported(call: Call, q: Tensor) -> bool:
    """Whether the kernels compute this call: q, k and v like ``q``."""
    bias = call.bias
    fits = q.device.type == "cpu" and q.dtype in (torch.float32, torch.bfloat16)
    return fits and (bias is None or type(bias.rule) in KINDS)


def forward_native(q: Tensor, k: Tensor, v: Tensor, call: Call) -> tuple[Tensor, Tensor | None]:
    """See `genrank_cli.attention.backends.Backend`.

    Raises ValueError for a mask that reaches beyond a row's sequence or counts a key twice, and
    `GenrankError` (2) where there is no compiler, and for what the kernels do not know:
    float64 and a bias of one's own.
    """
    if not supported(call, q):
        raise GenrankError(
            "attention backend native computes float32 and bfloat16 on a CPU only, with the biases "
            "rab, tables, alibi and alibi-time",
            "use the backend blockwise",
        )
    tensors = () if call.bias is None else call.bias.tensors
    q32, k32, v32 = (_rows(x) for x in (q, k, v))
    out = torch.empty((len(q), *v.shape[1:]), dtype=torch.float32)
    log_sum = out.new_empty(out.shape[:2]) if call.activation == "softmax" else None
    held = _Held(call, q32, k32, v32, tensors)
    held.point(out=out, log_sum=log_sum)
    held.run(kernels().genrank_forward)
    return out.to(q.dtype), log_sum


def backward_native(
    grad: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor,
    log_sum: Tensor | None,
    call: Call,
    wanted: bool,
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """See `genrank_cli.attention.backends.Backend`."""
    tensors = () if call.bias is None else call.bias.tensors
    inputs = [_rows(x) for x in (q, k, v)]
    grad32 = _rows(grad)
    dq, dk, dv = (torch.empty(x.shape, dtype=torch.float32) for x in inputs)
    mean = None if log_sum is None else torch.linalg.vecdot(grad32, out.float())
    held = _Held(call, inputs[0], inputs[1], inputs[2], tuple(tensors), grad32)
    held.point(log_sum=log_sum, mean=mean, dq=dq, dk=dk, dv=dv)
    sums = held.run_with_sums(kernels().genrank_backward) if wanted else []
    if not wanted:
        held.run(lambda *item: kernels().genrank_backward(*item, None, None, None))
    learned = [total.to(x.dtype) for total, x in zip(sums, tensors, strict=False)]
    return dq.to(q.dtype), dk.to(q.dtype), dv.to(q.dtype), learned


def _rows(x: Tensor) -> Tensor:
    """float32 with adjacent numbers in a row; a view of q, k, v inside a projection stays one."""
    x = x.detach().float()
    return x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()


class _Held:
    """A `Problem` and the tensors that it points to, which must live as long."""

    def __init__(
        self,
        call: Call,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        tensors: tuple[Tensor, ...],
        grad: Tensor | None = None,
    ) -> None:
        self.call = call
        self.kept: list[Tensor] = []
        self.cells: Cells | None = None
        self.problem = problem = Problem()
        problem.heads, problem.width, problem.value_width = q.shape[1], q.shape[2], v.shape[2]
        for name, x in {"q": q, "k": k, "v": v, "grad": grad}.items():
            if x is not None:
                setattr(problem, f"{name}_token", x.stride(0))
                setattr(problem, f"{name}_head", x.stride(1))
        problem.softmax = call.activation == "softmax"
        problem.scale, problem.weight = call.scale, 1.0 / call.norm
        mask = call.mask
        self.point(q=q, k=k, v=v, grad=grad, offsets=call.offsets, start=mask.start)
        self.point(stop=mask.stop, peer_start=mask.peer_start, peer_stop=mask.peer_stop)
        self.point(order=_order(call))
        if call.bias is not None:
            self._bias(call.bias, tensors)

    def _bias(self, bias: Bias, tensors: tuple[Tensor, ...]) -> None:
        self.problem.bias = KINDS[type(bias.rule)]
        self.point(position=bias.position, time=bias.time)
        tables = [x.detach().float() for x in tensors]
        if not isinstance(bias.rule, RelativeRule):
            self.point(slopes=tables[0])
            return
        self.problem.positions, self.problem.buckets = bias.rule.positions, TIME_BUCKETS
        self.point(edges=_edges(), position_table=tables[0], time_table=tables[1])
        if bias.form == "materialized":
            self.problem.bias = CELLS
            self.cells = cells = cells_of(self.call, bias)
            self.point(cells=cells.values(bias), cells_first=cells.first, cells_side=cells.side)

    def point(self, **tensors: Tensor | None) -> None:
        """Let fields of the problem point to ``tensors``; raises ValueError for another dtype."""
        for name, x in tensors.items():
            if x is not None:
                wanted = DTYPES.get(name, torch.float32)
                if x.dtype != wanted or x.device.type != "cpu":
                    raise ValueError(f"{name} must be {wanted} on a CPU, not {x.dtype} {x.device}")
                dense = x if name in ("q", "k", "v", "grad") else x.contiguous()
                self.kept.append(dense)
                setattr(self.problem, name, dense.data_ptr())

    def run(self, kernel: Callable[..., int]) -> None:
        """Call ``kernel`` for every item, on as many threads as torch may use."""
        self._map(lambda item: kernel(ctypes.byref(self.problem), *item))

    def run_with_sums(self, kernel: Callable[..., int]) -> list[Tensor]:
        """The same; float64 gradients of the position table and the time table."""
        sums: dict[Item, tuple[Tensor, Tensor, Tensor | None]] = {}

        def one(item: Item) -> int:
            cells = None if self.cells is None else self.cells.zeros(item[0])
            sums[item] = position, time, cells = *self._tables(), cells
            pointers = (None if x is None else x.data_ptr() for x in (position, time, cells))
            return kernel(ctypes.byref(self.problem), *item, *pointers)

        self._map(one)
        totals, by_sequence = self._tables(), dict[int, Tensor]()
        for item in sorted(sums):  # whichever thread was first: the same sum every time
            *tables, cells = sums[item]
            for total, part in zip(totals, tables, strict=True):
                total.add_(part)
            if cells is not None:
                known = by_sequence.get(item[0])
                by_sequence[item[0]] = cells if known is None else known.add_(cells)
        if self.cells is not None and self.call.bias is not None:
            more = self.cells.gradients(self.call.bias, by_sequence)
            totals = totals[0] + more[0], totals[1] + more[1]
        return list(totals)

    def _tables(self) -> tuple[Tensor, Tensor]:
        sizes = 2 * self.problem.positions - 1, self.problem.buckets
        position, time = (torch.zeros(size, dtype=torch.float64) for size in sizes)
        return position, time

    def _map(self, work: Callable[[Item], int]) -> None:
        threads = torch.get_num_threads()
        items = _items(self.call, self.problem.heads, threads)
        if threads == 1 or len(items) == 1:
            codes = [work(item) for item in items]
        else:
            codes = list(_pool(threads).map(work, items))
        if any(codes):
            hint = "take fewer events a batch: --set training.batch_events=…"
            raise GenrankError("out of memory in the attention kernels", hint)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="genrank-attention")


if hasattr(os, "register_at_fork"):  # a forked process has the pool, but not its threads
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _items(call: Call, heads: int, threads: int) -> list[Item]:
    """(sequence, first head, end of heads), the longest first; heads are cut for few sequences."""
    lengths = call.offsets.diff().tolist()
    cuts = 1 if threads == 1 or len(lengths) >= 4 * threads else min(heads, threads)
    bounds = [heads * part // cuts for part in range(cuts + 1)]
    order = sorted(range(len(lengths)), key=lambda s: -lengths[s])
    return [(s, bounds[c], bounds[c + 1]) for s in order if lengths[s] for c in range(cuts)]


_ORDERS: BatchMemo[Tensor] = BatchMemo()


def _order(call: Call) -> Tensor:
    """`_sorted` of a batch, found by its first layer, dropped with its mask."""
    mask = call.mask
    made_from = (call.offsets, mask.start, mask.peer_start, mask.peer_stop)
    return _ORDERS.get(mask.stop, made_from, (), lambda: _sorted(call))


def _sorted(call: Call) -> Tensor:
    """int64 [T]: the tokens of each sequence by the end, then the start, of what they see."""
    mask, lengths = call.mask, call.offsets.diff()
    check_mask(mask, lengths.repeat_interleave(lengths))
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    stop = torch.where(mask.stop > mask.start, mask.stop, 0)
    keys = (x.numpy() for x in (mask.start, stop, sequence))
    return torch.from_numpy(np.lexsort(tuple(keys)))


@cache
def _edges() -> Tensor:
    """float64 [buckets + 1]: the smallest distance in seconds of each time bucket.

    Found with the very formula of the rule, so that both agree to the last bit.
    """
    edges = [0.0]
    for bucket in range(1, TIME_BUCKETS):
        edge = math.exp(bucket * TIME_BUCKET_WIDTH)
        while _bucket(edge) >= bucket:
            edge = math.nextafter(edge, 0.0)
        while _bucket(edge) < bucket:
            edge = math.nextafter(edge, math.inf)
        edges.append(edge)
    return torch.tensor([*edges, math.inf], dtype=torch.float64)


def _bucket(distance: float) -> int:
    value = torch.tensor(distance, dtype=torch.float64).clamp(min=1).log().div(TIME_BUCKET_WIDTH)
    return int(value)
