"""The block lists of the Triton backend: every visible cell once, and nothing that is hidden."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.attention import Mask
from genrank_cli.attention.call import Call
from genrank_cli.attention.gpu.config import FORWARD, KEYS, ROWS, SUMS, Config, configs
from genrank_cli.attention.gpu.launch import _signed, parts
from genrank_cli.attention.gpu.lists import Side, _sides, lists_of
from genrank_cli.attention.gpu.tune import choose
from tests.attention.cases import make_case
from tests.attention.test_parity import MASKS, RAGGED


def _call(offsets: torch.Tensor, mask: Mask, row_offsets: torch.Tensor | None = None) -> Call:
    rows = offsets if row_offsets is None else row_offsets
    return Call(offsets, rows, mask, None, "silu", 1.0, 1)


def _walked(side: Side, size: int) -> list[tuple[int, int, int, bool]]:
    """(sequence, first token of the block, first place of the other block, whether full)."""
    found = []
    for first, _, _, _, _, _, sequence, full, partial, end in side.blocks.tolist():
        for run in range(full, end):
            start, stop = side.runs[run].tolist()
            assert start % size == 0
            assert start < stop
            found += [(sequence, first, at, run < partial) for at in range(start, stop, size)]
    return found


def _right(
    call: Call, rows: int, keys: int
) -> tuple[set[tuple[int, int, int, bool]], set[tuple[int, int, int, bool]]]:
    """The same from the dense mask, for the rows and for the keys."""
    by_rows, by_keys = set(), set()
    for s in range(len(call.offsets) - 1):
        seen = call.mask.dense(call.offsets, s, call.row_offsets)
        first_row, first_key = int(call.row_offsets[s]), int(call.offsets[s])
        for i, j in itertools.product(range(0, seen.shape[0], rows), range(0, seen.shape[1], keys)):
            tile = seen[i : i + rows, j : j + keys]
            if tile.any():
                full = bool(tile.all()) and tile.shape == (rows, keys)
                by_rows.add((s, first_row + i, j, full))
                by_keys.add((s, first_key + j, i, full))
    return by_rows, by_keys


def assert_lists(call: Call, rows: int, keys: int, *, exact: bool = True) -> None:
    sides = _sides(call, rows, keys)
    for side, right, size in zip(sides, _right(call, rows, keys), (keys, rows), strict=True):
        got = _walked(side, size)
        assert len(got) == len(set(got))
        assert {x[:3] for x in got} == {x[:3] for x in right}
        full, right_full = ({x for x in found if x[3]} for found in (got, right))
        assert full == right_full if exact else full <= right_full


@pytest.mark.parametrize("mask", MASKS)
def test_blocks_of_every_mask(mask: str) -> None:
    case = make_case(RAGGED)
    for rows, keys in ((16, 16), (32, 16), (16, 64)):
        # Intervals that touch, as a history's and its candidates', may fill a block together.
        assert_lists(_call(case.offsets, case.mask(**MASKS[mask])), rows, keys, exact=False)


def test_a_causal_history_needs_a_mask_on_its_diagonal_only() -> None:
    case = make_case([(100, 0), (64, 0), (0, 0), (3, 0)])
    assert_lists(_call(case.offsets, case.mask()), 16, 16)


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), min_size=1, max_size=4),
    seed=st.integers(0, 2**31),
)
def test_any_interval_of_rows_that_are_no_keys(lengths: list[tuple[int, int]], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    rows, keys = torch.tensor(lengths).unbind(1)
    offsets, row_offsets = (torch.cat((x.new_zeros(1), x.cumsum(0))) for x in (keys, rows))
    length = keys.repeat_interleave(rows)
    draws = torch.rand(2, len(length), generator=random, dtype=torch.float64)
    start, stop = (draws * (length + 1)).floor().long().sort(dim=0).values
    assert_lists(_call(offsets, Mask.of(start, stop), row_offsets), 16, 8)


def test_packed_candidates_cost_their_area() -> None:
    """Each sees a prefix and itself: twice the history's half, not the square of all tokens."""
    case = make_case([(512, 512)], per_request=8)
    side, _ = _sides(_call(case.offsets, case.mask()), 64, 64)
    cells = len(_walked(side, 64)) * 64 * 64
    assert cells <= 1.35 * case.mask().area()
    windowed, _ = _sides(_call(case.offsets, case.mask(window=64)), 64, 64)
    assert len(_walked(windowed, 64)) <= 3 * 16


def test_layers_share_the_lists_and_a_batch_drops_them() -> None:
    import gc

    from genrank_cli.attention.gpu.lists import _LISTS

    case = make_case(RAGGED)
    call = _call(case.offsets, case.mask())
    assert lists_of(call) is lists_of(call)
    assert lists_of(call).get(call, 16, 16) is lists_of(call).get(call, 16, 16)
    gc.collect()  # what earlier tests left behind is not this batch's
    kept = len(_LISTS)
    del call
    gc.collect()
    assert len(_LISTS) == kept - 1


def test_parts_of_a_head() -> None:
    low = torch.bfloat16
    assert parts(96, low) == ((0, 64), (64, 32))
    assert parts(128, low) == ((0,), (128,))
    assert parts(8, low) == ((0,), (16,))
    assert parts(100, low) == ((0, 64, 96), (64, 32, 16))
    assert parts(80, torch.float32) == ((0, 32, 64), (32, 32, 16))
    for width, dtype in itertools.product(range(1, 129), (low, torch.float32)):
        firsts, widths = parts(width, dtype)
        assert sum(widths) == -(-width // 16) * 16
        assert firsts == tuple(itertools.accumulate((0, *widths[:-1])))


def test_numbers_of_32_bits_keep_their_bits() -> None:
    for x in (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**40 + 5):
        assert _signed(x) & 0xFFFFFFFF == x & 0xFFFFFFFF
        assert -(2**31) <= _signed(x) < 2**31


def test_every_call_has_a_configuration() -> None:
    for kernel, wide, biased, heads in itertools.product(
        (FORWARD, ROWS, KEYS, SUMS), (True, False), (True, False), (1, 3, 8)
    ):
        found = configs(kernel, wide=wide, biased=biased, heads=heads)
        assert found
        assert all(heads % config.heads == 0 for config in found)


def test_the_fastest_is_taken_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    from genrank_cli.attention.gpu import tune

    slow, fast = Config(16, 16, 1, 4, 1), Config(32, 16, 1, 4, 1)
    timed: list[Config] = []

    def time(launch: Any, config: Config) -> float:
        timed.append(config)
        return 1.0 if config == fast else 2.0

    monkeypatch.setattr(tune, "_time", time)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    for _ in range(2):
        assert choose("this test", (slow, fast), lambda config: None) == fast
    assert timed == [slow, fast]
    torch.use_deterministic_algorithms(True)
    try:
        assert choose("this test", (slow, fast), lambda config: None) == slow
    finally:
        torch.use_deterministic_algorithms(False)
