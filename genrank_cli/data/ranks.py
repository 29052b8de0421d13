"""The time of a given rank among all events, without a sorted copy of all times."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def time_of_rank(time: Times, usual: Flags | None, rank: int, piece: int) -> float:
    """The time ≥ 0 that stands at ``rank``, from 0, when those of the ``usual`` events are sorted.

    ``time`` [E] is read ``piece`` events at a time. The bits of a float ≥ 0 grow with it: they are
    counted by their leading ones until so few times agree in these that they can be sorted.
    """
    low, high, below, found = 0, 2**63 - 1, 0, len(time)
    while found > piece and low < high:
        shift = max(0, (high - low).bit_length() - 14)
        counts = np.zeros(((high - low) >> shift) + 1, np.int64)
        for bits in _bits(time, usual, low, high, piece):
            counts += np.bincount((bits - low) >> shift, minlength=len(counts))
        upto = below + np.cumsum(counts)
        place = int(np.searchsorted(upto, rank, side="right"))
        below, found = int(upto[place] - counts[place]), int(counts[place])
        low += place << shift
        high = min(high, low + (1 << shift) - 1)
    if low == high:
        return float(np.array(low).view(np.float64))
    bits = np.concatenate(list(_bits(time, usual, low, high, piece)))
    return float(np.partition(bits, rank - below)[rank - below].view(np.float64))


def _bits(
    time: Times, usual: Flags | None, low: int, high: int, piece: int
) -> Iterator[npt.NDArray[np.int64]]:
    """The bits of the times that lie between ``low`` and ``high``."""
    for start in range(0, len(time), piece):
        bits = (time[start : start + piece] + 0.0).view(np.int64)
        inside = (bits >= low) & (bits <= high)
        yield bits[inside if usual is None else inside & usual[start : start + piece]]
