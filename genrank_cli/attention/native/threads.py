"""Threads for the kernels: they run outside of Python's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache


def on_threads(count: int, work: Callable[[], int]) -> list[int]:
    """What ``count`` calls of ``work`` give, all at a time; one of them runs in this thread."""
    others = [pool(count - 1).submit(work) for _ in range(count - 1)] if count > 1 else []
    own = [work()] if count else []
    return own + [other.result() for other in others]


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """So many threads, made once."""
    return ThreadPoolExecutor(threads, thread_name_prefix="genrank-attention")


if hasattr(os, "register_at_fork"):  # a forked process has the pool, but not its threads
    os.register_at_fork(after_in_child=pool.cache_clear)
