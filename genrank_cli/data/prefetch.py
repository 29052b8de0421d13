"""A map whose next results are computed ahead, in order, by threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

#: Results that each worker keeps ready: one being taken while the next is made.
AHEAD = 2


def prefetched(
    make: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """``make(item)`` for every item, in the order of the items.

    Without workers each result is made when it is asked for. With workers, threads make up to
    ``AHEAD * workers`` of them ahead; an error of ``make`` is raised where its result would have
    come. Leaving the loop early, also by Ctrl-C, drops what has not begun and waits for the rest.
    """
    if workers == 0:
        yield from map(make, items)
        return
    remaining = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="genrank-batch")
    try:
        running: deque[Future[Result]] = deque(
            pool.submit(make, item) for item in islice(remaining, AHEAD * workers)
        )
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(make, item) for item in islice(remaining, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
