"""What is swept, at which values, and the model and batch of each.

``length`` counts HSTU's tokens of history: an event is two. Everything else stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from genrank_cli.bench.batches import whole_events
from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.models.config import GenerativeConfig
from genrank_cli.models.presets import PRESETS, SIZES, preset

#: Dimension → the values that are taken where none are given.
VALUES: Mapping[str, tuple[int, ...]] = {
    "length": (120, 240, 480, 960),
    "width": (64, 128, 256, 512),
    "depth": (1, 2, 4, 8),
    "batch": (1, 2, 4, 8),
    "candidates": (10, 40, 160, 640),
}

STEP, ATTENTION, PROJECTIONS = "step", "attention", "projections"

#: What is timed for each model and value: forward, loss and backward of the whole model without the
#: optimizer; of one block q, k, v → attended; of one block all else (matrices, norms, gate).
STAGES = (STEP, ATTENTION, PROJECTIONS)

#: Dimensions that one block does not have.
WHOLE_ONLY = ("depth",)


@dataclass(frozen=True)
class Shape:
    """One value: history in HSTU's tokens, and the rest."""

    length: int
    width: int
    depth: int
    batch: int
    candidates: int

    @property
    def events(self) -> int:
        """History events of a sample."""
        return self.length // 2


@dataclass(frozen=True)
class Request:
    """What a user asked for; checked by `checked`.

    ``values`` empty: those of `VALUES`. Width and depth are those of the size, unless they grow.
    """

    over: str = "length"
    values: tuple[int, ...] = ()
    models: tuple[str, ...] = ("hstu", "genrank")
    size: str = "base"
    seq_len: int = 480
    batch_size: int = 4
    candidates: int = 10
    device: str = "cpu"
    threads: int | None = None
    rounds: int | None = None
    precision: float = 0.03
    budget_s: float = 60.0

    def settings(self) -> dict[str, Any]:
        """As plain values, for the record."""
        fields = asdict(self) | {"values": self.points}
        return {name: list(x) if isinstance(x, tuple) else x for name, x in fields.items()}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Request:
        """The request that has these `settings`."""
        fields: dict[str, Any] = {
            name: tuple(x) if isinstance(x, list) else x for name, x in settings.items()
        }
        return cls(**fields)

    @property
    def points(self) -> tuple[int, ...]:
        """The values, smallest first."""
        return tuple(sorted(self.values or VALUES[self.over]))

    def shape(self, value: int) -> Shape:
        """Everything at one value of the dimension."""
        size = SIZES[self.size]["generative"]
        fixed = {
            "length": self.seq_len,
            "width": size["width"],
            "depth": size["blocks"],
            "batch": self.batch_size,
            "candidates": self.candidates,
        }
        return Shape(**fixed | {self.over: value})

    def config(self, model: str, value: int) -> GenerativeConfig:
        """The preset at a value; raises `GenrankError` (2) where heads do not divide the width."""
        shape = self.shape(value)
        changed = preset(model, self.size).model_dump()
        changed |= {"width": shape.width, "blocks": shape.depth}
        try:
            return GenerativeConfig.model_validate(changed)
        except ValidationError as error:
            reason = error.errors()[0]["msg"].removeprefix("Value error, ")
            message = f"--values {value}: {reason}"
            raise GenrankError(message, "give multiples of the heads") from error

    def stages(self) -> tuple[str, ...]:
        """What is timed at each value."""
        return (STEP,) if self.over in WHOLE_ONLY else STAGES


def row_name(model: str, stage: str, value: int) -> str:
    """``genrank/attention/480``."""
    return f"{model}/{stage}/{value}"


def checked(request: Request) -> Request:
    """The request itself. Raises `GenrankError` (2) for what does not exist or cannot be."""
    if request.over not in VALUES:
        raise unknown_name("--over", request.over, VALUES)
    if request.size not in SIZES:
        raise unknown_name("--size", request.size, SIZES)
    known = [name for name, fields in PRESETS.items() if fields["kind"] == "generative"]
    for model in request.models:
        if model not in known:
            raise unknown_name("--model", model, known, "a sweep takes generative models")
    if len(set(request.points)) < 2:
        raise GenrankError("a sweep of one value shows nothing", "give two --values or more")
    for length in request.points if request.over == "length" else (request.seq_len,):
        whole_events("--values" if request.over == "length" else "--seq-len", length)
    for value in request.points:
        _ = [request.config(model, value) for model in request.models]
    return request
