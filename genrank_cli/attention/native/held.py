"""The arguments of a kernel: numbers, addresses, and the tensors behind them.

Legend: S sequences, R rows, T keys, H heads, D width of q and k, E of v, I items.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from genrank_cli.attention import dropout
from genrank_cli.attention.alibi import AlibiRule, AlibiTimeRule
from genrank_cli.attention.bias import Bias
from genrank_cli.attention.call import Call
from genrank_cli.attention.cells import CellsRule, first_cells
from genrank_cli.attention.native.compiled import STEPS, Problem
from genrank_cli.attention.native.edges import bucket_edges
from genrank_cli.attention.native.items import make_items, row_order
from genrank_cli.attention.native.threads import on_threads
from genrank_cli.attention.relative import TIME_BUCKETS, RelativeRule
from genrank_cli.errors import GenrankError

#: Rule → its number in ``bias.h``.
KINDS: dict[type, int] = {AlibiRule: 1, AlibiTimeRule: 2, RelativeRule: 3, CellsRule: 4}

#: What bfloat16 is computed with at most: 2 AMX, 1 AVX512-BF16, 0 float32.
LEVEL = 2

#: By kind of bias, heads of an item: a bias worked out for all of them wants many, the cache few.
ITEM_HEADS = {0: 2, 1: 2, 2: 4, 3: 4, 4: 4}

_OWN = "q k v grad out cells dq dk dv"  # of the dtype of q
_FLOATS = "log_sum slopes position_table time_table cells_grad"
_DOUBLES = "time row_time edges position_grad time_grad"
DTYPES = dict.fromkeys(_FLOATS.split(), torch.float32) | dict.fromkeys(
    _DOUBLES.split(), torch.float64
)


@dataclass(frozen=True)
class Sums:
    """Where the items write the gradients of the bias's tensors, which are ``like`` these."""

    parts: list[Tensor]
    like: tuple[Tensor, ...]

    def totals(self) -> list[Tensor]:
        """Summed in the order of the items: the same every time."""
        pairs = zip(self.parts, self.like, strict=True)
        return [part.sum(0).to(x.dtype) for part, x in pairs]


class Held:
    """A `Problem` and the tensors that it points to, which must live as long."""

    def __init__(
        self, call: Call, q: Tensor, k: Tensor, v: Tensor, grad: Tensor | None = None
    ) -> None:
        self.call, self.dtype = call, q.dtype
        self.kept: list[Tensor] = []
        self.problem = problem = Problem()
        problem.sequences = len(call.offsets) - 1
        problem.heads, problem.width, problem.value_width = q.shape[1], q.shape[2], v.shape[2]
        problem.half, problem.level = q.dtype == torch.bfloat16, LEVEL
        problem.softmax = call.activation == "softmax"
        problem.scale, problem.weight = call.scale, 1.0 if problem.softmax else 1.0 / call.norm
        problem.dropout, problem.seed = call.dropout > 0, call.seed
        problem.threshold = dropout.threshold(call.dropout)
        problem.kept_scale = 1.0 / (1.0 - call.dropout)
        self.point(q=q, k=k, v=v, grad=grad, offsets=call.offsets, row_offsets=call.row_offsets)
        names = ("context", "start", "stop", "peer_start", "peer_stop")
        self.point(**dict(zip(names, call.mask.tensors(), strict=True)), order=row_order(call))
        if call.bias is not None:
            self._bias(call.bias)
        self._items()

    def point(self, **tensors: Tensor | None) -> None:
        """Let fields of the problem point to ``tensors``; raises ValueError for another dtype."""
        for name, x in tensors.items():
            if x is None:
                continue
            wanted = self.dtype if name in _OWN.split() else DTYPES.get(name, torch.int64)
            if x.dtype != wanted or x.device.type != "cpu":
                raise ValueError(f"{name} must be {wanted} on a CPU, not {x.dtype} {x.device}")
            x = self._steps(name, x) if hasattr(self.problem, f"{name}_token") else x.contiguous()
            self.kept.append(x)
            setattr(self.problem, name, x.data_ptr())

    def _steps(self, name: str, x: Tensor) -> Tensor:
        """Adjacent numbers in a row; a view of q, k, v inside a projection stays one."""
        x = x if x.stride(-1) == 1 or x.shape[-1] == 1 else x.contiguous()
        for step, stride in zip(STEPS, x.stride(), strict=False):
            setattr(self.problem, f"{name}_{step}", stride)
        return x

    def _bias(self, bias: Bias) -> None:
        problem = self.problem
        problem.bias = KINDS[type(bias.rule)]
        if isinstance(bias.rule, CellsRule):
            first = first_cells(self.call.offsets, self.call.row_offsets)
            self.point(cells=bias.tensors[0].detach().to(self.dtype), cells_first=first)
            return
        places = (bias.position, bias.time, bias.row_position, bias.row_time)
        position, time, row_position, row_time = places
        self.point(position=position, time=time)
        self.point(row_position=position if row_position is None else row_position)
        self.point(row_time=time if row_time is None else row_time)
        tables = [x.detach().float() for x in bias.tensors]
        if not isinstance(bias.rule, RelativeRule):
            self.point(slopes=tables[0])
            return
        problem.positions, problem.buckets = bias.rule.positions, TIME_BUCKETS
        self.point(edges=bucket_edges(), position_table=tables[0], time_table=tables[1])

    def _items(self) -> None:
        problem = self.problem
        problem.item_heads = min(ITEM_HEADS[problem.bias], problem.heads)
        items = make_items(self.call, problem.heads, problem.item_heads)  # [I, 3]
        problem.items = len(items)
        self.point(item=items, next=torch.zeros(1, dtype=torch.int64))

    def sums(self) -> Sums | None:
        """Room for the gradients of the bias's tensors; None where nothing can be learned."""
        if self.call.bias is None or self.problem.bias < KINDS[RelativeRule]:
            return None
        tensors = self.call.bias.tensors
        if self.problem.bias == KINDS[CellsRule]:
            ranges = -(-self.problem.heads // self.problem.item_heads)
            parts = [torch.zeros(ranges, len(tensors[0]))]
            self.point(cells_grad=parts[0])
        else:
            count = self.problem.items
            parts = [torch.zeros(count, len(x), dtype=torch.float64) for x in tensors]
            self.point(position_grad=parts[0], time_grad=parts[1])
        return Sums(parts, tensors)

    def run(self, kernel: Callable[..., int]) -> None:
        """Call ``kernel`` on as many threads as torch may use; each takes item after item."""
        threads = min(torch.get_num_threads(), self.problem.items)
        codes = on_threads(threads, lambda: kernel(ctypes.byref(self.problem)))
        if any(codes):
            hint = "take fewer events a batch: --set training.batch_events=…"
            raise GenrankError("out of memory in the attention kernels", hint)
