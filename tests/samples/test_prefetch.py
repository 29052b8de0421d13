"""Batches made ahead by threads: the same ones, in the same order, and no error gets lost."""

from __future__ import annotations

import _thread
import signal
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from genrank_cli.data.batcher import Batcher
from genrank_cli.data.prefetch import AHEAD, prefetched
from genrank_cli.data.samples import SampleConfig, build_samples
from tests.factory import make_store
from tests.samples.test_batcher import assert_same


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert not [one.name for one in threading.enumerate() if one.name.startswith("genrank-batch")]


def batcher(workers: int) -> Batcher:
    store = make_store((60, 50, 40, 70) * 3)
    samples = build_samples(store, np.ones(660, bool), SampleConfig(history=8, window=10))
    return Batcher(store, samples, ("click",), 60, workers=workers)


@pytest.mark.parametrize("first_step", [0, 3])
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_change_no_batch_and_no_order(workers: int, first_step: int) -> None:
    expected = list(batcher(0).epoch(3, 1, first_step))
    found = list(batcher(workers).epoch(3, 1, first_step))
    assert len(found) == len(expected) > 8
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


def test_an_epoch_left_early_is_taken_up_where_it_was_left() -> None:
    expected = list(batcher(0).epoch(0, 0))
    epoch = batcher(2).epoch(0, 0)
    begun = [next(epoch) for _ in range(4)]
    del epoch
    rest = list(batcher(2).epoch(0, 0, first_step=4))
    for one, other in zip(begun + rest, expected, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.02 if item % 3 == 0 else 0)
        return item

    assert list(prefetched(slow_first, range(20), workers)) == list(range(20))
    assert list(prefetched(slow_first, [], workers)) == []


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_is_raised_where_its_result_would_have_come(workers: int) -> None:
    def broken(item: int) -> int:
        if item == 5:
            raise ValueError("item 5")
        return item

    results = prefetched(broken, range(100), workers)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="item 5"):
        next(results)
    assert next(results, None) is None


def test_no_more_is_made_ahead_than_announced() -> None:
    made: list[int] = []
    results = prefetched(lambda item: made.append(item), range(100), 2)
    next(results)
    time.sleep(0.1)
    assert len(made) <= 1 + 2 * AHEAD
    results.close()  # type: ignore[attr-defined]


@pytest.fixture
def interruptible() -> Iterator[None]:
    """A process started in the background of a shell ignores interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_wait_and_the_threads() -> None:
    made: list[int] = []

    def interrupting(item: int) -> int:
        made.append(item)
        if item == 3:
            _thread.interrupt_main()
        time.sleep(0.05)
        return item

    with pytest.raises(KeyboardInterrupt):
        for _ in prefetched(interrupting, range(1000), 2):
            pass
    count = len(made)
    time.sleep(0.15)
    assert len(made) == count < 20
