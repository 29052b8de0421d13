"""How a batch is cut into tiles: which rows meet which keys, worked out once for all layers.

A *segment* is a set of rows that look at one range of keys: the rows of a sequence and its history,
or the candidates of a request and themselves. Its rows are sorted by where their visible range
ends, so that a tile of rows needs one short range of keys, whatever the order of the tokens. A
*chunk* is a few segments done together, padded to the longest by repeating their last row and key.

Legend: T tokens, G segments of a chunk, R rows and K keys (padded) of a chunk, H heads.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrank_cli.attention.bias import BiasRule, Places
from genrank_cli.attention.mask import Mask

Codes = tuple[Tensor, ...]
Ints = NDArray[np.int64]

HIDDEN = -1e30  # added to hidden scores: SiLU, its derivative and exp are exactly 0 there
TILE_CELLS = 1 << 18  # scores of a tile, all heads: 1 MiB of float32, at home in a core's cache
CODE_BYTES = 64 << 20  # codes that a plan keeps; a longer batch computes the others again


@dataclass(frozen=True, eq=False)
class Tile:
    """Rows ``rows`` of a chunk's first ``segments`` segments against the keys ``keys``.

    ``masks``: (keys counted from ``keys.start``, what to add to the scores [G or 1, 1, rows, keys])
    for the ranges that hold hidden cells.
    """

    rows: slice
    keys: slice
    segments: int
    masks: list[tuple[slice, Tensor]]

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.keys.stop - self.keys.start

    @property
    def cells(self) -> int:
        """Scores of one head."""
        rows, keys = self.shape
        return self.segments * rows * keys


@dataclass(frozen=True, eq=False)
class Side:
    """The rows or the keys of a chunk.

    tokens   int64 [G, n]: the token at each place; ``flat``: the same, [G·n]
    padding  int64: the flat places that only repeat another one
    run      the tokens as a range, if the chunk is one segment of consecutive tokens: no copy
    """

    tokens: Tensor
    flat: Tensor
    padding: Tensor
    run: slice | None


@dataclass(frozen=True, eq=False)
class Chunk:
    """Segments done together; ``whole`` is all of it as one tile."""

    rows: Side
    keys: Side
    tiles: list[Tile]
    whole: Tile


class Plan:
    """The passes of one batch: rows against the mask's first interval, then against their peers.

    Remembers the codes of biases, which depend on the batch alone, for the other layers.
    """

    def __init__(self, passes: list[list[Chunk]], dtype: torch.dtype) -> None:
        self.passes = passes
        self.dtype = dtype
        self.tile_cells = max((t.cells for c in self.chunks() for t in c.tiles), default=0)
        self._codes: dict[tuple[Tile, BiasRule], tuple[Places, Codes]] = {}
        self._bytes = 0

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of all passes."""
        return chain.from_iterable(self.passes)

    def recall(self, tile: Tile, rule: BiasRule, places: Places) -> Codes | None:
        """The remembered codes of a tile, if they belong to these very places."""
        of, codes = self._codes.get((tile, rule), (None, None))
        return codes if of is not None and all(map(operator.is_, of, places)) else None

    def remember(self, tile: Tile, rule: BiasRule, places: Places, codes: Codes) -> None:
        """Keep the codes of a tile, unless that would take more than `CODE_BYTES` in all."""
        size = sum(code.nbytes for code in codes)
        if self._bytes + size <= CODE_BYTES and (tile, rule) not in self._codes:
            self._codes[tile, rule] = places, codes
            self._bytes += size


def make_plan(offsets: Tensor, mask: Mask, heads: int, dtype: torch.dtype) -> Plan:
    """The plan of a batch; ``offsets`` int64 [S+1], scores are of ``dtype``."""
    bounds = offsets.numpy(force=True)
    start, stop, peer_start, peer_stop = (
        x.numpy(force=True) for x in (mask.start, mask.stop, mask.peer_start, mask.peer_stop)
    )
    sequence = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))  # [T]
    first = bounds[sequence]  # [T]
    device = offsets.device
    passes = [
        _chunks(_segments(sequence, first + start, first + stop), heads, dtype, device),
        # Rows with the same first peer are one segment: the candidates of a request.
        _chunks(
            _segments(first + peer_start, first + peer_start, first + peer_stop),
            heads,
            dtype,
            device,
        ),
    ]
    return Plan([chunks for chunks in passes if chunks], dtype)


@dataclass(frozen=True)
class _Segments:
    """Segments, longest first; ``start`` and ``stop`` count from the segment's first key.

    token, start, stop  int64, all rows, segment by segment
    first_row, rows     int64 [segments]
    first_key, keys     int64 [segments]
    """

    token: Ints
    start: Ints
    stop: Ints
    first_row: Ints
    rows: Ints
    first_key: Ints
    keys: Ints


def _segments(segment: Ints, start: Ints, stop: Ints) -> _Segments:
    """Group the rows [T] by ``segment``; ``start`` and ``stop`` are tokens of the batch."""
    token = np.flatnonzero(stop > start)
    token = token[np.lexsort((stop[token], segment[token]))]
    start, stop, segment = start[token], stop[token], segment[token]
    first_row = np.flatnonzero(np.diff(segment, prepend=-1))
    rows = np.diff(first_row, append=len(token))
    if len(token) == 0:
        return _Segments(token, start, stop, first_row, rows, first_row, rows)
    first_key = np.minimum.reduceat(start, first_row)
    keys = np.maximum.reduceat(stop, first_row) - first_key
    start, stop = start - np.repeat(first_key, rows), stop - np.repeat(first_key, rows)
    order = np.lexsort((-keys, -rows))
    return _Segments(
        token, start, stop, first_row[order], rows[order], first_key[order], keys[order]
    )


def rows_per_tile(rows: int) -> int:
    """Rows of a tile, for a segment of ``rows`` rows."""
    return 96


def _chunks(
    segments: _Segments, heads: int, dtype: torch.dtype, device: torch.device
) -> list[Chunk]:
    return [_chunk(segments, chosen, dtype, device) for chosen in _split(segments, heads)]


def _split(segments: _Segments, heads: int) -> Iterator[slice]:
    """Consecutive segments whose tiles stay below `TILE_CELLS` scores (at least one each)."""
    first = 0
    while first < len(segments.rows):
        tile_rows = min(int(segments.rows[first]), rows_per_tile(int(segments.rows[first])))
        longest = np.maximum.accumulate(segments.keys[first : first + TILE_CELLS])
        cells = longest * np.arange(1, len(longest) + 1) * heads * tile_rows
        count = max(1, int(np.searchsorted(cells, TILE_CELLS, side="right")))
        yield slice(first, first + count)
        first += count


def _chunk(segments: _Segments, chosen: slice, dtype: torch.dtype, device: torch.device) -> Chunk:
    rows, keys = segments.rows[chosen], segments.keys[chosen]
    row, row_padding = _padded(segments.first_row[chosen], rows)  # [G, R]
    key, key_padding = _padded(segments.first_key[chosen], keys)  # [G, K]
    start, stop = segments.start[row], segments.stop[row]  # [G, R]
    size = rows_per_tile(row.shape[1])
    tiles = []
    for begin in range(0, row.shape[1], size):
        here = slice(begin, min(begin + size, row.shape[1]))
        count = int(np.searchsorted(-rows, -begin))  # segments with more than ``begin`` rows
        tiles.append(_tile(here, start[:count, here], stop[:count, here], dtype, device))
    whole = Tile(slice(0, row.shape[1]), slice(0, key.shape[1]), len(rows), [])
    row_side = _side(segments.token[row], row_padding, device)
    return Chunk(row_side, _side(key, key_padding, device), tiles, whole)


def _padded(first: Ints, count: Ints) -> tuple[Ints, Ints]:
    """[G, longest] of first, first + 1, …, the last one repeated; and the flat repeated places."""
    place = np.arange(count.max())
    last = (count - 1)[:, None]
    return first[:, None] + np.minimum(place, last), np.flatnonzero(place > last)


def _side(tokens: Ints, padding: Ints, device: torch.device) -> Side:
    run = None
    if len(tokens) == 1 and (np.diff(tokens[0]) == 1).all():
        run = slice(int(tokens[0, 0]), int(tokens[0, -1]) + 1)
    places = torch.from_numpy(tokens).to(device)
    return Side(places, places.flatten(), torch.from_numpy(padding).to(device), run)


def _tile(rows: slice, start: Ints, stop: Ints, dtype: torch.dtype, device: torch.device) -> Tile:
    """``start`` and ``stop`` [G, rows of the tile]: what each row sees."""
    segments = len(start)
    keys = slice(int(start.min()), int(stop.max()))
    seen_from, seen_to = int(start.max()), int(stop.min())  # every row sees these
    if (start == start[:1]).all() and (stop == stop[:1]).all():
        start, stop = start[:1], stop[:1]  # one mask for all segments
    hidden = [slice(keys.start, seen_from), slice(seen_to, keys.stop)]
    if seen_to <= seen_from:
        hidden = [keys]
    masks = []
    for part in hidden:
        if part.start < part.stop:
            key = np.arange(part.start, part.stop)
            visible = (key >= start[..., None]) & (key < stop[..., None])  # [G, rows, keys]
            added = torch.from_numpy(visible).to(device).logical_not().to(dtype).mul_(HIDDEN)
            local = slice(part.start - keys.start, part.stop - keys.start)
            masks.append((local, added.unsqueeze(1)))
    return Tile(rows, keys, segments, masks)
