"""What is in a store, in figures: sizes, rates, lengths, and what its split lets through."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from genrank_cli.data.columns import window_columns
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.splits import Part, Parts, assign_split
from genrank_cli.data.store import SideTable, Store

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
        "events_per_request": _quantiles(np.diff(store.request_offsets)),
        "events_per_user": _quantiles(np.diff(store.user_offsets)),
        "events_per_item": _quantiles(np.bincount(store.column("item"), minlength=counts.items)),
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
    timestamp = store.column("timestamp")
    first_test = float(timestamp[parts == Part.TEST].min())
    train_time = timestamp[parts == Part.TRAIN]
    return {
        **spec.model_dump(),
        **{
            f"{part.name.lower()}_part": _part(store, parts == part)
            for part in Part
            if (parts == part).any()
        },
        "cold_in_test": _cold(store, parts),
        "first_test": _utc(first_test),
        "train_after_first_test_share": float((train_time > first_test).mean()),
    }


def _part(store: Store, rows: npt.NDArray[np.bool_]) -> Record:
    return {
        "events": int(rows.sum()),
        "share": float(rows.mean()),
        "users": int(np.unique(store.column("user")[rows]).size),
        "items": int(np.unique(store.column("item")[rows]).size),
        "mean_label": {
            task.name: float(store.column(f"task.{task.name}")[rows].mean(dtype=np.float64))
            for task in store.manifest.tasks
        },
    }


def _cold(store: Store, parts: Parts) -> Record:
    counts = store.manifest.counts
    train, test = parts == Part.TRAIN, parts == Part.TEST
    user, item = store.column("user"), store.column("item")
    cold_user = np.bincount(user[train], minlength=counts.users) == 0  # [U]
    cold_item = np.bincount(item[train], minlength=counts.items) == 0  # [I]
    return {
        "users_share": float(cold_user[np.unique(user[test])].mean()),
        "items_share": float(cold_item[np.unique(item[test])].mean()),
        "item_events_share": float(cold_item[item[test]].mean()),
    }


def _task(store: Store, name: str, kind: str) -> Record:
    labels = store.column(f"task.{name}")
    return {
        "kind": kind,
        "mean": float(labels.mean(dtype=np.float64)),
        "min": float(labels.min()),
        "max": float(labels.max()),
    }


def _actions(store: Store) -> Record:
    masks = store.column("actions")
    shares = {
        name: float(((masks >> np.uint32(bit)) & 1).mean())
        for bit, name in enumerate(store.manifest.actions)
    }
    return {name: {"share": share} for name, share in shares.items()}


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
    return {"first": _utc(first), "last": _utc(last), "days": (last - first) / 86400}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
