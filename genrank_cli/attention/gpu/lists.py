"""Which blocks of rows meet which blocks of keys: worked out once for a batch, on its device.

A program of a kernel takes one block of rows (or of keys) and walks its *runs*: stretches of keys
(or rows) of which every block holds a visible cell. Runs of blocks that are visible in every cell
come first and need no mask. So a kernel's cost follows the visible area, whatever the mask.
Legend: S sequences, R rows, T keys, B blocks of one side, P pairs of a block of rows and one of
keys (flat: sequence by sequence, block of rows by block of rows).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from genrank_cli.attention.batchmemo import BatchMemo
from genrank_cli.attention.call import Call
from genrank_cli.attention.mask import Mask, check_mask


@dataclass(frozen=True, eq=False)
class Side:
    """The blocks of rows with the runs of keys that they see, or the other way round.

    blocks  int32 [B, 10]: first token, one past the last, first of the sequence and its length;
            first token of the other side and its length; sequence; first run, first run with
            hidden cells, one past the last run
    runs    int32 [n, 2]: first place and one past the last, counted from the sequence's start
    """

    blocks: Tensor
    runs: Tensor


@dataclass(eq=False)
class Lists:
    """What the kernels read of a mask.

    mask     int32 [5, R], the fields of `Mask`
    context  whether any row sees keys by the mask's first interval
    """

    mask: Tensor
    context: bool
    sides: dict[tuple[int, int], tuple[Side, Side]] = field(default_factory=dict)

    def get(self, call: Call, rows: int, keys: int) -> tuple[Side, Side]:
        """The side of the rows and that of the keys, for blocks of ``rows`` and ``keys``."""
        known = self.sides.get((rows, keys))
        if known is None:
            known = self.sides[rows, keys] = _sides(call, rows, keys)
        return known


_LISTS: BatchMemo[Lists] = BatchMemo()


def lists_of(call: Call) -> Lists:
    """Of a batch; made by its first layer, dropped with its mask. Raises as `check_mask`."""
    context, start, stop, *peers = call.mask.tensors()
    made_from = (call.offsets, call.row_offsets, context, start, *peers)
    return _LISTS.get(stop, made_from, (), lambda: _make(call))


def _make(call: Call) -> Lists:
    check_mask(call.mask, call.offsets.diff().repeat_interleave(call.row_offsets.diff()))
    mask = torch.stack(call.mask.tensors()).int()
    return Lists(mask, bool((call.mask.context > 0).any()))


@dataclass(frozen=True, eq=False)
class _Grid:
    """Blocks of one side: of each its sequence and its number in it; int64 [B], [B], [S], [S]."""

    offsets: Tensor
    size: int
    sequence: Tensor
    place: Tensor
    counts: Tensor
    firsts: Tensor

    @classmethod
    def of(cls, offsets: Tensor, size: int) -> _Grid:
        counts = (offsets.diff() + size - 1) // size
        firsts = counts.cumsum(0) - counts
        sequence = torch.arange(len(counts), device=offsets.device).repeat_interleave(counts)
        place = torch.arange(len(sequence), device=offsets.device) - firsts[sequence]
        return cls(offsets, size, sequence, place, counts, firsts)

    def table(self, other: _Grid, full: Tensor, partial: Tensor, end: Tensor) -> Tensor:
        """`Side.blocks`; ``full``, ``partial``, ``end`` int64 [B]."""
        begin, length = self.offsets[:-1], self.offsets.diff()
        first = begin[self.sequence] + self.place * self.size
        stop = torch.minimum(first + self.size, self.offsets[1:][self.sequence])
        s = self.sequence
        other_begin, other_length = other.offsets[:-1][s], other.offsets.diff()[s]
        columns = (first, stop, begin[s], length[s], other_begin, other_length, s)
        return torch.stack((*columns, full, partial, end), dim=1).int().contiguous()


def _sides(call: Call, rows: int, keys: int) -> tuple[Side, Side]:
    by_rows = _Grid.of(call.row_offsets, rows)
    by_keys = _Grid.of(call.offsets, keys)
    # One pair more than there are blocks of keys: the end of a run needs a place to be told at.
    width = by_keys.counts[by_rows.sequence] + 1  # [B]
    begin = width.cumsum(0) - width
    state = _states(call.mask, call.row_offsets, by_rows, begin, width, keys)
    other_width = by_rows.counts[by_keys.sequence] + 1
    turned = _turn(state, by_rows, by_keys, begin, width, other_width)
    return (
        _side(by_rows, by_keys, state, begin, width),
        _side(by_keys, by_rows, turned, other_width.cumsum(0) - other_width, other_width),
    )


def _states(
    mask: Mask, row_offsets: Tensor, grid: _Grid, begin: Tensor, width: Tensor, keys: int
) -> Tensor:
    """int8 [P]: 0 nothing visible, 1 something, 2 every cell of two whole blocks."""
    lengths = row_offsets.diff()
    sequence = torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)  # [R]
    place = torch.arange(len(sequence), device=lengths.device) - row_offsets[sequence]
    block = grid.firsts[sequence] + place // grid.size  # [R]
    # Counted by where a row's blocks begin (+1) and end (−1), then summed along the pairs.
    marks = torch.zeros(2, int(width.sum()) + 1, dtype=torch.int32, device=lengths.device)
    for start, stop in mask.intervals():
        touched = (start // keys, (stop - 1) // keys + 1, stop > start)
        whole = (start + keys - 1) // keys, stop // keys
        covered = (*whole, (stop > start) & (whole[1] > whole[0]))
        for row, (low, high, some) in zip(marks, (touched, covered), strict=True):
            one = some.int()
            row.index_add_(0, begin[block] + torch.where(some, low, 0), one)
            row.index_add_(0, begin[block] + torch.where(some, high, 0), -one)
    touched_rows, covered_rows = marks.cumsum(1, dtype=torch.int32)[:, :-1]
    state: Tensor = (touched_rows > 0).to(torch.int8) + (covered_rows == grid.size).to(torch.int8)
    return state


def _turn(
    state: Tensor, by_rows: _Grid, by_keys: _Grid, begin: Tensor, width: Tensor, other_width: Tensor
) -> Tensor:
    """The states of all pairs, block of keys by block of keys."""
    owner = torch.arange(len(width), device=width.device).repeat_interleave(width)  # [P]
    column = torch.arange(len(owner), device=width.device) - begin[owner]
    sequence = by_rows.sequence[owner]
    real = column < by_keys.counts[sequence]
    other_begin = other_width.cumsum(0) - other_width
    block = (by_keys.firsts[sequence] + column)[real]
    turned = state.new_zeros(int(other_width.sum()))
    turned[other_begin[block] + by_rows.place[owner][real]] = state[real]
    return turned


def _side(grid: _Grid, other: _Grid, state: Tensor, begin: Tensor, width: Tensor) -> Side:
    nothing = state.new_zeros(1)
    changed = state.diff(prepend=nothing) != 0
    first = (changed & (state > 0)).nonzero().squeeze(1)  # [n]
    last = ((state.diff(append=nothing) != 0) & (state > 0)).nonzero().squeeze(1)
    owner = torch.arange(len(width), device=width.device).repeat_interleave(width)[first]
    group = 2 * owner + (state[first] == 1)  # full runs before the others
    group, order = group.sort(stable=True)
    bounds = torch.searchsorted(group, torch.arange(2 * len(width) + 1, device=width.device))
    runs = torch.stack((first, last + 1), dim=1)[order] - begin[owner[order]][:, None]
    blocks = grid.table(other, bounds[:-1:2], bounds[1::2], bounds[2::2])
    return Side(blocks, (runs * other.size).int().contiguous())
