"""`packed_mask` against a literal transcription of its rules, one cell at a time."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrank_cli.attention import packed_mask
from genrank_cli.attention.mask import check_mask
from genrank_cli.errors import GenrankError
from tests.attention.cases import Case, make_case


def sees(
    case: Case, sequence: int, i: int, j: int, history: str, candidates: str, window: int | None
) -> bool:
    """May token i of a sequence see token j?"""
    events = int(case.history[sequence])
    first = int(case.shown[:sequence].sum())  # the sequence's first candidate
    far = window if window is not None else 10**9
    if i < events:
        if j >= events:
            return False
        return abs(i - j) < far if history == "full" else 0 <= i - j < far
    prefix = int(case.prefix[first + i - events])
    if j < events:
        return prefix - far <= j < prefix
    group = case.group[first:]
    return i == j or (candidates == "visible" and bool(group[i - events] == group[j - events]))


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 6)), min_size=1, max_size=4),
    history=st.sampled_from(["causal", "full"]),
    candidates=st.sampled_from(["isolated", "visible"]),
    window=st.sampled_from([None, 1, 3]),
    per_request=st.integers(1, 4),
)
def test_every_cell(
    shape: list[tuple[int, int]],
    history: str,
    candidates: str,
    window: int | None,
    per_request: int,
) -> None:
    case = make_case(shape, per_request=per_request)
    mask = case.mask(history=history, candidates=candidates, window=window)
    area = 0
    for sequence, (events, shown) in enumerate(shape):
        dense = mask.dense(case.offsets, sequence)
        assert dense.shape == (events + shown, events + shown)
        area += int(dense.sum())
        for i, j in itertools.product(range(events + shown), repeat=2):
            right = sees(case, sequence, i, j, history, candidates, window)
            assert bool(dense[i, j]) == right, (sequence, i, j)
    assert mask.area() == area


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 6)), min_size=1, max_size=4
    ),
    history=st.sampled_from(["causal", "full"]),
    window=st.sampled_from([None, 1, 3]),
    context=st.sampled_from(["own", "history"]),
)
def test_contextual_tokens_are_seen_by_all(
    shape: list[tuple[int, int, int]], history: str, window: int | None, context: str
) -> None:
    """Rows behind the contextual tokens see them, and else what they see without them."""
    case = make_case([(events, shown) for _, events, shown in shape])
    plain = case.mask(history=history, window=window)
    count = torch.tensor([first for first, _, _ in shape])
    mask = packed_mask(
        case.history, case.shown, case.prefix, case.group,
        history=history, window=window, context_lengths=count, context=context,
    )  # fmt: skip
    offsets = case.offsets + torch.cat((count.new_zeros(1), count.cumsum(0)))
    for sequence, (first, events, _) in enumerate(shape):
        dense = mask.dense(offsets, sequence)
        assert dense[:, :first].all()
        assert torch.equal(dense[first:, first:], plain.dense(case.offsets, sequence))
        shown = torch.zeros_like(dense[:first, first:])
        shown[:, :events] = context == "history"
        assert torch.equal(dense[:first, first:], shown)
    check_mask(mask, offsets.diff().repeat_interleave(offsets.diff()))


def test_area_of_the_usual_masks() -> None:
    case = make_case([(100, 10)], per_request=10)
    case.prefix.fill_(100)
    triangle = 100 * 101 // 2
    assert case.mask().area() == triangle + 10 * 101
    assert case.mask(history="full").area() == 100 * 100 + 10 * 101
    assert case.mask(candidates="visible").area() == triangle + 10 * 110
    assert case.mask(window=1).area() == 100 + 10 * 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"history": "causl"}, "did you mean 'causal'?"),
        ({"candidates": "visble"}, "did you mean 'visible'?"),
        ({"window": 0}, "leave it out"),
        ({"context": "histry"}, "did you mean 'history'?"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(GenrankError) as caught:
        make_case([(3, 1)]).mask(**options)
    assert said in caught.value.hint


def test_a_prefix_beyond_the_history_is_refused() -> None:
    one = torch.ones(1, dtype=torch.int64)
    with pytest.raises(ValueError, match="longer than the history"):
        packed_mask(3 * one, one, 4 * one, one)
