"""What a card may declare about columns: buckets of numbers, content vectors, window statistics."""

from __future__ import annotations

import itertools
import math
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic import model_validator as validator

ColumnName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Span = Annotated[str, AfterValidator(lambda text: _checked_span(text))]

SPAN_SECONDS = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
QUANTILES = 16  # buckets of a number that the card says nothing about


class Frozen(BaseModel):
    """Base of every declaration: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Buckets(Frozen):
    """How a number becomes a category: by fixed ``boundaries``, or by ``quantiles``.

    Quantiles are taken over the training events of the split in use, never over later ones. Code 0
    is a missing value; n boundaries make the codes 1…n+1, a value equal to a boundary lies above.
    """

    boundaries: tuple[float, ...] = ()
    quantiles: Annotated[int, Field(ge=2, le=1000)] | None = None

    @validator(mode="after")
    def _one_of_both(self) -> Buckets:
        if bool(self.boundaries) == (self.quantiles is not None):
            raise ValueError("give either boundaries or quantiles")
        if not all(map(math.isfinite, self.boundaries)) or any(
            low >= high for low, high in itertools.pairwise(self.boundaries)
        ):
            raise ValueError("boundaries must be finite and ascending")
        return self


class ContentSpec(Frozen):
    """Where the frozen vectors of the items come from; all kinds give float32 [items, width].

    ``npy``     rows of the array in ``file``; row i belongs to the item in line i of the file
                ``ids`` (one raw id a line), or to item i where ``ids`` is absent
    ``column``  list column ``column`` of the Parquet file ``file``, items by column ``id``
    ``hash``    several categories (text columns ``columns`` of ``file``), hashed to ``width``
    ``tfidf``   TF-IDF of the text in ``columns``, hashed, reduced to ``width`` by a truncated SVD
    ``file`` and ``ids`` are keys of the card's ``files``.
    """

    kind: Literal["npy", "column", "hash", "tfidf"]
    file: str
    id: str = "item"
    ids: str | None = None
    column: str | None = None
    columns: tuple[str, ...] = ()
    width: Annotated[int, Field(ge=1)] = 64


class WindowSpec(Frozen):
    """Point-in-time statistics of users and items, from events strictly before the request.

    For each key and span: how many events, and of each binary task the smoothed rate.
    ``tasks``: none = all binary tasks.
    """

    spans: tuple[Span, ...] = ("1h", "1d", "1w")
    keys: tuple[Literal["user", "item"], ...] = ("user", "item")
    tasks: tuple[ColumnName, ...] = ()

    @validator(mode="after")
    def _names_each_once(self) -> WindowSpec:
        # Not a `min_length`: pydantic counts what is left of a list after its bad values.
        for name, values in (("spans", self.spans), ("keys", self.keys)):
            if not values:
                raise ValueError(f"{name} names none: leave it out, or take out [windows]")
        for name, values in (("spans", self.spans), ("keys", self.keys), ("tasks", self.tasks)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names {values} twice")
        return self


def _checked_span(text: str) -> str:
    if not re.fullmatch(r"[1-9][0-9]*[mhdw]", text, re.ASCII):
        units = ", ".join(SPAN_SECONDS)
        raise ValueError(
            f"{text!r} is not a span such as 1h, 3d: a whole number and one of {units}"
        )
    return text


def span_seconds(span: str) -> int:
    """``1h`` → 3600."""
    return int(span[:-1]) * SPAN_SECONDS[span[-1]]
