"""A log without leaks, into which tests plant them."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrank_cli.data.audit import audit_parts
from genrank_cli.data.findings import Finding
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.splits import Part, Parts
from genrank_cli.data.store import Store
from tests.data.slow_audit import Row
from tests.factory import MemoryStore, make_store

SPEC = SplitSpec(name="temporal")
Planted = tuple[Store, Parts]


def clean_rows() -> list[Row]:
    """Thirty users with three training and two test events each, a page of two at the end.

    All train before all test, every test pair is new, and every label is as frequent in test.
    """
    rows = []
    for user in range(30):
        for place in range(5):
            test = place >= 3
            time = 1e9 + 1000 * test + 10 * place + user / 100
            request = 4 * user + min(place, 3)
            item = (user + place) % 30
            part = Part.TEST if test else Part.TRAIN
            rows.append(Row(user, item, time, request, float((user + place) % 2), part))
    return rows


def planted(rows: list[Row]) -> Planted:
    """A store of these rows, sorted as stores are, and their parts."""
    rows = sorted(rows, key=lambda row: (row.user, row.time))
    store = make_store((1,))
    codes = {"user": 0, "item": 1, "request": 3}
    columns: dict[str, Any] = {
        name: np.array([row[place] for row in rows], np.uint32) for name, place in codes.items()
    }
    starts = np.diff(columns["request"].astype(int), prepend=-1) != 0
    columns["request"] = (np.cumsum(starts) - 1).astype(np.uint32)
    columns["timestamp"] = np.array([row.time for row in rows])
    columns["task.click"] = np.array([row.label for row in rows], np.float32)
    columns["task.dwell"] = np.ones(len(rows), np.float32)
    counts = store.manifest.counts.model_copy(
        update={
            "events": len(rows),
            "users": max(row.user for row in rows) + 1,
            "items": max(row.item for row in rows) + 1,
            "requests": int(columns["request"][-1]) + 1,
        }
    )
    manifest = store.manifest.model_copy(update={"counts": counts, "content_width": 0})
    parts = np.array([row.part for row in rows], np.uint8)
    return MemoryStore(manifest, columns, store.users, store.items), parts


def findings(log: Planted) -> dict[str, Finding]:
    return {finding.check: finding for finding in audit_parts(log[0], SPEC, log[1]).findings}
