"""The sizes that a kernel may be built with, and those that are worth a trial.

M rows and N keys of a block, G heads of a program: a bias is worked out once for G heads, but the
keys are read more often for small M. The first of a list is the one taken without trials.
"""

from __future__ import annotations

from dataclasses import dataclass

FORWARD, ROWS, KEYS, SUMS = "forward", "rows", "keys", "tables"


@dataclass(frozen=True)
class Config:
    """``stages``: loads in flight ahead of the products."""

    rows: int
    keys: int
    heads: int
    warps: int
    stages: int


#: The interpreter has no clock worth a trial, and small blocks show more edges.
INTERPRETED = Config(rows=32, keys=16, heads=2, warps=4, stages=1)

# Those for 16-bit inputs were compiled for a Hopper GPU with heads of 96 and kept where no or few
# registers spill (under 130 bytes a thread; 168 in one of the tables' kernel).
_PLAIN = {
    FORWARD: (
        Config(128, 64, 1, 8, 3),
        Config(64, 64, 1, 4, 2),
        Config(64, 64, 1, 4, 3),
        Config(128, 128, 1, 8, 2),
        Config(64, 128, 1, 4, 2),
    ),
    ROWS: (
        Config(128, 64, 1, 8, 2),
        Config(64, 64, 1, 4, 2),
        Config(128, 32, 1, 4, 2),
    ),
    KEYS: (
        Config(64, 64, 1, 8, 2),
        Config(32, 64, 1, 4, 2),
        Config(32, 128, 1, 8, 2),
    ),
}
_SHARED = {
    FORWARD: (
        Config(64, 32, 2, 4, 2),
        Config(128, 32, 2, 8, 2),
        Config(64, 64, 2, 8, 2),
        Config(128, 64, 1, 8, 2),
        Config(64, 64, 1, 4, 2),
    ),
    ROWS: (
        Config(64, 32, 2, 8, 2),
        Config(64, 32, 2, 4, 2),
        Config(64, 64, 1, 8, 2),
        Config(64, 32, 1, 4, 2),
    ),
    KEYS: (
        Config(32, 128, 1, 8, 2),
        Config(32, 64, 1, 4, 2),
        Config(64, 64, 1, 8, 2),
    ),
}
_TABLES = (
    Config(64, 32, 1, 8, 2),
    Config(128, 32, 1, 8, 1),
    Config(128, 32, 1, 8, 2),
)
#: Float32 products run on the ordinary units, and tiles are twice as large in memory.
_WIDE = {
    FORWARD: (Config(32, 32, 1, 4, 2), Config(64, 32, 1, 4, 2)),
    ROWS: (Config(32, 32, 1, 4, 2), Config(64, 32, 1, 8, 1)),
    KEYS: (Config(32, 32, 1, 4, 2), Config(16, 32, 1, 4, 2)),
    SUMS: (Config(32, 32, 1, 4, 1),),
}


def configs(kernel: str, *, wide: bool, biased: bool, heads: int) -> tuple[Config, ...]:
    """What may be tried for a kernel.

    ``wide``: float32; ``biased``: a bias is worked out in the tile; ``heads`` H, of which a
    program's share must be a divisor.
    """
    if wide:
        found = _WIDE[kernel]
    elif kernel == SUMS:
        found = _TABLES
    else:
        found = (_SHARED if biased else _PLAIN)[kernel]
    return tuple(config for config in found if heads % config.heads == 0)
