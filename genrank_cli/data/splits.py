"""Who trains on what: one part of the split for every event.

A request is never cut: it takes one part, by the moment of its first event. Two kinds of events
fall out of it: with ``leave-one-out`` those that share a request with a left-out event are unused,
and events that the source marks ``apart`` (such as randomly exposed items) are never trained on.
Those of them that the split would have put into test are ``RANDOM``, a second test part of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum
from hashlib import blake2b
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from genrank_cli.data.ranks import time_of_rank
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.store import Store
from genrank_cli.data.wording import utc
from genrank_cli.errors import data_error

Parts = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]
Rule = Callable[[Store, SplitSpec, Flags | None], Parts]

DAY_S = 86400.0
PIECE = 1 << 20  # events looked at together; beside them and the parts, memory is per user


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
    counts = part_sizes(parts)
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
    for start in range(0, len(parts), PIECE):
        part = parts[start : start + PIECE]
        apart = ~usual[start : start + PIECE]
        part[apart] = np.where(part[apart] == Part.TEST, np.uint8(Part.RANDOM), Part.UNUSED)
    return parts


def part_sizes(parts: Parts) -> npt.NDArray[np.int64]:
    """Events of each `Part`."""
    sizes = np.zeros(len(Part), np.int64)
    for start in range(0, len(parts), PIECE):  # counting turns its input into int64
        sizes += np.bincount(parts[start : start + PIECE], minlength=len(Part))
    return sizes


def _temporal(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """One moment for all users; by shares, ``train`` (``train + valid``) of all events precede."""
    if spec.bounds:
        return _by_moment(store, np.array(spec.bounds))
    events = store.manifest.counts.events if usual is None else int(usual.sum())
    train, valid, _ = spec.shares
    ranks = [round(share * (events - 1)) for share in (train, train + valid)]
    time = store.column("timestamp")
    found = [time_of_rank(time, usual, rank, PIECE) for rank in ranks]
    return _by_moment(store, np.array(found, np.float64))


def _date(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """Whole days, for all users; shares are rounded to days, each part has at least one."""
    if spec.bounds:
        return _by_moment(store, np.array(spec.bounds))
    shift = 3600 * (spec.utc_offset_hours or 0.0)
    first, counts = _events_of_days(store, usual, shift)
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
    days = filled[[begin, end]] + first
    return _by_moment(store, (days * DAY_S - shift).astype(np.float64))


def _events_of_days(
    store: Store, usual: Flags | None, shift: float
) -> tuple[int, npt.NDArray[np.int64]]:
    """The first day that a request falls on, and the events of each day from it on."""
    days: dict[int, int] = {}
    for step in _steps(store.request_offsets):
        day = np.floor((_request_times(store, step) + shift) / DAY_S).astype(np.int64)
        base = int(day.min())
        counts = np.bincount(day - base, weights=_request_sizes(store, usual, step))
        for place in np.flatnonzero(counts).tolist():
            days[base + place] = days.get(base + place, 0) + int(counts[place])
    first = min(days)
    found = np.zeros(max(days) - first + 1, np.int64)
    found[np.array(list(days)) - first] = list(days.values())
    return first, found


def _user_temporal(store: Store, spec: SplitSpec, usual: Flags | None) -> Parts:
    """Each user's last part, by rank among the user's events; only the usual ones count."""
    offsets = store.request_offsets
    train, valid, _ = spec.shares
    count = np.zeros(store.manifest.counts.users, np.int64)  # [U]
    for step in _steps(offsets):
        sizes, user = _request_sizes(store, usual, step), _request_users(store, step)
        base = int(user[0])
        found = np.bincount(user - user[0], sizes).astype(np.int64)
        count[base : base + len(found)] += found
    begin = np.cumsum(count) - count  # of each user's events among all
    parts, passed = np.empty(len(offsets) - 1, np.uint8), 0
    for step in _steps(offsets):
        sizes, user = _request_sizes(store, usual, step), _request_users(store, step)
        rank = passed + np.cumsum(sizes) - sizes - begin[user]  # of the first event, from 0
        parts[step] = rank >= np.rint(train * count[user])
        parts[step] += rank >= np.rint((train + valid) * count[user])
        passed += int(sizes.sum())
    return _spread(parts, offsets)


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
    offsets = store.request_offsets
    count = np.zeros(store.manifest.counts.users, np.int64)  # [U] requests that take part
    for step in _steps(offsets):
        user = _request_users(store, step)
        taking = user[_request_sizes(store, usual, step) > 0]
        found = np.bincount(taking - user[0])
        count[int(user[0]) : int(user[0]) + len(found)] += found
    until = np.cumsum(count)  # up to each user's last
    left_out, before = np.empty(len(offsets) - 1, np.uint8), 0
    for step in _steps(offsets):
        user = _request_users(store, step)
        passed = before + np.cumsum(_request_sizes(store, usual, step) > 0)
        after = until[user] - passed  # requests of the user that come after each
        candidate = np.maximum(Part.TEST - after, Part.TRAIN)
        left_out[step] = np.where(count[user] >= 3, candidate, Part.TRAIN)
        before = int(passed[-1])
    parts = _spread(left_out, offsets)
    for step in _steps(offsets):
        _keep_last(store, usual, slice(int(offsets[step.start]), int(offsets[step.stop])), parts)
    return parts


def _keep_last(store: Store, usual: Flags | None, piece: slice, parts: Parts) -> None:
    """Leave of each left-out request of some rows its last event; the others become unused."""
    part, request = parts[piece], store.column("request")[piece]
    candidates = part != Part.TRAIN
    rows = np.flatnonzero(candidates if usual is None else candidates & usual[piece])
    followed = request[rows[1:]] == request[rows[:-1]]  # by an event of the same request
    part[rows[:-1][followed]] = Part.UNUSED


def _check_bounds(store: Store, spec: SplitSpec) -> None:
    """Refuse a bound that leaves nothing on one of its sides."""
    time = store.manifest.time
    given = [key for key in ("valid_from", "test_from") if getattr(spec, key) is not None]
    for key, moment in zip(given, spec.bounds, strict=True):
        if not time.first < moment <= time.last:
            first, last = (utc(seconds) for seconds in (time.first, time.last))
            raise data_error(
                f"split {spec.name!r}: {key} = {getattr(spec, key)} lies outside the events of "
                f"{store.manifest.name} ({first} to {last})",
                f"correct {key} on the card, or give shares",
            )


def _by_moment(store: Store, bounds: npt.NDArray[np.float64]) -> Parts:
    """Parts by the time of each request; ``bounds`` [2], or [1] where there is no valid part."""
    both = np.repeat(bounds, 2) if len(bounds) == 1 else bounds
    parts = np.empty(store.manifest.counts.requests, np.uint8)
    for step in _steps(store.request_offsets):
        parts[step] = _count_passed(_request_times(store, step), both)
    return _spread(parts, store.request_offsets)


def _steps(offsets: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Ranges of runs (requests or users) of about `PIECE` events together, one at least."""
    events = int(offsets[-1])
    cuts = np.searchsorted(offsets, np.arange(PIECE, events, PIECE))
    bounds = np.unique(np.concatenate(([0], cuts, [len(offsets) - 1]))).tolist()
    yield from (slice(start, stop) for start, stop in pairwise(bounds))


def _request_times(store: Store, step: slice) -> npt.NDArray[np.float64]:
    """When each request of the step begins; [r]."""
    times: npt.NDArray[np.float64] = store.column("timestamp")[store.request_offsets[step]]
    return times


def _request_users(store: Store, step: slice) -> npt.NDArray[np.uint32]:
    """Whose each request of the step is; [r], ascending."""
    users: npt.NDArray[np.uint32] = store.column("user")[store.request_offsets[step]]
    return users


def _request_sizes(store: Store, usual: Flags | None, step: slice) -> npt.NDArray[np.int64]:
    """Events of each request of the step, of the ``usual`` ones [E] if given; [r]."""
    offsets = store.request_offsets[step.start : step.stop + 1]
    if usual is None:
        return np.diff(offsets)
    inside, begin = usual[offsets[0] : offsets[-1]], offsets[:-1] - offsets[0]
    sizes: npt.NDArray[np.int64] = np.add.reduceat(inside, begin, dtype=np.int64)
    return sizes


def _hash_share(raw: str) -> float:
    digest = blake2b(raw.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _count_passed(values: npt.NDArray[np.float64], bounds: npt.NDArray[np.float64]) -> Parts:
    """How many of the ascending ``bounds`` each value has reached; [n]."""
    return np.searchsorted(bounds, values, side="right").astype(np.uint8)


def _spread(parts: Parts, offsets: npt.NDArray[np.int64]) -> Parts:
    """The part of every event, from the part of each run of events; [E]."""
    spread = np.empty(int(offsets[-1]), np.uint8)
    for step in _steps(offsets):
        bounds = offsets[step.start : step.stop + 1]
        spread[bounds[0] : bounds[-1]] = np.repeat(parts[step], np.diff(bounds))
    return spread


#: name → rule; a new split is one function, one line here, and its keys in `split_spec.KEYS`
SPLITS: dict[str, Rule] = {
    "temporal": _temporal,
    "date": _date,
    "user-temporal": _user_temporal,
    "user": _user,
    "leave-one-out": _leave_one_out,
}
