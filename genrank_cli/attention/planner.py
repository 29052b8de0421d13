"""Cuts a batch into the tiles of a `Plan`.

Legend: R rows of q, S sequences, G segments of a chunk, R rows and K keys of a chunk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from genrank_cli.attention.mask import Mask, check_mask
from genrank_cli.attention.plan import HIDDEN, Chunk, Ints, Plan, Side, Tile

TILE_CELLS = 1 << 18  # scores of a tile, all heads: 1 MiB of float32, at home in a core's cache
MIN_KEYS = 128  # of a tile, however many its heads


class _Target(NamedTuple):
    """What the plan is for: heads, and the dtype and device of the scores."""

    heads: int
    dtype: torch.dtype
    device: torch.device


def make_plan(
    offsets: Tensor, row_offsets: Tensor, mask: Mask, heads: int, dtype: torch.dtype
) -> Plan:
    """The plan of a batch; offsets int64 [S+1] of keys and rows, scores are of ``dtype``.

    Raises ValueError for a mask that reaches beyond a row's sequence or counts a key twice.
    """
    bounds, row_bounds = offsets.numpy(force=True), row_offsets.numpy(force=True)
    context, start, stop, peer_start, peer_stop = (x.numpy(force=True) for x in mask.tensors())
    sequence = np.repeat(np.arange(len(bounds) - 1), np.diff(row_bounds))  # [R]
    first = bounds[sequence]  # [R]
    check_mask(mask, torch.from_numpy(bounds[sequence + 1] - first).to(mask.start.device))
    groups = (
        _segments(sequence, first, first + context),
        _segments(sequence, first + start, first + stop),
        # Rows with the same first peer are one segment: the candidates of a request.
        _segments(first + peer_start, first + peer_start, first + peer_stop),
    )
    target = _Target(heads, dtype, offsets.device)
    passes = [
        [_chunk(segments, chosen, target) for chosen in _split(segments, heads)]
        for segments in groups
    ]
    return Plan([chunks for chunks in passes if chunks], dtype)


@dataclass(frozen=True)
class _Segments:
    """Segments, longest first; ``start`` and ``stop`` count from the segment's first key.

    row, start, stop    int64, all rows of q, segment by segment
    first_row, rows     int64 [segments]
    first_key, keys     int64 [segments]
    """

    row: Ints
    start: Ints
    stop: Ints
    first_row: Ints
    rows: Ints
    first_key: Ints
    keys: Ints


def _segments(segment: Ints, start: Ints, stop: Ints) -> _Segments:
    """Group the rows [R] by ``segment``; ``start`` and ``stop`` are tokens of k."""
    row = np.flatnonzero(stop > start)
    row = row[np.lexsort((stop[row], segment[row]))]
    start, stop, segment = start[row], stop[row], segment[row]
    first_row = np.flatnonzero(np.diff(segment, prepend=-1))
    rows = np.diff(first_row, append=len(row))
    if len(row) == 0:
        return _Segments(row, start, stop, first_row, rows, first_row, rows)
    first_key = np.minimum.reduceat(start, first_row)
    keys = np.maximum.reduceat(stop, first_row) - first_key
    start, stop = start - np.repeat(first_key, rows), stop - np.repeat(first_key, rows)
    order = np.lexsort((-keys, -rows))
    return _Segments(row, start, stop, first_row[order], rows[order], first_key[order], keys[order])


def rows_per_tile(rows: int) -> int:
    """Rows of a tile: taller ones make better products, flatter ones waste less of a triangle."""
    if rows < 400:
        return 64
    return 128 if rows < 2000 else 256


def _split(segments: _Segments, heads: int) -> Iterator[slice]:
    """Consecutive segments whose tiles stay below `TILE_CELLS` scores (at least one each)."""
    first = 0
    while first < len(segments.rows):
        tile_rows = min(int(segments.rows[first]), rows_per_tile(int(segments.rows[first])))
        longest = np.maximum.accumulate(segments.keys[first : first + TILE_CELLS // heads])
        cells = longest * np.arange(1, len(longest) + 1) * heads * tile_rows
        count = max(1, int(np.searchsorted(cells, TILE_CELLS, side="right")))
        yield slice(first, first + count)
        first += count


def _chunk(segments: _Segments, chosen: slice, target: _Target) -> Chunk:
    rows, keys = segments.rows[chosen], segments.keys[chosen]
    row = _padded(segments.first_row[chosen], rows)  # [G, R]
    key = _padded(segments.first_key[chosen], keys)  # [G, K]
    start, stop = segments.start[row], segments.stop[row]  # [G, R]
    size = min(rows_per_tile(row.shape[1]), row.shape[1])
    tiles: list[Tile] = []
    for begin in range(0, row.shape[1], size):
        here = slice(begin, min(begin + size, row.shape[1]))
        count = int(np.searchsorted(-rows, -begin))  # segments with more than ``begin`` rows
        most = max(TILE_CELLS // (count * target.heads * size), MIN_KEYS)
        tiles += _row_tiles(here, start[:count, here], stop[:count, here], most, target)
    row_side = Side(segments.row[row], rows, target.heads, target.device)
    return Chunk(row_side, Side(key, keys, target.heads, target.device), tiles)


def _padded(first: Ints, count: Ints) -> Ints:
    """[G, longest] of first, first + 1, …, the last one repeated."""
    return first[:, None] + np.minimum(np.arange(count.max()), count[:, None] - 1)


def _row_tiles(rows: slice, start: Ints, stop: Ints, most: int, target: _Target) -> Iterator[Tile]:
    """The tiles of these rows: their keys in equal parts of at most ``most``.

    ``start`` and ``stop`` [G, rows]: what each row sees.
    """
    segments = len(start)
    first, last = int(start.min()), int(stop.max())
    if (start == start[:1]).all() and (stop == stop[:1]).all():
        start, stop = start[:1], stop[:1]  # one mask for all segments
    parts = math.ceil((last - first) / most)
    size = math.ceil((last - first) / parts)
    for begin in range(first, last, size):
        keys = slice(begin, min(begin + size, last))
        masks = [
            (
                slice(part.start - begin, part.stop - begin),
                _hidden(part, start, stop, target),
            )
            for part in _partly_hidden(keys, start, stop)
        ]
        yield Tile(rows, keys, segments, masks, begin == first)


def _partly_hidden(keys: slice, start: Ints, stop: Ints) -> list[slice]:
    """The ranges of ``keys`` that some row does not see: before and after those that all see."""
    before = slice(keys.start, min(int(start.max()), keys.stop))
    after = slice(max(int(stop.min()), keys.start), keys.stop)
    if before.stop >= after.start:
        return [keys]
    return [part for part in (before, after) if part.start < part.stop]


def _hidden(keys: slice, start: Ints, stop: Ints, target: _Target) -> Tensor:
    """What to add to the scores of ``keys``: 0 or `HIDDEN`, [G or 1, 1, rows, keys]."""
    key = np.arange(keys.start, keys.stop)
    seen = (key >= start[..., None]) & (key < stop[..., None])  # [G, rows, keys]
    hidden = torch.from_numpy(~seen).to(target.device, target.dtype)
    return hidden.mul_(HIDDEN).unsqueeze(1)
