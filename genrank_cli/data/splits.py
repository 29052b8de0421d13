"""Who trains on what: one part of the split for every event.

A request is never cut: it takes one part, by the moment of its first event. Two kinds of events
fall out of it: with ``leave-one-out`` those that share a request with a left-out event are unused,
and events that the source marks ``apart`` (such as randomly exposed items) are never trained on.
Those of them that the split would have put into test are ``RANDOM``, a second test part of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import IntEnum
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.store import Store
from genrank_cli.errors import data_error

Parts = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Rule = Callable[[Store, SplitSpec, Flags | None], Parts]

DAY_S = 86400.0


class Part(IntEnum):
    """The part of the split that an event belongs to."""

    TRAIN = 0
    VALID = 1
    TEST = 2
    UNUSED = 3
    RANDOM = 4  # apart from the others, and not earlier than test


def assign_split(store: Store, spec: SplitSpec) -> Parts:
    """The `Part` of every event, uint8 [E].

    Raises `GenrankError` (5): a bound outside the data, too few days, train or test empty, or
    valid although it was asked for.
    """
    _check_bounds(store, spec)
    parts = split_events(store, spec)
    counts = np.bincount(parts, minlength=len(Part))
    for part in (Part.TRAIN, Part.VALID, Part.TEST):
        if counts[part] == 0 and (part is not Part.VALID or spec.wants_valid):
            where = f"split {spec.name!r} of {store.manifest.name}"
            hint = "change its shares or bounds on the card, or take another split"
            raise data_error(f"{where} leaves {part.name.lower()} empty", hint)
    return parts


def split_events(store: Store, spec: SplitSpec) -> Parts:
    """The `Part` of every event, uint8 [E]; parts may be empty.

    Raises `GenrankError` (5): nothing but events apart, too few days.
    """
    if not store.manifest.apart:
        return SPLITS[spec.name](store, spec, None)
    usual = store.column("apart") == 0  # [E]
    if not usual.any():
        message = f"every event of {store.manifest.name} is apart: there is nothing to train on"
        raise data_error(message, "correct `apart` in the source")
    parts = SPLITS[spec.name](store, spec, usual)
    aside = np.where(parts == Part.TEST, Part.RANDOM, Part.UNUSED).astype(np.uint8)
    return np.where(usual, parts, aside)


def _temporal(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """One moment for all users; by shares, ``train`` (``train + valid``) of all events precede."""
    bounds = np.array(spec.bounds)
    if not spec.bounds:
        timestamp = store.column("timestamp")
        timestamp = timestamp if usual is None else timestamp[usual]
        train, valid, _ = spec.shares
        ranks = [round(share * (len(timestamp) - 1)) for share in (train, train + valid)]
        bounds = np.partition(timestamp, ranks)[ranks]
    return _by_moment(store, bounds)


def _date(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """Whole days, for all users; shares are rounded to days, each part has at least one."""
    if spec.bounds:
        return _by_moment(store, np.array(spec.bounds))
    shift = 3600 * (spec.utc_offset_hours or 0.0)
    days = np.floor((_request_times(store) + shift) / DAY_S).astype(np.int64)  # [R]
    first = days.min()
    sizes = _request_sizes(store, usual)
    counts = np.bincount(days - first, weights=sizes)  # events of each day
    filled = np.flatnonzero(counts)
    train, valid, _ = spec.shares
    needed = 3 if valid else 2
    if len(filled) < needed:
        message = f"{store.manifest.name} has events on {len(filled)} days; split date needs"
        raise data_error(f"{message} {needed}", "take split temporal")
    before = np.cumsum(counts[filled])[:-1] / counts.sum()  # share before filled day 1, 2, …
    begin = 1 + int(np.abs(before[: len(filled) - needed + 1] - train).argmin())  # of valid
    end = begin  # of valid, begin of test
    if valid:
        end += 1 + int(np.abs(before[begin:] - train - valid).argmin())
    return _by_moment(store, (filled[[begin, end]] + first) * DAY_S - shift)


def _user_temporal(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """Each user's last part, by rank among the user's events."""
    begin = store.request_offsets[:-1]  # [R]
    user = store.column("user")[begin]
    offsets = store.user_offsets
    if usual is not None:  # ranks and lengths count the usual events only
        passed = np.concatenate(([0], np.cumsum(usual)))  # [E + 1]
        begin, offsets = passed[begin], passed[offsets]
    rank = begin - offsets[user]  # of the request's first event, from 0
    count = np.diff(offsets)[user]
    train, valid, _ = spec.shares
    parts = (rank >= np.rint(train * count)).astype(np.uint8)
    parts += rank >= np.rint((train + valid) * count)
    return _spread(parts, store.request_offsets)


def _user(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """Whole users, by a hash of the raw id: the same users whatever else is in the data."""
    shares = np.array([_hash_share(raw) for raw in store.users.ids])  # [U] in [0, 1)
    train, valid, _ = spec.shares
    bounds = np.array([train, train + valid])
    return _spread(_count_passed(shares, bounds), store.user_offsets)


def _leave_one_out(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """The last event of each user's last request is test, that of the request before valid.

    What shares a request with these is unused; users with fewer than three requests train.
    """
    request, offsets = store.column("request"), store.request_offsets
    user = store.column("user")[offsets[:-1]]  # [R]
    passed = np.cumsum(_request_sizes(store, usual) > 0)  # requests that take part, up to each
    until = passed[request[store.user_offsets[1:] - 1]]  # [U], up to the user's last
    count = np.diff(until, prepend=0)[user]
    after = until[user] - passed  # requests of the user that come after each
    left_out = np.where(count >= 3, np.maximum(Part.TEST - after, Part.TRAIN), Part.TRAIN)
    parts = _spread(left_out.astype(np.uint8), offsets)
    candidates = parts != Part.TRAIN
    rows = np.flatnonzero(candidates if usual is None else candidates & usual)
    followed = request[rows[1:]] == request[rows[:-1]]  # by an event of the same request
    parts[rows[:-1][followed]] = Part.UNUSED
    return parts


def _check_bounds(store: Store, spec: SplitSpec) -> None:
    """Refuse a bound that leaves nothing on one of its sides."""
    time = store.manifest.time
    given = [key for key in ("valid_from", "test_from") if getattr(spec, key) is not None]
    for key, moment in zip(given, spec.bounds, strict=True):
        if not time.first < moment <= time.last:
            first, last = (_utc(seconds) for seconds in (time.first, time.last))
            raise data_error(
                f"split {spec.name!r}: {key} = {getattr(spec, key)} lies outside the events of "
                f"{store.manifest.name} ({first} to {last})",
                f"correct {key} on the card, or give shares",
            )


def _by_moment(store: Store, bounds: npt.NDArray[np.float64]) -> Parts:
    """Parts by the time of each request; ``bounds`` [2], or [1] where there is no valid part."""
    both = np.repeat(bounds, 2) if len(bounds) == 1 else bounds
    return _spread(_count_passed(_request_times(store), both), store.request_offsets)


def _request_times(store: Store) -> npt.NDArray[np.float64]:
    """When each request begins; [R]."""
    times: npt.NDArray[np.float64] = store.column("timestamp")[store.request_offsets[:-1]]
    return times


def _request_sizes(store: Store, usual: Flags | None) -> npt.NDArray[np.int64]:
    """Events of each request, of the ``usual`` ones [E] if given; [R]."""
    if usual is None:
        return np.diff(store.request_offsets)
    sizes: npt.NDArray[np.int64] = np.add.reduceat(
        usual, store.request_offsets[:-1], dtype=np.int64
    )
    return sizes


def _hash_share(raw: str) -> float:
    digest = blake2b(raw.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _count_passed(values: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64]) -> Parts:
    """How many of the ascending ``bounds`` each value has reached; [n]."""
    return np.searchsorted(bounds, values, side="right").astype(np.uint8)


def _spread(parts: Parts, offsets: npt.NDArray[np.int64]) -> Parts:
    """The part of every event, from the part of each run of events; [E]."""
    return np.repeat(parts, np.diff(offsets))


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


#: name → rule; a new split is one function, one line here, and its keys in `split_spec.KEYS`
SPLITS: dict[str, Rule] = {
    "temporal": _temporal,
    "date": _date,
    "user-temporal": _user_temporal,
    "user": _user,
    "leave-one-out": _leave_one_out,
}
