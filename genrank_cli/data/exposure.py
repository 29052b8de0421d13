"""What training sees of the test events: counted piece by piece, each piece whole users.

Of all events only the split (one byte each) is held in memory, so that a log of any length is
counted from its memory-mapped columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genrank_cli.data.samples import seen_until
from genrank_cli.data.splits import Part, Parts, part_sizes
from genrank_cli.data.store import Store

FEWEST_USERS = 10  # a clustered standard error of fewer is far too small
NO_SPREAD = 1e-9  # a relative standard error below it is rounding
PIECE = 1 << 22  # events; a user with more of them is a piece of its own

Times = npt.NDArray[np.float64]
Seen = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Coverage:
    """Who and what occurs where, and until when.

    ``users`` bool [parts, U], ``items`` bool [parts, I]: who occurs in which part. ``user_last``
    f64 [U], ``item_last`` f64 [I]: the last training event of each, −inf without one. ``first``
    and ``last`` f64 [parts]: the first and last event of each part, ±inf where it is empty.
    """

    events: npt.NDArray[np.int64]
    users: Seen
    items: Seen
    user_last: Times
    item_last: Times
    first: Times
    last: Times
    apart: int  # events that the source marks so


@dataclass(frozen=True)
class Exposure:
    """Events of which something is true; of test events unless it says otherwise."""

    trained_after: int  # training events later than the first test event
    trained_after_valid: int  # training events later than the first valid event
    user_future: int  # whose user has a later training event
    item_future: int  # whose item has a later training event
    user_lag: float  # seconds by which these are later, at most; 0 where none is
    item_lag: float
    longest_request: float  # seconds from its first to its last event
    cold_users: int  # whose user has no training event
    cold_items: int
    repeated: int  # whose pair of user and item has a training event
    repeated_same_label: int  # … the last of which has the same label of the main task
    repeated_later: int  # … the last of which is later
    after_test: int  # whose history holds other test events
    without_history: int
    histories: dict[str, int]  # quantiles of the number of earlier events
    cut_requests: int  # requests in more than one of train, valid and test


@dataclass(frozen=True)
class Drift:
    """A label's mean in each part, and how far train and test are apart.

    ``z`` is their difference in standard errors, which are clustered by user, because events of one
    user are not independent; None where it cannot be told.
    """

    train: float
    valid: float | None
    test: float
    z: float | None

    @property
    def change(self) -> float | None:
        """The relative difference of test to train; None where the label is 0 in training."""
        return self.test / self.train - 1 if self.train else None


def cover(store: Store, parts: Parts) -> Coverage:
    """The first pass over all events."""
    counts = store.manifest.counts
    users = np.zeros((len(Part), counts.users), np.bool_)
    items = np.zeros((len(Part), counts.items), np.bool_)
    user_last, item_last = np.full(counts.users, -np.inf), np.full(counts.items, -np.inf)
    first, last = np.full(len(Part), np.inf), np.full(len(Part), -np.inf)
    for piece in pieces(store):
        user, item = store.column("user")[piece], store.column("item")[piece]
        time = store.column("timestamp")[piece]
        for part in Part:
            rows = np.flatnonzero(parts[piece] == part)
            if len(rows):
                users[part, user[rows]] = True
                items[part, item[rows]] = True
                first[part] = min(first[part], time[rows].min())
                last[part] = max(last[part], time[rows].max())
            if part is Part.TRAIN:
                np.maximum.at(user_last, user[rows], time[rows])
                np.maximum.at(item_last, item[rows], time[rows])
    events = part_sizes(parts)
    apart = int(np.count_nonzero(store.column("apart"))) if store.manifest.apart else 0
    return Coverage(events, users, items, user_last, item_last, first, last, apart)


def expose(store: Store, parts: Parts, coverage: Coverage) -> Exposure:
    """The second pass: the test events one by one, against what was trained on."""
    user_column, request_column = store.column("user"), store.column("request")
    first_valid, first_test = coverage.first[[Part.VALID, Part.TEST]]
    longest, user_most, item_most = 0.0, 0.0, 0.0  # seconds
    sums: dict[str, int] = {}
    lengths = np.zeros(int(np.diff(store.user_offsets).max()) + 1, np.int64)  # events of each

    def add(**found: int | np.integer) -> None:
        for name, count in found.items():
            sums[name] = sums.get(name, 0) + int(count)

    for piece in pieces(store):
        part = parts[piece]
        user, time = user_column[piece], store.column("timestamp")[piece]
        trained = time[part == Part.TRAIN]
        add(
            trained_after=(trained > first_test).sum(),
            trained_after_valid=(trained > first_valid).sum(),
        )
        longest = _longer(longest, _durations(time, request_column[piece]))
        add(cut_requests=_cut_requests(request_column[piece], part))
        test = np.flatnonzero(part == Part.TEST)
        owner, item = user[test], store.column("item")[piece][test]
        user_lag = coverage.user_last[owner] - time[test]
        item_lag = coverage.item_last[item] - time[test]
        user_most, item_most = _longer(user_most, user_lag), _longer(item_most, item_lag)
        add(
            user_future=(user_lag > 0).sum(),
            item_future=(item_lag > 0).sum(),
            cold_users=(~coverage.users[Part.TRAIN, owner]).sum(),
            cold_items=(~coverage.items[Part.TRAIN, item]).sum(),
        )
        begin = store.request_offsets[request_column[piece][test]]  # of each event's request
        oldest = store.user_offsets[owner]
        seen = seen_until(store.column("timestamp"), oldest, begin)
        length = seen - oldest
        lengths += np.bincount(length, minlength=len(lengths))
        add(without_history=(length == 0).sum())
        add(after_test=(_first_of_user(owner, test + piece.start) < seen).sum())
        add(**_repeats(store, piece, part, test))
    return Exposure(
        user_lag=user_most,
        item_lag=item_most,
        longest_request=longest,
        histories=_quantiles(lengths),
        **sums,
    )


def drift(store: Store, parts: Parts, task: str) -> Drift:
    """How the mean of a label differs between the parts."""
    labels = store.column(f"task.{task}")
    users = store.manifest.counts.users
    chosen = (Part.TRAIN, Part.VALID, Part.TEST)
    events, sums = np.zeros((3, users)), np.zeros((3, users))
    for piece in pieces(store):
        user, part, label = store.column("user")[piece], parts[piece], labels[piece]
        base, size = int(user[0]), int(user[-1]) + 1 - int(user[0])
        for number in chosen:
            rows = part == number
            local = user[rows] - user[0]
            events[number, base : base + size] += np.bincount(local, minlength=size)
            weights = label[rows].astype(np.float64)
            sums[number, base : base + size] += np.bincount(local, weights, minlength=size)
    total = events.sum(axis=1)
    means = sums.sum(axis=1) / np.maximum(total, 1)
    train, valid, test = means.tolist()
    residual = sums - means[:, None] * events  # [parts, U]
    spread = residual[Part.TEST] / total[Part.TEST] - residual[Part.TRAIN] / total[Part.TRAIN]
    error = math.sqrt(float(spread @ spread))
    counted = int((events[[Part.TRAIN, Part.TEST]].sum(axis=0) > 0).sum())
    known = counted >= FEWEST_USERS and error > NO_SPREAD * max(abs(train), abs(test))
    z = (test - train) / error if known else None
    return Drift(train, valid if total[Part.VALID] else None, test, z)


def part_means(store: Store, parts: Parts, task: str) -> Times:
    """The mean of a label in each `Part`, NaN where that is empty."""
    sums = np.zeros(len(Part))
    for piece in pieces(store):
        label = store.column(f"task.{task}")[piece]
        sums += np.bincount(parts[piece], label, minlength=len(Part))
    sizes = part_sizes(parts)
    means = np.full(len(Part), np.nan)
    np.divide(sums, sizes, out=means, where=sizes > 0)
    return means


def pieces(store: Store) -> Iterator[slice]:
    """Runs of about `PIECE` events that end where a user's events end."""
    offsets, events = store.user_offsets, store.manifest.counts.events
    cuts = offsets[np.searchsorted(offsets, np.arange(PIECE, events, PIECE))]
    bounds = np.unique(np.concatenate(([0], cuts, [events])))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        yield slice(begin, end)


def _longer(most: float, found: Times) -> float:
    return max(most, float(found.max(initial=0.0)))


def _durations(time: Times, request: npt.NDArray[np.uint32]) -> Times:
    """Seconds from the first to the last event of each request; requests are sorted."""
    last = np.flatnonzero(np.diff(request, append=request[-1:] + 1) != 0)
    first = np.concatenate(([0], last[:-1] + 1))
    return time[last] - time[first]


def _cut_requests(request: npt.NDArray[np.uint32], part: Parts) -> int:
    rows = np.flatnonzero(part <= Part.TEST)
    request, part = request[rows], part[rows]
    cut = request[1:][(request[1:] == request[:-1]) & (part[1:] != part[:-1])]
    return len(np.unique(cut))


def _first_of_user(owner: npt.NDArray[np.uint32], rows: Rows) -> Rows:
    """The first of the given rows that has the same owner, for each; owners are sorted."""
    starts = np.flatnonzero(np.diff(owner, prepend=owner[:1] + 1) != 0)
    return np.repeat(rows[starts], np.diff(np.append(starts, len(rows))))


def _repeats(store: Store, piece: slice, part: Parts, test: Rows) -> dict[str, int]:
    """Test events (rows of the piece) whose pair of user and item was trained on."""
    train = np.flatnonzero(part == Part.TRAIN)
    names = ("repeated", "repeated_same_label", "repeated_later")
    if not len(train) or not len(test):
        return dict.fromkeys(names, 0)
    items = np.uint64(store.manifest.counts.items)
    user, item = store.column("user")[piece], store.column("item")[piece]
    pair = user.astype(np.uint64) * items + item
    order = train[np.argsort(pair[train], kind="stable")]  # of one pair: in the order of time
    last = np.searchsorted(pair[order], pair[test], side="right") - 1
    trained = order[np.maximum(last, 0)]
    hit = (last >= 0) & (pair[trained] == pair[test])
    trained, tested = trained[hit], test[hit]
    label = store.column(f"task.{store.manifest.tasks[0].name}")[piece]
    time = store.column("timestamp")[piece]
    counts = (
        len(tested),
        int((label[trained] == label[tested]).sum()),
        int((time[trained] > time[tested]).sum()),
    )
    return dict(zip(names, counts, strict=True))


def _quantiles(counts: Rows) -> dict[str, int]:
    """Of lengths, of which there are ``counts[length]``."""
    upto = np.cumsum(counts)
    shares = {"p10": 0.1, "median": 0.5, "p90": 0.9}
    places = {name: max(1, math.ceil(share * upto[-1])) for name, share in shares.items()}
    return {name: int(np.searchsorted(upto, place)) for name, place in places.items()}
