"""What the shared options accept, and what they say when they do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrank_cli.cli.options import Seeds, parse_names, parse_overrides, parse_seeds
from genrank_cli.errors import GenrankError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", (0,)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("0,1,2", (0, 1, 2)),
        ("7, 0-2", (7, 0, 1, 2)),
        ("3-3", (3,)),
        ("1,1,0-1", (1, 0)),
    ],
)
def test_seeds(text: str, expected: tuple[int, ...]) -> None:
    assert parse_seeds(text) == expected


@pytest.mark.parametrize("text", ["", "a", "-1", "4-0", "0-", "0,,1", "0-4-5", "1.5", "0-99999999"])
def test_seeds_refused(text: str) -> None:
    with pytest.raises(GenrankError, match="--seeds") as caught:
        parse_seeds(text)
    assert "0-4" in caught.value.hint


@given(st.lists(st.integers(0, 10**12), min_size=1, unique=True))
def test_seeds_survive_printing(seeds: list[int]) -> None:
    assert parse_seeds(str(Seeds(seeds))) == tuple(seeds)


def test_names() -> None:
    assert parse_names("rab, embeddings+alibi") == ("rab", "embeddings+alibi")


@pytest.mark.parametrize("text", ["", "a,,b", "a,b,a"])
def test_names_refused(text: str) -> None:
    with pytest.raises(GenrankError, match="empty or repeated"):
        parse_names(text)


def test_overrides_are_nested_typed_and_the_last_wins() -> None:
    items = ["model.dim=64", "model.bias=alibi", "a=[1, 2]", "b=true", "c= 1e-3", "model.dim=96"]
    assert parse_overrides(items) == {
        "model": {"dim": 96, "bias": "alibi"},
        "a": [1, 2],
        "b": True,
        "c": 1e-3,
    }


@pytest.mark.parametrize("items", [["model"], ["=3"], ["a..b=1"], ["a=1", "a.b=2"]])
def test_overrides_refused(items: list[str]) -> None:
    with pytest.raises(GenrankError, match="--set"):
        parse_overrides(items)


def test_override_value_with_an_equals_sign_stays_text() -> None:
    assert parse_overrides(["a=b=c"]) == {"a": "b=c"}
