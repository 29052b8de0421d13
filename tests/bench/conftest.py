"""What tests of whole benches share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from genrank_cli.bench import peak


@pytest.fixture
def quick_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Limits of the machine that take no time to measure; the threads are set back."""
    monkeypatch.setitem(peak.PRODUCT_SIDE, "cpu", 64)
    monkeypatch.setitem(peak.COPY_BYTES, "cpu", 2**16)
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
