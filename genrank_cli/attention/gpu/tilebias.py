# mypy: ignore-errors

"""The bias of a tile, by the number of its rule.

What a rule reads comes as a tuple ``bias`` of pointers (`places.BiasInput`), of which `row_places`
and `key_places` load one block's share, laid along the tile by ``AXIS``; `bias_tile` puts both
together. A tile is worked out once for all heads of a program; `head_factor` is what it is
multiplied by for one head.
"""

from __future__ import annotations

import triton
import triton.language as tl

from genrank_cli.attention.gpu.tile import LN2

NONE = tl.constexpr(0)
ALIBI = tl.constexpr(1)  # row position, key position (float32), slopes
ALIBI_TIME = tl.constexpr(2)  # row time high, low, key time high, low, slopes
TABLES = tl.constexpr(3)  # positions (int32), times (float64), two tables, edges (float64)
TABLES_SPLIT = tl.constexpr(4)  # the same with times and edges as high and low float32
CELLS = tl.constexpr(5)  # cells, first cell of each sequence

BUCKET_WIDTH = tl.constexpr(0.301)
BUCKETS = tl.constexpr(129)

# A float's bits, seen as a number with a fixed point, are its logarithm to base 2, up to 0.086 too
# small. With 12 bits behind the point: plus 0.043 and half a bucket, which is 0.4342 wide.
_FRACTION = tl.constexpr(1066)  # (0.043 + 0.4342 / 2) · 2^12
_INVERSE = tl.constexpr(4716)  # 2^23 / (0.4342 · 2^12)
_HIGHEST = tl.constexpr(57 << 12)


@triton.jit
def nearest_edge(logarithm):
    """The edge that a distance is next to, from its logarithm with 12 bits behind the point."""
    inside = tl.minimum(tl.maximum(logarithm, 0), _HIGHEST)
    return tl.minimum(((inside + _FRACTION) * _INVERSE) >> 23, BUCKETS - 1)


@triton.jit
def bucket_of(rows, keys, edges):
    """The time bucket of each cell, exactly the reference's: one comparison in float64."""
    distance = tl.abs(rows - keys)
    high = (distance.to(tl.int64, bitcast=True) >> 32).to(tl.int32)
    edge = nearest_edge((high - (1023 << 20)) >> 8)
    return edge - (distance < tl.load(edges + edge)).to(tl.int32)


@triton.jit
def split_distance(row_high, row_low, key_high, key_low):
    """|t_i − t_j| as an unevaluated sum of two float32, to about 2^-46 of the times."""
    high = row_high - key_high
    back = high - row_high
    lost = (row_high - (high - back)) - (key_high + back)
    low = (row_low - key_low) + lost
    later = high + low < 0  # of times far from 0, the high parts may be equal
    return tl.where(later, -high, high), tl.where(later, -low, low)


@triton.jit
def bucket_of_split(row_high, row_low, key_high, key_low, edges_high, edges_low):
    """`bucket_of` without float64, which many GPUs compute at a 64th of the speed."""
    high, low = split_distance(row_high, row_low, key_high, key_low)
    bits = tl.maximum(high + low, 0.0).to(tl.int32, bitcast=True)
    edge = nearest_edge((bits - (127 << 23)) >> 11)
    below = (high - tl.load(edges_high + edge)) + (low - tl.load(edges_low + edge)) < 0
    return edge - below.to(tl.int32)


@triton.jit
def load_along(pointer, index, ok, AXIS: tl.constexpr):
    return tl.expand_dims(tl.load(pointer + index.to(tl.int64), mask=ok, other=0), AXIS)


@triton.jit
def row_places(bias, rows, ok, base, sequence, keys, KIND: tl.constexpr, AXIS: tl.constexpr):
    """Of tokens ``rows`` of q; ``base`` is the first row of their sequence, of ``keys`` keys."""
    if KIND == NONE:
        place = (tl.expand_dims(rows, AXIS),)
    elif KIND == ALIBI:
        place = (load_along(bias[0], rows, ok, AXIS),)
    elif KIND == ALIBI_TIME:
        place = (load_along(bias[0], rows, ok, AXIS), load_along(bias[1], rows, ok, AXIS))
    elif KIND == TABLES:
        place = (load_along(bias[0], rows, ok, AXIS), load_along(bias[2], rows, ok, AXIS))
    elif KIND == TABLES_SPLIT:
        place = (
            load_along(bias[0], rows, ok, AXIS),
            load_along(bias[2], rows, ok, AXIS), load_along(bias[3], rows, ok, AXIS),
        )  # fmt: skip
    else:
        first = tl.load(bias[1] + sequence) + (rows - base).to(tl.int64) * keys
        place = (tl.expand_dims(first, AXIS), tl.expand_dims(ok, AXIS))
    return place


@triton.jit
def key_places(bias, keys, ok, base, KIND: tl.constexpr, AXIS: tl.constexpr):
    """Of tokens ``keys`` of k; ``base`` is the first key of their sequence."""
    if KIND == NONE:
        place = (tl.expand_dims(keys, AXIS),)
    elif KIND == ALIBI:
        place = (load_along(bias[1], keys, ok, AXIS),)
    elif KIND == ALIBI_TIME:
        place = (load_along(bias[2], keys, ok, AXIS), load_along(bias[3], keys, ok, AXIS))
    elif KIND == TABLES:
        place = (load_along(bias[1], keys, ok, AXIS), load_along(bias[3], keys, ok, AXIS))
    elif KIND == TABLES_SPLIT:
        place = (
            load_along(bias[1], keys, ok, AXIS),
            load_along(bias[4], keys, ok, AXIS), load_along(bias[5], keys, ok, AXIS),
        )  # fmt: skip
    else:
        place = (tl.expand_dims((keys - base).to(tl.int64), AXIS), tl.expand_dims(ok, AXIS))
    return place


@triton.jit
def tile_buckets(bias, row, key, KIND: tl.constexpr):
    """Rows of the time table, int32 of a tile."""
    if KIND == TABLES:
        buckets = bucket_of(row[1], key[1], bias[6])
    else:
        buckets = bucket_of_split(row[1], row[2], key[1], key[2], bias[8], bias[9])
    return buckets


@triton.jit
def bias_tile(bias, row, key, last, KIND: tl.constexpr):
    """float32 of a tile, or 0; ``last`` is P − 1 of the position table's 2P − 1 rows."""
    if KIND == NONE:
        tile = 0.0
    elif KIND == ALIBI:
        tile = tl.abs(row[0] - key[0])
    elif KIND == ALIBI_TIME:
        distance = tl.abs((row[0] - key[0]) + (row[1] - key[1]))
        tile = tl.log2(tl.maximum(distance, 1.0)) * (LN2 / BUCKET_WIDTH)
    elif KIND == CELLS:
        tile = tl.load(bias[0] + (row[0] + key[0]), mask=row[1] & key[1], other=0.0).to(tl.float32)
    else:
        distance = tl.minimum(tl.maximum(row[0] - key[0], -last), last) + last
        buckets = tile_buckets(bias, row, key, KIND)
        if KIND == TABLES:
            tile = tl.load(bias[4] + distance) + tl.load(bias[5] + buckets)
        else:
            tile = tl.load(bias[6] + distance) + tl.load(bias[7] + buckets)
    return tile


@triton.jit
def head_factor(bias, head, KIND: tl.constexpr):
    """What a head multiplies the tile by."""
    if KIND == ALIBI:
        factor = -tl.load(bias[2] + head)
    elif KIND == ALIBI_TIME:
        factor = -tl.load(bias[4] + head)
    else:
        factor = 1.0
    return factor


@triton.jit
def score(product, scale, tile, factor, KIND: tl.constexpr):
    """q·k · scale + bias."""
    if KIND == NONE:
        result = product * scale
    elif (KIND == ALIBI) | (KIND == ALIBI_TIME):
        result = product * scale + tile * factor
    else:
        result = product * scale + tile
    return result
