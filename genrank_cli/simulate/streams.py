"""Named random streams: one generator per effect and block of users.

A stream depends on the seed, its name and the block only, never on how much other streams drew, so
worlds that differ in one effect share every other draw.
"""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str, block: int = 0) -> np.random.Generator:
    """The generator of stream `name` for one block of users (block 0 also serves the world)."""
    key = (zlib.crc32(name.encode()), block)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
