"""Peak memory: what is seen, in a process of its own."""

from __future__ import annotations

import sys

import pytest
import torch

from genrank_cli.bench.attention.child import peak_bytes, request_of
from genrank_cli.bench.attention.plan import RowSpec, Shape
from genrank_cli.bench.memory import in_fresh_process, peak_extra_bytes
from genrank_cli.errors import GenrankError

MIB = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is set back on Linux only")
def test_the_peak_is_seen_although_it_was_given_back() -> None:
    def call() -> None:
        for _ in range(3):
            torch.ones(64 * MIB, dtype=torch.uint8)

    assert 60 * MIB < peak_extra_bytes(call, "cpu") < 140 * MIB
    assert peak_extra_bytes(lambda: None, "cpu") < 8 * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="the high-water mark is set back on Linux only")
@pytest.mark.slow
def test_memory_of_a_row_in_a_fresh_process() -> None:
    shape = Shape(seq_len=1024, batch_size=1, heads=4, width=16, candidates=4)

    def peak(backend: str) -> int:
        spec = RowSpec(backend, "none", "float32", "silu", ())
        module = "genrank_cli.bench.attention.child"
        return int(in_fresh_process(module, request_of(spec, shape, "cpu", 1))["peak_bytes"])

    scores = 4 * 1024 * 1024 * 4  # one matrix of all heads
    dense = peak("reference")
    assert 3 * scores < dense < 12 * scores
    assert peak("blockwise") < dense / 3


def test_a_failing_process_says_why() -> None:
    spec = RowSpec("nothing", "none", "float32", "silu", ())
    shape = Shape(seq_len=16, batch_size=1, heads=1, width=8, candidates=2)
    with pytest.raises(GenrankError, match="unknown attention backend 'nothing'"):
        in_fresh_process("genrank_cli.bench.attention.child", request_of(spec, shape, "cpu", 1))


def test_the_request_carries_the_whole_row() -> None:
    spec = RowSpec("blockwise", "rab", "float32", "silu", ("a",))
    shape = Shape(seq_len=64, batch_size=1, heads=2, width=16, candidates=4)
    assert peak_bytes(request_of(spec, shape, "cpu", torch.get_num_threads())) >= 0
