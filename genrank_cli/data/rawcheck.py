"""What raw events must be, checked batch by batch: errors name the event of the source."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from genrank_cli.data.card import Card
from genrank_cli.errors import GenrankError, data_error

LATEST = 4_102_444_800.0  # 2100-01-01 in seconds since 1970

_CHECKED = ("timestamp", "apart", "task.", "truth.", "number.")


def check_batch(batch: pl.DataFrame, card: Card) -> None:
    """Check staged events; column ``row`` is the place in the source, from 0.

    Raises `GenrankError` (5) about the first event without a user, item, time or request, or with a
    value that its column may not hold.
    """
    for column in ("user", "item", "timestamp", "actions", "request"):
        if column in batch.columns and batch[column].null_count():
            row = batch.filter(pl.col(column).is_null())["row"][0]
            what = "an action is neither 0 nor 1" if column == "actions" else f"no {column}"
            raise data_error(f"{card.name}: {what} in event {row + 1:,} of the source")
    kinds = {f"task.{task.name}": f"{task.kind} label" for task in card.tasks} | {"apart": "flag"}
    for column in batch.columns:
        if column.startswith(_CHECKED):
            _check_values(batch, column, kinds.get(column, ""))


def _check_values(batch: pl.DataFrame, column: str, kind: str) -> None:
    values = batch[column].to_numpy()  # floats, or small integers without a null
    if batch[column].null_count():
        values = batch[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    bad = np.isinf(values) if column.startswith("number.") else ~np.isfinite(values)
    if column == "timestamp":
        bad |= (values < 0) | (values > LATEST)
    elif kind in ("binary label", "flag"):
        bad |= (values != 0) & (values != 1)
    if bad.any():
        raise _value_error(batch, column, values, int(bad.argmax()), kind)


def _value_error(
    batch: pl.DataFrame, column: str, values: npt.NDArray[np.generic], place: int, kind: str
) -> GenrankError:
    value = float(values[place])
    reason = "is not a finite number"
    if np.isfinite(value) and column == "timestamp":
        reason = "is not between 1970 and 2100 in seconds since 1970"
        if 0 <= value / 1000 <= LATEST:
            reason += "; this looks like milliseconds, seconds are expected"
    elif np.isfinite(value):
        reason = f"is neither 0 nor 1, as a {kind} must be"
    event = f"event {batch['row'][place] + 1:,} of the source (user {batch['user'][place]})"
    return data_error(f"{column} of {event}: {value:.15g} {reason}")
