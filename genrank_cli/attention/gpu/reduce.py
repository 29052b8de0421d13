# mypy: ignore-errors

"""From the scores' gradient of a tile, heads summed, to the gradients of the two tables.

Cells that share a row of a table are summed inside the tile, and each program has table rows of its
own to add them to: no two programs add to one number, so that two runs are equal bit for bit.
Legend: M rows and N keys of a tile, P distances of the position table.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def add_times(sums, ds, buckets, SIZE: tl.constexpr):
    """``sums`` [SIZE] by time bucket + those of a tile, bucket by bucket.

    Buckets grow with the distance, so that tiles off the diagonal hold few of them.
    """
    low = tl.min(tl.where(ds != 0.0, buckets, SIZE))
    high = tl.max(tl.where(ds != 0.0, buckets, -1))
    for bucket in range(low, high + 1):
        part = tl.sum(tl.where(buckets == bucket, ds, 0.0))
        sums = tl.where(tl.arange(0, SIZE) == bucket, sums + part, sums)
    return sums


@triton.jit
def _along_keys(ds, start, table, low_edge, high_edge, last, M: tl.constexpr, N: tl.constexpr):
    """Keys at consecutive positions; ``start`` [M]: distance of each row to the first of them.

    Each row is turned by its own distance, so that column c holds the distances ≡ c (mod N), and is
    summed over the rows, once for each multiple of N that occurs.
    """
    columns = tl.arange(0, N)
    key = (start[:, None] - columns[None, :]) & (N - 1)
    turned = tl.gather(ds, key, 1)
    turn = (start[:, None] - key - columns[None, :]) // N  # nothing is left over
    low = tl.min(turn)
    high = tl.max(turn)
    for multiple in range(low, high + 1):
        column = tl.sum(tl.where(turn == multiple, turned, 0.0), 0)  # [N]
        distance = multiple * N + columns
        far = distance >= last
        near = (distance <= -last) & (distance < last)
        high_edge += tl.sum(tl.where(far, column, 0.0))
        low_edge += tl.sum(tl.where(near, column, 0.0))
        inside = (distance > -last) & (distance < last)
        tl.atomic_add(table + distance + last, column, mask=inside, sem="relaxed")
    return low_edge, high_edge


@triton.jit
def _one_by_one(ds, distance, table, last, ANY_ORDER: tl.constexpr, M: tl.constexpr,
                N: tl.constexpr):  # fmt: skip
    """Keys at any positions: distance by distance, of which there may be many."""
    distance = tl.minimum(tl.maximum(distance, -last), last)
    low = tl.min(tl.where(ds != 0.0, distance, last + 1))
    high = tl.max(tl.where(ds != 0.0, distance, -last - 1))
    if ANY_ORDER & (high - low > 2 * (M + N)):
        tl.atomic_add(table + distance + last, ds, mask=ds != 0.0, sem="relaxed")
    else:
        for place in range(low, high + 1):
            part = tl.sum(tl.where(distance == place, ds, 0.0))
            tl.atomic_add(table + place + last, part, sem="relaxed")


@triton.jit
def add_positions(
    ds, rows, keys, row_ok, key_ok, table, low_edge, high_edge, last,
    ANY_ORDER: tl.constexpr, M: tl.constexpr, N: tl.constexpr,
):  # fmt: skip
    """Add a tile to ``table`` [2P − 1], and to the sums of its two ends, which many cells share.

    ``rows`` [M], ``keys`` [N]: int32 positions.
    """
    columns = tl.arange(0, N)
    head = tl.sum(tl.where(columns == 0, keys, 0))
    steady = tl.max(tl.where(key_ok & (keys - head != columns), 1, 0)) == 0
    if steady:
        # Rows beyond the end get a distance that some other row has.
        start = rows - head
        start = tl.where(row_ok, start, tl.max(tl.where(row_ok, start, -2147483647)))
        low_edge, high_edge = _along_keys(
            ds, start, table, low_edge, high_edge, last, M, N
        )  # fmt: skip
    else:
        _one_by_one(ds, rows[:, None] - keys[None, :], table, last, ANY_ORDER, M, N)
    return low_edge, high_edge
