"""A configuration described: its tokens and mask, its parameters and its work by part."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from genrank_cli.data.batch import Batch
from genrank_cli.models.build import RANKERS
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.example import Lengths, example_batch
from genrank_cli.models.flops import Load, Term, parameters, ranker_terms
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.models.picture import Picture, picture
from genrank_cli.models.schema import Schema
from genrank_cli.models.trace import counted, shape_model

#: What a picture shows, whatever the lengths are that FLOPs are counted for.
DRAWN_EVENTS, DRAWN_CANDIDATES = 3, 2

#: The parts that tables begin with.
ORDER = ("embedding", "bias", "projections", "attention", "head")
OTHERS = "other modules"


@dataclass(frozen=True)
class Part:
    """Parameters and FLOPs of one sample; ``terms`` are what the FLOPs are the sum of."""

    name: str
    parameters: int = 0
    terms: list[Term] = field(default_factory=list)

    @property
    def forward(self) -> int:
        """Useful FLOPs: hidden cells of the attention are not counted."""
        return sum(term.forward for term in self.terms)

    @property
    def backward(self) -> int:
        return sum(term.backward for term in self.terms)

    @property
    def dense(self) -> int:
        """Forward FLOPs where hidden cells are computed, too."""
        return sum(term.dense for term in self.terms)

    @property
    def formula(self) -> str:
        """Of ``forward``."""
        return " + ".join(term.formula for term in self.terms)


@dataclass(frozen=True)
class Description:
    """What `describe` found; ``picture`` is none for a model without tokens.

    ``counter``: forward and backward FLOPs of the dense reference by PyTorch's own counter, which
    ``parts`` add up to; ``declared``: whether the closed form alone does.
    """

    load: Load
    parts: list[Part]
    picture: Picture | None
    counter: tuple[int, int]
    declared: bool

    def record(self) -> dict[str, Any]:
        """All of it as plain values."""
        sums = ("parameters", "forward", "backward", "dense")
        return {
            "load": vars(self.load),
            "tokens": None if self.picture is None else self.picture.names,
            "positions": None if self.picture is None else self.picture.position,
            "mask": None if self.picture is None else self.picture.rows(),
            "parts": {
                part.name: {
                    "parameters": part.parameters,
                    "forward_flops": part.forward,
                    "backward_flops": part.backward,
                    "dense_forward_flops": part.dense,
                    "formula": part.formula,
                }
                for part in self.parts
            },
            "total": {name: sum(getattr(part, name) for part in self.parts) for name in sums},
            "torch_counter": dict(zip(("forward", "backward"), self.counter, strict=True)),
            "closed_form_equals_counter": self.declared,
        }


def describe(config: ModelConfig, schema: Schema, lengths: Lengths) -> Description | None:
    """Parameters, FLOPs of one sample of ``lengths``, and a picture of a small one.

    No memory is taken for weights. None where nothing is trained (``rates``).
    """
    if config.kind not in RANKERS:
        return None
    model = shape_model(config, schema)
    batch = example_batch(lengths, schema)
    load = load_of(model, batch)
    found = ranker_terms(model, load)
    counter = counted(model, batch)
    missing = _missing(found, counter)
    return Description(
        load=load,
        parts=_parts(parameters(model), found + missing),
        picture=picture(model, drawn_batch(lengths.requests, schema))
        if isinstance(model, GenerativeRanker)
        else None,
        counter=counter,
        declared=not missing,
    )


def drawn_batch(requests: int, schema: Schema) -> Batch:
    """The small sample that pictures show, of up to `DRAWN_EVENTS` requests."""
    requests = min(requests, DRAWN_EVENTS)
    lengths = Lengths(DRAWN_EVENTS, max(DRAWN_CANDIDATES, requests), requests)
    return example_batch(lengths, schema)


def load_of(model: nn.Module, batch: Batch) -> Load:
    """What ``batch`` asks of ``model``: its events, and its tokens and cells where it has any."""
    load = Load(batch.samples, len(batch.actions), len(batch.rows))
    if not isinstance(model, GenerativeRanker):
        return load
    layout = model.layout(batch)
    return replace(
        load,
        tokens=len(layout.source),
        cells=layout.mask.area(),
        all_cells=int(layout.offsets.diff().square().sum()),
    )


def _missing(found: list[Term], counter: tuple[int, int]) -> list[Term]:
    """What PyTorch counts beyond the closed form: modules that do not declare their products.

    Less than nothing where a module declares an upper bound, as SIM does.
    """
    dense = sum(term.dense for term in found)
    # Of the dense reference, the backward pass does what it does for a visible cell for all cells.
    backward = sum(term.backward * term.dense // max(1, term.forward) for term in found)
    forward_left, backward_left = counter[0] - dense, counter[1] - backward
    if not forward_left and not backward_left:
        return []
    formula = "as PyTorch counts" + (", less than the bounds above" if backward_left < 0 else "")
    return [Term(forward_left, backward_left, forward_left, formula, OTHERS)]


def _parts(parameters: dict[str, int], found: list[Term]) -> list[Part]:
    names = dict.fromkeys([*ORDER, *parameters, *(term.part for term in found)])
    return [
        Part(name, parameters.get(name, 0), terms)
        for name in names
        if (terms := [term for term in found if term.part == name]) or name in parameters
    ]
