"""Which models are timed on which batches.

``seq_len`` counts HSTU's tokens of history, two an event, whatever the organisation of a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from genrank_cli.bench.batches import whole_events
from genrank_cli.errors import GenrankError, unknown_name
from genrank_cli.models.presets import PRESETS, SIZES
from genrank_cli.training.config import ExperimentConfig, layered, nested

#: The paper's baseline builds its bias as a tensor of L × L numbers.
BASE = "hstu-materialized"
FUSED = "hstu"
NEW_BIAS = "hstu+embeddings+alibi"
ACTION = "action-materialized"
GENRANK = "genrank"

_MATERIALIZED = {"model.attention.bias_form": "materialized"}
_PROPOSAL = {
    "model.attention.bias": "alibi",
    "model.embeddings.position": True,
    "model.embeddings.request": True,
    "model.embeddings.gap": True,
}


@dataclass(frozen=True)
class Model:
    """A row's model: a preset, and what is changed in it."""

    title: str
    preset: str
    changes: Mapping[str, Any] = field(default_factory=dict)


#: Rows beside the presets themselves: organisation × bias, PAPER section 4.
MODELS: Mapping[str, Model] = {
    BASE: Model("HSTU, relative bias as a tensor of L × L", "hstu", _MATERIALIZED),
    FUSED: Model("HSTU, relative bias inside the kernel", "hstu"),
    NEW_BIAS: Model("HSTU, three embeddings and ALiBi", "hstu", _PROPOSAL),
    ACTION: Model(
        "HSTU, one token an event, relative bias as a tensor",
        "hstu",
        _MATERIALIZED | {"model.organization": "action"},
    ),
    GENRANK: Model("GenRank: both changes", "genrank"),
}

SAMPLES = ("grouped", "packed")
DTYPES = ("float32", "bfloat16", "float16")
LENGTHS = ("fixed", "zipf")
REAL = "real:"


@dataclass(frozen=True)
class Request:
    """What a user asked for; checked by `checked`."""

    models: tuple[str, ...] = tuple(MODELS)
    size: str = "paper"
    seq_lens: tuple[int, ...] = (480,)
    batch_size: int = 4
    candidates: int = 10
    lengths: str = "fixed"
    samples: str = "grouped"
    dtype: str = "float32"
    device: str = "cpu"
    threads: int | None = None
    rounds: int | None = None
    precision: float = 0.03
    budget_s: float = 120.0
    memory: bool = True

    def settings(self) -> dict[str, Any]:
        """As plain values, for the record."""
        return {name: list(x) if isinstance(x, tuple) else x for name, x in asdict(self).items()}

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Request:
        """The request that has these `settings`."""
        fields: dict[str, Any] = {
            name: tuple(x) if isinstance(x, list) else x for name, x in settings.items()
        }
        return cls(**fields)

    @property
    def dataset(self) -> str | None:
        """The store that lengths and events come from; None for drawn ones."""
        return self.lengths.removeprefix(REAL) if self.lengths.startswith(REAL) else None

    @property
    def base(self) -> str:
        """The row that the others are compared with."""
        return BASE if BASE in self.models else self.models[0]

    def config(self, model: str, seq_len: int) -> ExperimentConfig:
        """The whole configuration of a row, whose samples are cut as those of the batch."""
        row = described(model)
        events = seq_len // 2
        own = "window" if self.samples == "packed" else "candidates"
        length = events if self.samples == "packed" else self.candidates
        samples = {"organization": self.samples, "history": events, own: length}
        data: dict[str, Any] = {"samples": samples}
        if self.dataset is not None:
            data["dataset"] = self.dataset
        budget = {"batch_events": self.batch_size * (events + self.candidates)}
        layers = ({"data": data}, {"training": budget}, nested(row.changes))
        return layered(row.preset, self.size, *layers)


def described(model: str) -> Model:
    """The model of a row's name: one of `MODELS`, or a preset as it is."""
    return MODELS.get(model) or Model(model, model)


def known_models() -> list[str]:
    """Every name that a row may have."""
    trained = [name for name, fields in PRESETS.items() if fields["kind"] != "rates"]
    return list(dict.fromkeys([*MODELS, *trained]))


def checked(request: Request) -> Request:
    """The request itself. Raises `GenrankError` (2) for what does not exist or cannot be."""
    for model in request.models:
        if model not in known_models():
            raise unknown_name("--model", model, known_models())
    for option, value, known in (
        ("--size", request.size, SIZES),
        ("--samples", request.samples, SAMPLES),
        ("--dtype", request.dtype, DTYPES),
    ):
        if value not in known:
            raise unknown_name(option, value, known)
    if request.lengths not in LENGTHS and not request.dataset:
        raise unknown_name("--lengths", request.lengths, [*LENGTHS, "real:DATASET"])
    if request.dtype == "float16" and not request.device.startswith("cuda"):
        raise GenrankError("--dtype float16: only on CUDA", "give --dtype bfloat16")
    _check_lengths(request, request.seq_lens)
    return request


def _check_lengths(request: Request, seq_lens: Sequence[int]) -> None:
    for seq_len in seq_lens:
        events = whole_events("--seq-len", seq_len)
        if request.samples == "packed" and events % request.candidates:
            raise GenrankError(
                f"--candidates {request.candidates}: {events} events are no whole number of "
                "requests",
                "packed samples are cut into requests of so many candidates",
            )
        _ = [request.config(model, seq_len) for model in request.models]
