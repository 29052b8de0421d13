"""Holm's adjustment against worked examples, its definition and simulated families."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.holm import holm

families = st.lists(st.floats(0, 1), max_size=6)


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # R: p.adjust(p, "holm")
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),
        ([0.9, 0.4], [0.9, 0.8]),
        ([0.03], [0.03]),
        ([], []),
    ],
)
def test_worked_examples(p_values: list[float], adjusted: list[float]) -> None:
    assert holm(p_values).tolist() == pytest.approx(adjusted)


@given(families)
def test_equals_closed_testing_with_bonferroni(p_values: list[float]) -> None:
    """A hypothesis falls when every family that holds it does: what Holm's steps shorten."""
    for number, adjusted in enumerate(holm(p_values)):
        others = [p for place, p in enumerate(p_values) if place != number]
        families = [
            [p_values[number], *chosen]
            for size in range(len(others) + 1)
            for chosen in combinations(others, size)
        ]
        expected = max(min(1.0, len(family) * min(family)) for family in families)
        assert adjusted == pytest.approx(expected)


@given(families, st.randoms())
def test_follows_the_order_of_its_input(p_values: list[float], random: object) -> None:
    order = list(range(len(p_values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = holm([p_values[place] for place in order])
    assert shuffled.tolist() == pytest.approx([holm(p_values)[place] for place in order])


@given(families)
def test_is_never_smaller_and_never_beyond_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert np.all(adjusted >= np.array(p_values))
    assert np.all(adjusted <= np.minimum(1, len(p_values) * np.array(p_values)) + 1e-12)


def test_an_unasked_question_does_not_count() -> None:
    adjusted = holm([0.01, float("nan"), 0.04])
    assert adjusted[[0, 2]].tolist() == pytest.approx([0.02, 0.04])
    assert np.isnan(adjusted[1])


def test_one_false_rejection_stays_rare() -> None:
    """Three true hypotheses that share their base, one false: 5 % of families err at most."""
    random = np.random.default_rng(0)
    shared = random.normal(0, 1, (4000, 1))
    z = (random.normal(0, 1, (4000, 4)) + shared) / np.sqrt(2)
    z[:, 3] += 4.0
    from scipy import stats

    p = 2 * stats.norm.sf(np.abs(z))
    wrong = [np.any(holm(family)[:3] < 0.05) for family in p]
    assert 0.03 < np.mean(wrong) < 0.055
    assert np.mean(np.any(p[:, :3] < 0.05, axis=1)) > 0.1


@pytest.mark.parametrize("p_values", [[0.5, 1.1], [-0.1], [[0.1]]])
def test_what_is_no_list_of_p_values_is_refused(p_values: list[float]) -> None:
    with pytest.raises(GenrankError, match="p-values must be"):
        holm(p_values)
