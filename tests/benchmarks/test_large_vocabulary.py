"""The measurement of large vocabularies itself, at a size that fits everywhere."""

from __future__ import annotations

import pytest
import torch

from tests.benchmarks.large_vocabulary import large_store, main


@pytest.mark.slow
def test_a_large_table_is_trained_with_four_bytes_of_state_a_row(
    capsys: pytest.CaptureFixture[str],
) -> None:
    threads = torch.get_num_threads()
    try:
        found = main(["--items", "2e5", "--width", "16", "--steps", "4", "--threads", "1"])
    finally:
        torch.set_num_threads(threads)
    assert found["optimizer"] == "RowwiseAdagrad"
    assert found["table_bytes"] == 200_000 * 16 * 4
    assert found["state_bytes"] == 200_000 * 4
    assert found["peak_bytes"] > found["table_bytes"]
    assert '"step_s_median"' in capsys.readouterr().out


def test_the_log_meets_items_from_all_over_the_vocabulary() -> None:
    shown = large_store(1_000_000, users=50).column("item")
    assert shown.max() < 1_000_000
    assert len(set((shown // 100_000).tolist())) == 10
    assert 3_000 < len(set(shown.tolist())) < len(shown)
