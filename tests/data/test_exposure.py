"""The figures of an audit equal slow counts, however the events are cut into pieces."""

from __future__ import annotations

import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrank_cli.data import exposure as counting
from genrank_cli.data.exposure import cover, drift, expose, pieces
from genrank_cli.data.splits import Part, Parts
from genrank_cli.data.store import Store
from tests.data.slow_audit import rows_of, slow_exposure, slow_z
from tests.factory import make_store

Planted = tuple[Store, Parts]


def random_log(lengths: list[int], per_request: int, items: int, seed: int) -> Planted:
    """Users that overlap in time, few items, and parts without any rule."""
    store = make_store(tuple(lengths), per_request=per_request, items=items, seed=seed)
    random = np.random.default_rng(seed)
    time = store.column("timestamp")
    time[:] -= time[store.user_offsets[:-1]][store.column("user")]
    time[:] = np.floor(time / 2000)  # with ties
    parts = random.integers(0, len(Part), len(time)).astype(np.uint8)
    parts[random.permutation(len(parts))[:2]] = [Part.TRAIN, Part.TEST]
    return store, parts


logs = st.builds(
    random_log,
    st.lists(st.integers(2, 12), min_size=1, max_size=14),
    st.integers(1, 4),
    st.integers(1, 12),
    st.integers(0, 2**16),
)


#: longer than what a sort treats in one go
long_logs = st.builds(
    random_log, st.just([150, 90]), st.integers(1, 4), st.integers(1, 12), st.integers(0, 9)
)


@given(logs | long_logs, st.integers(1, 30))
def test_figures_equal_slow_counts(log: Planted, size: int) -> None:
    store, parts = log
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "PIECE", size)
        coverage = cover(store, parts)
        exposure = expose(store, parts, coverage)
        z = drift(store, parts, "click").z
    rows = rows_of(store, parts)
    assert asdict(exposure) == slow_exposure(rows)
    expected = slow_z(rows)
    assert z == (expected if expected is None else pytest.approx(expected))
    for part in Part:
        of_part = [row for row in rows if row.part == part]
        assert coverage.events[part] == len(of_part)
        assert set(np.flatnonzero(coverage.users[part])) == {row.user for row in of_part}
        assert set(np.flatnonzero(coverage.items[part])) == {row.item for row in of_part}
        assert coverage.first[part] == min((row.time for row in of_part), default=math.inf)
        assert coverage.last[part] == max((row.time for row in of_part), default=-math.inf)


@given(logs, st.integers(1, 200))
def test_pieces_are_whole_users(log: Planted, size: int) -> None:
    store, _ = log
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "PIECE", size)
        found = list(pieces(store))
    assert [piece.start for piece in found[1:]] == [piece.stop for piece in found[:-1]]
    assert (found[0].start, found[-1].stop) == (0, store.manifest.counts.events)
    assert {piece.start for piece in found} <= set(store.user_offsets.tolist())
