"""The gradients of a bias's tensors: launches of the kernel in ``tables.py``.

Legend: P distances of the position table, C cells of a materialized bias.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genrank_cli.attention.gpu.config import SUMS, Config
from genrank_cli.attention.gpu.interpreter import interpreted
from genrank_cli.attention.gpu.launch import Work
from genrank_cli.attention.gpu.places import CELLS, TABLES, TABLES_SPLIT
from genrank_cli.attention.gpu.tables import TIMES, tables_kernel
from genrank_cli.attention.relative import TIME_BUCKETS

#: Numbers that the programs' own position tables may hold together: 256 MiB.
MAX_OWN = 1 << 26


def bias_gradients(work: Work, grad: Tensor, log_sum: Tensor, mean: Tensor) -> list[Tensor]:
    """Of the tensors of the call's bias; empty for one that learns nothing."""
    bias = work.call.bias
    if bias is None or work.bias.kind not in (TABLES, TABLES_SPLIT, CELLS):
        return []
    inputs = (work.q, work.k, work.v, log_sum, grad, mean)
    if work.bias.kind == CELLS:
        cells = torch.zeros(bias.tensors[0].shape, device=grad.device)
        _run(work, inputs, cells, cells)
        return [cells.to(bias.tensors[0].dtype)]
    size = 2 * work.bias.last + 1
    own = _programs(work, MAX_OWN // size)
    by_position = torch.empty(own, size, device=grad.device)
    by_time = torch.empty(own, TIMES.value, device=grad.device)
    _run(work, inputs, by_position, by_time)
    sums = by_position.double().sum(0), by_time.double().sum(0)[:TIME_BUCKETS]
    return [total.to(x.dtype) for total, x in zip(sums, bias.tensors, strict=True)]


def _programs(work: Work, most: int) -> int:
    """So many that the device is busy, each with a table of its own."""
    if interpreted():
        return 2
    count = torch.cuda.get_device_properties(work.q.device).multi_processor_count
    return max(1, min(2 * count, most))


def _run(work: Work, inputs: tuple[Tensor, ...], sums: Tensor, by_time: Tensor) -> None:
    """``sums`` [programs, 2P − 1] and ``by_time`` [programs, TIMES], or the cells [C] twice."""
    lists, bias = work.lists, work.bias
    cells = bias.kind == CELLS

    def launch(config: Config) -> None:
        side = work.side(config, of_keys=False)
        count = len(side.blocks)
        sums.zero_()
        if not cells:
            by_time.zero_()
        programs = _programs(work, max(count, 1)) if cells else len(sums)
        if count == 0:
            return
        tables_kernel[(programs,)](
            *inputs, sums, by_time, 0 if cells else sums.shape[1], work.strides(), side.blocks,
            count, side.runs, lists.mask, lists.mask.shape[1], bias.tensors, bias.last,
            *work.numbers(), **work.constants(),
            ANY_ORDER=not torch.are_deterministic_algorithms_enabled(),
            M=config.rows, N=config.keys, num_warps=config.warps, num_stages=config.stages,
        )  # fmt: skip

    launch(work.choose(SUMS, launch))
