"""Whether kernels run in Triton's interpreter, which is how they are tested without a GPU."""

from __future__ import annotations

import os
import sys
from functools import cache


def interpreted() -> bool:
    """Whether triton runs the kernels in Python, on a CPU.

    It does where ``TRITON_INTERPRET`` was 1 when they and triton itself were imported (which torch
    may do). Imports triton only then.
    """
    loaded = "genrank_cli.attention.gpu.tile" in sys.modules
    return (loaded or os.environ.get("TRITON_INTERPRET") == "1") and _interpreted()


@cache
def _interpreted() -> bool:
    import triton.language as tl
    from triton.runtime.interpreter import InterpretedFunction

    from genrank_cli.attention.gpu.tile import mix

    return all(isinstance(function, InterpretedFunction) for function in (mix, tl.sum))
