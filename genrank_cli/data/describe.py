"""What is in a store, in figures: sizes, rates, lengths, and what its split lets through."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from genrank_cli.data.columns import window_columns
from genrank_cli.data.exposure import Coverage, Rows, Seen, Times, cover, part_means, pieces
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.splits import Part, Parts, assign_split
from genrank_cli.data.store import SideTable, Store
from genrank_cli.data.wording import utc

QUANTILES = {"min": 0.0, "p10": 0.1, "median": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

Record = dict[str, Any]


def describe(store: Store, spec: SplitSpec | None = None) -> Record:
    """The figures of a store as a record of nested fields.

    ``spec`` is the split to describe (default: the store's own). Raises `GenrankError` as
    `assign_split` does.
    """
    manifest = store.manifest
    counts = manifest.counts
    return {
        "name": manifest.name,
        "path": str(store.path),
        "version": manifest.dataset_version,
        "content_hash": manifest.content_hash,
        "data_hash": manifest.data_hash,
        "card_hash": manifest.card_hash,
        "counts": counts.model_dump(),
        "time": _time(manifest.time.first, manifest.time.last),
        "request_rule": manifest.request_rule,
        "events_per_request": _quantiles(_request_lengths(store)),
        "events_per_user": _quantiles(np.diff(store.user_offsets)),
        "events_per_item": _quantiles(_item_counts(store)),
        "tasks": {task.name: _task(store, task.name, task.kind) for task in manifest.tasks},
        "actions": _actions(store),
        "user_fields": _fields(store.users),
        "item_fields": _fields(store.items),
        "context": {name: {"values": size - 1} for name, size in manifest.context.items()},
        "event_numbers": _numbers(
            {name: store.column(f"number.{name}") for name in manifest.event_numbers}
        ),
        "user_numbers": _numbers(store.users.numbers),
        "item_numbers": _numbers(store.items.numbers),
        "windows": _numbers(
            {name: store.column(name) for name in window_columns(manifest.windows)}
        ),
        "apart_share": _apart_share(store),
        "quirks": manifest.quirks,
        "content_width": manifest.content_width,
        "truth": manifest.truth,
        "split": describe_split(store, spec or manifest.split),
    }


def describe_split(store: Store, spec: SplitSpec) -> Record:
    """Sizes and base rates of the parts, and how much of the test part training has seen.

    ``train_after_first_test_share``: training events later than the earliest test event, which a
    model served in time order could not have seen. ``cold_*_share`` of test: users and items
    without a training event, and the test events that concern such an item.
    """
    parts = assign_split(store, spec)
    coverage = cover(store, parts)
    means = {task.name: part_means(store, parts, task.name) for task in store.manifest.tasks}
    train = int(coverage.events[Part.TRAIN])
    cold, late = _cold_and_late(store, parts, coverage)
    return {
        **spec.model_dump(),
        **{
            f"{part.name.lower()}_part": _part(coverage, means, part)
            for part in Part
            if coverage.events[part]
        },
        "cold_in_test": {
            "users_share": _unknown(coverage.users),
            "items_share": _unknown(coverage.items),
            "item_events_share": cold / int(coverage.events[Part.TEST]),
        },
        "first_test": utc(coverage.first[Part.TEST]),
        "train_after_first_test_share": late / train,
    }


def _part(coverage: Coverage, means: dict[str, Times], part: Part) -> Record:
    events = int(coverage.events[part])
    return {
        "events": events,
        "share": events / int(coverage.events.sum()),
        "users": int(coverage.users[part].sum()),
        "items": int(coverage.items[part].sum()),
        "mean_label": {task: float(found[part]) for task, found in means.items()},
    }


def _unknown(present: Seen) -> float:
    """The share of those in test that are not in train; ``present`` bool [parts, n]."""
    return float((~present[Part.TRAIN])[present[Part.TEST]].mean())


def _cold_and_late(store: Store, parts: Parts, coverage: Coverage) -> tuple[int, int]:
    """Test events of items that train lacks, and training events after the first test event."""
    cold = late = 0
    for piece in pieces(store):
        part = parts[piece]
        tested = store.column("item")[piece][part == Part.TEST]
        trained = store.column("timestamp")[piece][part == Part.TRAIN]
        cold += int((~coverage.items[Part.TRAIN, tested]).sum())
        late += int((trained > coverage.first[Part.TEST]).sum())
    return cold, late


def _task(store: Store, name: str, kind: str) -> Record:
    labels = store.column(f"task.{name}")
    return {
        "kind": kind,
        "mean": float(labels.mean(dtype=np.float64)),
        "min": float(labels.min()),
        "max": float(labels.max()),
    }


def _actions(store: Store) -> Record:
    masks, names = store.column("actions"), store.manifest.actions
    counts = np.zeros(len(names), np.int64)
    for piece in pieces(store):
        for bit in range(len(names)):
            counts[bit] += np.count_nonzero(masks[piece] & np.uint32(1 << bit))
    return {
        name: {"share": count / len(masks)}
        for name, count in zip(names, counts.tolist(), strict=True)
    }


def _item_counts(store: Store) -> Rows:
    """Events of each item, [I]."""
    counts = np.zeros(store.manifest.counts.items, np.int64)
    for piece in pieces(store):
        counts += np.bincount(store.column("item")[piece], minlength=len(counts))
    return counts


def _request_lengths(store: Store) -> npt.NDArray[np.uint32]:
    """Events of each request, [R], in four bytes each."""
    offsets = store.request_offsets
    lengths = np.empty(len(offsets) - 1, np.uint32)
    np.subtract(offsets[1:], offsets[:-1], out=lengths, casting="unsafe")
    return lengths


def _fields(table: SideTable) -> Record:
    record = {}
    for name, codes in table.fields.items():
        missing = (codes == 0).all(axis=1) if codes.ndim == 2 else codes == 0
        several = {"most_per_row": codes.shape[1]} if codes.ndim == 2 else {}
        shares = {"values": table.sizes[name] - 1, "missing_share": float(missing.mean())}
        record[name] = shares | several
    return record


def _numbers(columns: dict[str, npt.NDArray[np.float32]]) -> Record:
    """Missing share, smallest and largest value; None where every value is missing."""
    record = {}
    for name, values in columns.items():
        missing = float(np.isnan(values).mean())
        known = missing < 1
        record[name] = {
            "missing_share": missing,
            "min": float(np.nanmin(values)) if known else None,
            "max": float(np.nanmax(values)) if known else None,
        }
    return record


def _apart_share(store: Store) -> float | None:
    """The share of events that are kept apart; None where the source does not tell."""
    return float(store.column("apart").mean()) if store.manifest.apart else None


def _quantiles(lengths: npt.NDArray[Any]) -> Record:
    values = np.quantile(lengths, list(QUANTILES.values()), method="inverted_cdf")
    record: Record = {name: int(v) for name, v in zip(QUANTILES, values, strict=True)}
    return record | {"mean": float(lengths.mean())}


def _time(first: float, last: float) -> Record:
    return {"first": utc(first), "last": utc(last), "days": (last - first) / 86400}
