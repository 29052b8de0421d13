"""Hashed ids: a table with fewer rows than there are ids, and how many ids then share a row.

Legend: n ids, B rows of the table, h hashes of an id.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Counts = NDArray[np.int64]

_WEYL = -0x61C8864680B583EB  # 0x9E3779B97F4A7C15 as a signed word
_FIRST = -0x40A7B892E31B1A47  # 0xBF58476D1CE4E5B9
_SECOND = -0x6B2FB644ECCEEE15  # 0x94D049BB133111EB

PIECE = 1 << 20  # ids hashed at a time


def mix64(code: Tensor, salt: int = 0) -> Tensor:
    """A word whose every bit depends on every bit of ``code``; int64 [n] → int64 [n].

    Output ``salt`` + 1 of the generator SplitMix64 started at the code (Steele, Lea and Flood
    2014). One to one for a salt; the same on every device.
    """
    word = code + _signed((salt + 1) * _WEYL)
    word = (word ^ _shifted(word, 30)) * _FIRST
    word = (word ^ _shifted(word, 27)) * _SECOND
    return word ^ _shifted(word, 31)


def _shifted(word: Tensor, bits: int) -> Tensor:
    """Shift right and fill with zeros: PyTorch's own shift repeats the sign."""
    return (word >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    return (number + 2**63) % 2**64 - 2**63


def hashed_row(code: Tensor, rows: int, salt: int = 0) -> Tensor:
    """The row of each code, in 0 … B−1; int64 [n] → int64 [n].

    The upper 63 bits modulo B: for any B below 2³² no row is likelier than another by more than
    one part in two thousand million.
    """
    return _shifted(mix64(code, salt), 1) % rows


@dataclass(frozen=True)
class Collisions:
    """How many ids cannot be told from another one, counted, not estimated.

    ``ids`` of the vocabulary and ``events`` of the training part; ``shared_ids`` have all their
    rows in common with another id, ``shared_events`` are the events that show such an id.
    """

    ids: int
    rows: int
    hashes: int
    shared_ids: int
    events: int
    shared_events: int

    def record(self) -> dict[str, Any]:
        """The counts, and the two shares."""
        return {
            "ids": self.ids,
            "rows": self.rows,
            "hashes": self.hashes,
            "shared_ids": self.shared_ids,
            "shared_ids_share": self.shared_ids / max(1, self.ids),
            "shared_events": self.shared_events,
            "shared_events_share": self.shared_events / max(1, self.events),
        }

    def sentence(self, name: str) -> str:
        """``item ids: 30,000,000 in 4,000,000 rows: …``, for the log."""
        found = self.record()
        return (
            f"{name} ids: {self.ids:,} in {self.rows:,} rows, {self.hashes} of them for each id: "
            f"{found['shared_ids_share']:.2%} of the ids and "
            f"{found['shared_events_share']:.2%} of the training events share them with another id"
        )


def count_collisions(rows: int, hashes: int, met: Counts) -> Collisions:
    """Ids that have all of their ``hashes`` rows in common with another.

    ``met`` int64 [n]: training events of each id. With one hash and many rows the share of ids is
    near 1 − exp(−n/B); with two it is near 1 − exp(−2n/B²).
    """
    keys = np.concatenate([np.zeros(0, np.int64), *_keys(len(met), rows, hashes)])
    alone = _met_once(keys)
    return Collisions(
        ids=len(met),
        rows=rows,
        hashes=hashes,
        shared_ids=len(met) - int(np.count_nonzero(alone)),
        events=int(met.sum()),
        shared_events=int(met.sum()) - int(met[alone].sum()),
    )


def _keys(ids: int, rows: int, hashes: int) -> Iterator[Counts]:
    """Pieces of one number for each id, equal where the sets of rows are equal."""
    for start in range(0, ids, PIECE):
        code = torch.arange(start, min(ids, start + PIECE))
        own = torch.stack([hashed_row(code, rows, salt) for salt in range(hashes)])
        key = torch.zeros_like(code)
        for row in own.sort(dim=0).values:  # the sum does not tell their order
            key = key * rows + row
        yield key.numpy()


def _met_once(keys: Counts) -> NDArray[np.bool_]:
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = np.concatenate(([False], ordered[1:] == ordered[:-1], [False]))
    alone = np.empty(len(keys), np.bool_)
    alone[order] = ~(same[1:] | same[:-1])
    return alone
