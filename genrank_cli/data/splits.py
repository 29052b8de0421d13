"""Who trains on what: one part of the split for every event.

A request is never cut by ``temporal`` and ``user-temporal``: it takes the part of its first event.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from genrank_cli.data.card import SplitSpec
from genrank_cli.data.store import Store
from genrank_cli.errors import data_error, unknown_name

Parts = npt.NDArray[np.uint8]


class Part(IntEnum):
    """The part of the split that an event belongs to."""

    TRAIN = 0
    VALID = 1
    TEST = 2
    UNUSED = 3


def assign_split(store: Store, spec: SplitSpec) -> Parts:
    """The `Part` of every event, uint8 [E].

    Raises `GenrankError`: 2 for an unknown split, 5 when train or test would be empty, or valid
    although it was asked for.
    """
    if spec.name not in SPLITS:
        raise unknown_name("split", spec.name, SPLITS)
    parts = SPLITS[spec.name](store, spec)
    counts = np.bincount(parts, minlength=len(Part))
    for part in (Part.TRAIN, Part.VALID, Part.TEST):
        if counts[part] == 0 and (part is not Part.VALID or spec.valid > 0):
            message = (
                f"split {spec.name!r} of {store.manifest.name} leaves {part.name.lower()} empty"
            )
            raise data_error(message, "change its shares or take another split")
    return parts


def _temporal(store: Store, spec: SplitSpec) -> Parts:
    """One moment for all users: before it lie ``train`` (``train + valid``) of all events."""
    timestamp = store.column("timestamp")
    last = len(timestamp) - 1
    ranks = [round(share * last) for share in (spec.train, spec.train + spec.valid)]
    moments = np.partition(timestamp, ranks)[ranks]
    starts = timestamp[store.request_offsets[:-1]]  # [R]
    return _spread(_count_passed(starts, moments), store.request_offsets)


def _user_temporal(store: Store, spec: SplitSpec) -> Parts:
    """Each user's last part, by rank among the user's events."""
    begin = store.request_offsets[:-1]  # [R]
    user = store.column("user")[begin]
    rank = begin - store.user_offsets[user]  # of the request's first event, from 0
    count = np.diff(store.user_offsets)[user]
    train = np.rint(spec.train * count)
    valid = np.rint((spec.train + spec.valid) * count)
    parts = (rank >= train).astype(np.uint8) + (rank >= valid)
    return _spread(parts, store.request_offsets)


def _user(store: Store, spec: SplitSpec) -> Parts:
    """Whole users, by a hash of the raw id: the same users whatever else is in the data."""
    shares = np.array([_hash_share(raw) for raw in store.users.ids])  # [U] in [0, 1)
    bounds = np.array([spec.train, spec.train + spec.valid])
    return _spread(_count_passed(shares, bounds), store.user_offsets)


def _leave_one_out(store: Store, spec: SplitSpec) -> Parts:
    """Each user's last event is test, the one before valid; users with fewer than three train."""
    parts = np.full(store.manifest.counts.events, Part.TRAIN, dtype=np.uint8)
    last = store.user_offsets[1:][np.diff(store.user_offsets) >= 3] - 1
    parts[last] = Part.TEST
    parts[last - 1] = Part.VALID
    return parts


def _hash_share(raw: str) -> float:
    digest = blake2b(raw.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _count_passed(values: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64]) -> Parts:
    """How many of the ascending ``bounds`` each value has reached; [n]."""
    return np.searchsorted(bounds, values, side="right").astype(np.uint8)


def _spread(parts: Parts, offsets: npt.NDArray[np.int64]) -> Parts:
    """The part of every event, from the part of each run of events; [E]."""
    return np.repeat(parts, np.diff(offsets))


#: name → function; a new split is one function and one line
SPLITS: dict[str, Callable[[Store, SplitSpec], Parts]] = {
    "temporal": _temporal,
    "user-temporal": _user_temporal,
    "user": _user,
    "leave-one-out": _leave_one_out,
}
