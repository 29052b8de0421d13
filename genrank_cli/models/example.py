"""A made-up schema and batch: enough to draw a model and to count its work, without any data.

Legend: S samples, n history events, m candidates, C context columns, K tasks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from genrank_cli.data.batch import Batch, Events
from genrank_cli.data.longhistory import LongHistory
from genrank_cli.data.store import SideTable
from genrank_cli.models.schema import Schema

#: Rows and codes of the made-up data.
USERS, ITEMS, FIELD, CONTEXT, CONTENT, ACTIONS = 10_000, 10_000, 100, 10, 64, 4

SENTENCE = (
    f"made-up data: {USERS:,} users and {ITEMS:,} items, each with one field of {FIELD} values; a "
    f"context column of {CONTEXT}; content vectors of {CONTENT} numbers; {ACTIONS} actions; one "
    "binary task"
)


@dataclass(frozen=True)
class Lengths:
    """One sample: ``events`` of history, ``candidates`` in ``requests`` of equal size.

    ``older``: events of its long history.
    """

    events: int
    candidates: int
    requests: int = 1
    older: int = 0


def made_up_schema(longest_history: int) -> Schema:
    """The schema of `SENTENCE`."""
    return Schema(
        users=_side(USERS, None),
        items=_side(ITEMS, np.zeros((ITEMS, CONTENT), np.float32)),
        context=(CONTEXT,),
        numbers=(),
        windows=(),
        boundaries={},
        actions=ACTIONS,
        tasks=("task",),
        kinds=("binary",),
        longest_history=longest_history,
    )


def _side(rows: int, content: np.ndarray | None) -> SideTable:
    codes = 1 + np.arange(rows, dtype=np.int64) % (FIELD - 1)  # 0 is a missing value
    return SideTable(pl.int_range(rows, eager=True), {"field": codes}, {"field": FIELD}, content)


def example_batch(lengths: Lengths, schema: Schema) -> Batch:
    """One sample of one user: every event an hour after the one before.

    Request r of R sees the first n·r/R events of the history: with one request all of them, with
    several what a packed sample shows.
    """
    n, m = lengths.events, lengths.candidates
    group = torch.arange(m) * lengths.requests // max(m, 1)  # [m]
    prefix = n * (group + 1) // lengths.requests
    columns = len(schema.context + schema.numbers + schema.windows)
    return Batch(
        history=_events(torch.arange(n), columns),
        candidates=_events(prefix, columns),
        actions=torch.ones(n, dtype=torch.int64),
        history_offsets=torch.tensor([0, n]),
        candidate_offsets=torch.tensor([0, m]),
        prefix=prefix,
        group=group,
        labels=torch.zeros(m, len(schema.tasks)),
        rows=torch.arange(m),
        long_history=_older(lengths.older) if lengths.older else None,
    )


def _older(count: int) -> LongHistory:
    """Events of item 0, an hour apart, the last one an hour before the sample's first."""
    zero = torch.zeros(count, dtype=torch.int64)
    time = -3600.0 * torch.arange(count, 0, -1, dtype=torch.float64)
    return LongHistory(zero, zero, time, torch.tensor([0, count]))


def _events(place: torch.Tensor, columns: int) -> Events:
    """Events at the places int64 [n] of a log: all of item 0 and user 0."""
    zero = torch.zeros_like(place)
    return Events(
        item=zero,
        user=zero,
        time=3600.0 * place.double(),
        request=place,
        gap=torch.where(place > 0, 3600.0, -1.0),
        context=zero.unsqueeze(1).expand(-1, columns),
    )
