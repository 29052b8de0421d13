"""The plan of a batch: which rows meet which keys in which order, the same for all layers.

A *segment* is a set of rows that look at one range of keys: the rows of a sequence and its history,
or the candidates of a request and themselves. Its rows are sorted by where their visible range
ends, so that a tile of rows needs one short range of keys, whatever the order of the tokens. A
*chunk* is a few segments done together, padded to the longest by repeating their last row and key.

Legend: T tokens, G segments of a chunk, R rows and K keys (padded) of a chunk, H heads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrank_cli.attention.batchmemo import version
from genrank_cli.attention.bias import BiasRule

Codes = tuple[Tensor, ...]
Ints = NDArray[np.int64]

HIDDEN = -1e30  # added to hidden scores: SiLU, its derivative and exp are exactly 0 there
CODE_BYTES = 64 << 20  # codes that a plan keeps; a longer batch computes the others again


@dataclass(frozen=True, eq=False)
class Tile:
    """Rows ``rows`` of a chunk's first ``segments`` segments against the keys ``keys``.

    ``masks``: (keys counted from ``keys.start``, what to add to the scores [G or 1, 1, rows, keys])
    for the ranges that hold hidden cells. ``first``: no tile before has these rows.
    """

    rows: slice
    keys: slice
    segments: int
    masks: list[tuple[slice, Tensor]]
    first: bool


class Side:
    """The rows or the keys of a chunk.

    tokens   int64 [G, n]: the row of q, or the token of k, at each place; ``real``: its flat places
             that repeat no other
    padding  int64: places of [G, H, n], flat, that only repeat another one
    run      the tokens as a range, if the chunk is one segment of consecutive tokens: no copy
    """

    def __init__(self, tokens: Ints, count: Ints, heads: int, device: torch.device) -> None:
        """``tokens`` [G, n], of which the first ``count`` [G] of each segment are real."""
        self.tokens = torch.from_numpy(tokens).to(device)
        self.heads = torch.arange(heads, device=device)
        repeats = np.arange(tokens.shape[1]) >= count[:, None]  # [G, n]
        self.real = torch.from_numpy(np.flatnonzero(~repeats)).to(device)
        repeats = np.repeat(repeats[:, None], heads, axis=1)
        self.padding = torch.from_numpy(np.flatnonzero(repeats)).to(device)
        self.run: slice | None = None
        if len(tokens) == 1 and (np.diff(tokens[0]) == 1).all():
            self.run = slice(int(tokens[0, 0]), int(tokens[0, -1]) + 1)
        self._index: dict[int, Tensor] = {}

    def index(self, step: int) -> Tensor:
        """Where [G, H, n] lies, flat, in a matrix with a row for each head of each token.

        From a token to the next it is ``step`` rows.
        """
        if step not in self._index:
            rows = self.tokens[:, None] * step + self.heads[:, None]
            self._index[step] = rows.flatten()
        return self._index[step]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Segments done together."""

    rows: Side
    keys: Side
    tiles: list[Tile]


class Plan:
    """The passes of one batch: rows against each interval of the mask.

    Remembers the codes of biases, which depend on the batch alone, for the other layers.
    """

    def __init__(self, passes: list[list[Chunk]], dtype: torch.dtype) -> None:
        self.passes = passes
        self.dtype = dtype
        self._codes: dict[tuple[Tile, BiasRule], tuple[list[tuple[Tensor, int]], Codes]] = {}
        self._bytes = 0

    def chunks(self) -> Iterator[Chunk]:
        """The chunks of all passes."""
        return chain.from_iterable(self.passes)

    def recall(self, tile: Tile, rule: BiasRule, places: tuple[Tensor, ...]) -> Codes | None:
        """The remembered codes of a tile, if they belong to these places of keys and rows."""
        of, codes = self._codes.get((tile, rule), ([], None))
        return codes if len(of) == len(places) and all(map(_same, of, places)) else None

    def remember(
        self, tile: Tile, rule: BiasRule, places: tuple[Tensor, ...], codes: Codes
    ) -> None:
        """Keep the codes of a tile, unless that would take more than `CODE_BYTES` in all."""
        size = sum(code.nbytes for code in codes)
        if self._bytes + size <= CODE_BYTES and (tile, rule) not in self._codes:
            self._codes[tile, rule] = [(x, version(x)) for x in places], codes
            self._bytes += size


def _same(known: tuple[Tensor, int], other: Tensor) -> bool:
    """Whether places are those of then: each layer picks those of its rows anew."""
    one, before = known
    return version(one) == before and (one is other or torch.equal(one, other))
