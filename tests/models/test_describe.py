"""FLOPs against PyTorch's counter and against counting; tokens and masks literally."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genrank_cli.models.build import RANKERS, build_ranker
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.describe import DRAWN_EVENTS, OTHERS, describe, load_of
from genrank_cli.models.example import Lengths, example_batch, made_up_schema
from genrank_cli.models.flops import ranker_terms
from genrank_cli.models.modules.config import ModulesConfig
from genrank_cli.models.picture import picture
from genrank_cli.models.presets import PRESETS, SIZES, preset
from genrank_cli.models.trace import counted, shape_model
from genrank_cli.training.config import layered
from tests.factory import make_store
from tests.models.cases import make_batcher, make_schema

TRAINED = [name for name in PRESETS if preset(name).kind in RANKERS]
DRAWN = [name for name in TRAINED if preset(name).kind == "generative"]
LENGTHS = [Lengths(240, 10), Lengths(7, 6, 3), Lengths(1, 1)]
EXAMPLE = Lengths(3, 2)


def model_of(name: str, size: str = "tiny", **model: Any) -> ModelConfig:
    samples: dict[str, Any] = {"organization": "grouped"}
    samples |= {"long_history": 1} if "sim" in model.get("modules", {}) else {}
    return layered(name, size, {"data": {"samples": samples}, "model": model}).model


def dense(terms: list[Any]) -> tuple[int, int]:
    """Forward and backward FLOPs of the reference that computes hidden cells, too."""
    return (
        sum(term.dense for term in terms),
        sum(term.backward // max(1, term.forward) * term.dense for term in terms),
    )


@pytest.mark.parametrize("lengths", LENGTHS, ids=str)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", TRAINED)
def test_the_closed_form_is_the_counter_to_the_last_digit(
    name: str, size: str, lengths: Lengths
) -> None:
    schema = made_up_schema(300)
    model, batch = shape_model(preset(name, size), schema), example_batch(lengths, schema)
    found = dense(ranker_terms(model, load_of(model, batch)))
    assert found == counted(model, batch)
    assert all(flops > 0 for flops in found)


VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "content": ("genrank", {"features": {"content": True}}),
    "dlrm-content": ("dlrm", {"features": {"content": True}}),
    "window": ("hstu", {"attention": {"window": 3}}),
    "full": ("hstu", {"attention": {"history": "full"}}),
    "visible": ("genrank", {"attention": {"candidates": "visible"}}),
    "doubled": ("hstu", {"double_candidates": True}),
    "context": ("genrank", {"context_tokens": True, "features": {"user_id": True}}),
    "materialized": ("hstu", {"attention": {"bias_form": "materialized"}}),
    "hashed": ("genrank", {"features": {"item_hash": 50, "hashes": 2}}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_equal_the_counter_too(name: str) -> None:
    base, changes = VARIANTS[name]
    schema = made_up_schema(300)
    model = shape_model(model_of(base, **changes), schema)
    batch = example_batch(Lengths(9, 6, 3), schema)
    assert dense(ranker_terms(model, load_of(model, batch))) == counted(model, batch)


MODULES = [
    (module, base)
    for module in ModulesConfig.model_fields
    for base in ("genrank", "dlrm")
    if (module, base) != ("din", "dlrm")  # which is a part of the DLRM's core
]


@pytest.mark.parametrize(("module", "base"), MODULES)
def test_what_a_module_does_not_declare_is_counted(module: str, base: str) -> None:
    config = model_of(base, modules={module: True})
    found = describe(config, made_up_schema(300), Lengths(9, 6, 3, older=20))
    plain = describe(model_of(base), made_up_schema(300), Lengths(9, 6, 3))
    assert found is not None
    assert plain is not None
    parts = {part.name: part for part in found.parts}
    assert found.declared == (OTHERS not in parts)
    assert sum(part.dense for part in found.parts) == found.counter[0]
    own = sum(p.parameters for p in found.parts) - sum(p.parameters for p in plain.parts)
    assert own > 0
    if module == "ple":  # which takes the head's place
        assert set(parts) - {OTHERS} == {part.name for part in plain.parts}
    else:
        assert parts[module].parameters > 0
    if OTHERS in parts:
        assert ("bounds" in parts[OTHERS].formula) == (parts[OTHERS].backward < 0)


@pytest.mark.parametrize("size", ["tiny", "paper"])
@pytest.mark.parametrize("name", TRAINED)
def test_every_parameter_has_a_part(name: str, size: str) -> None:
    schema = made_up_schema(300)
    found = describe(preset(name, size), schema, Lengths(5, 2))
    assert found is not None
    assert {part.name for part in found.parts} <= {
        "embedding", "bias", "projections", "attention", "head",
    }  # fmt: skip
    total = sum(part.parameters for part in found.parts)
    with torch.device("meta"):
        assert total == sum(
            p.numel() for p in build_ranker(preset(name, size), schema).parameters()
        )


def one_by_one(mask: torch.Tensor) -> int:
    return sum(bool(cell) for row in mask for cell in row)


@pytest.mark.parametrize("lengths", [Lengths(11, 6, 3), Lengths(5, 4)], ids=str)
@pytest.mark.parametrize("name", [*DRAWN, *[n for n in VARIANTS if VARIANTS[n][0] != "dlrm"]])
def test_the_exact_count_is_that_of_the_visible_cells(name: str, lengths: Lengths) -> None:
    base, changes = VARIANTS.get(name, (name, {}))
    config, schema = model_of(base, **changes), made_up_schema(300)
    found = describe(config, schema, lengths)
    assert found is not None
    model: Any = shape_model(config, schema)
    drawn = picture(model, example_batch(lengths, schema))
    cells = one_by_one(drawn.mask)
    width = config.width * config.blocks  # type: ignore[union-attr]
    (attention,) = (part for part in found.parts if part.name == "attention")
    assert attention.forward == 4 * cells * width
    assert attention.backward == 8 * cells * width
    assert attention.dense == 4 * len(drawn.names) ** 2 * width
    assert found.load.cells == cells < found.load.all_cells == len(drawn.names) ** 2


def test_the_formula_of_a_causal_mask_with_candidates() -> None:
    n, m = 240, 10
    for name, events in (("hstu", 2 * n), ("genrank", n)):
        found = describe(preset(name), made_up_schema(300), Lengths(n, m))
        assert found is not None
        assert found.load.tokens == events + m
        assert found.load.cells == events * (events + 1) // 2 + m * (events + 1)


def test_halving_the_tokens_quarters_the_attention_and_halves_the_projections() -> None:
    """PAPER section 4, with few candidates."""
    parts = []
    for name in ("genrank", "hstu"):
        found = describe(preset(name, "paper"), made_up_schema(300), Lengths(240, 1))
        assert found is not None
        parts.append({part.name: part.forward for part in found.parts})
    assert parts[0]["attention"] / parts[1]["attention"] == pytest.approx(0.25, abs=0.01)
    assert parts[0]["projections"] / parts[1]["projections"] == pytest.approx(0.5, abs=0.01)


def test_the_published_layer_has_5_d_squared_weights_a_token() -> None:
    found = describe(preset("hstu", "paper"), made_up_schema(300), Lengths(240, 10))
    assert found is not None
    (projections,) = (part for part in found.parts if part.name == "projections")
    assert projections.forward == 3 * 2 * 490 * 5 * 768**2
    assert projections.formula == f"3·(2·T·{5 * 768**2:,})"


LAYOUTS: dict[str, tuple[str, dict[str, Any], Lengths, str, list[int], list[str]]] = {
    "interleaved": (
        "hstu", {}, EXAMPLE, "x1 a1 x2 a2 x3 a3 c1 c2", [0, 1, 2, 3, 4, 5, 6, 6],
        ["█·······", "██······", "███·····", "████····", "█████···", "██████··", "███████·",
         "██████·█"],
    ),
    "action": (
        "genrank", {}, EXAMPLE, "x1+a1 x2+a2 x3+a3 c1+M c2+M", [0, 1, 2, 3, 3],
        ["█····", "██···", "███··", "████·", "███·█"],
    ),
    "packed": (
        "genrank", {}, Lengths(3, 3, 3), "x1+a1 x2+a2 x3+a3 c1+M c2+M c3+M", [0, 1, 2, 1, 2, 3],
        ["█·····", "██····", "███···", "█··█··", "██··█·", "███··█"],
    ),
    "visible": (
        "genrank", {"attention": {"candidates": "visible"}}, EXAMPLE,
        "x1+a1 x2+a2 x3+a3 c1+M c2+M", [0, 1, 2, 3, 3],
        ["█····", "██···", "███··", "█████", "█████"],
    ),
    "doubled": (
        "hstu", {"double_candidates": True}, Lengths(1, 2), "x1 a1 c1 M c2 M", [0, 1, 2, 2, 2, 2],
        ["█·····", "██····", "███···", "████··", "██··█·", "██··██"],
    ),
    "context": (
        "genrank", {"context_tokens": True, "features": {"user_id": True}}, Lengths(1, 1),
        "u1 u2 x1+a1 c1+M", [0, 0, 0, 1],
        ["██··", "██··", "███·", "████"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_and_masks_literally(name: str) -> None:
    base, changes, lengths, line, position, rows = LAYOUTS[name]
    schema = made_up_schema(300)
    model: Any = shape_model(model_of(base, **changes), schema)
    drawn = picture(model, example_batch(lengths, schema))
    assert drawn.line == line
    assert drawn.position == position
    assert drawn.rows() == rows


@pytest.mark.parametrize("requests", [1, 2, 5])
def test_a_small_sample_is_drawn_whatever_the_lengths(requests: int) -> None:
    found = describe(preset("genrank"), made_up_schema(300), Lengths(240, 10, requests))
    assert found is not None
    assert found.picture is not None
    events = [name for name in found.picture.names if name.startswith("x")]
    assert len(events) == DRAWN_EVENTS
    assert len(set(found.picture.position[DRAWN_EVENTS:])) == min(requests, DRAWN_EVENTS)


def test_undeclared_products_are_found() -> None:
    """A matrix that a block hides from the closed form shows up as the counter's difference."""

    class Hiding(nn.Module):
        def __init__(self, own: nn.Module) -> None:
            super().__init__()
            self.own = own

        def forward(self, x: torch.Tensor, gates: Any) -> torch.Tensor:
            hidden: torch.Tensor = self.own(x, gates)
            return hidden @ hidden.T @ hidden

    schema = made_up_schema(300)
    model: Any = shape_model(preset("genrank"), schema)
    batch = example_batch(EXAMPLE, schema)
    before = counted(model, batch)[0]
    model.head = Hiding(model.head)
    assert counted(model, batch)[0] == before + 2 * (2 * 2 * 64) * 2
    assert dense(ranker_terms(model, load_of(model, batch)))[0] == before


def test_the_real_batch_of_a_store_can_be_counted() -> None:
    """The mixed mode follows shapes that depend on data, several samples of several requests."""
    # Where a sample is one token, PyTorch multiplies numbers and counts no product of matrices.
    log = make_store((37, 9, 22), per_request=4)
    schema, batcher = make_schema(log), make_batcher(log)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    for name in TRAINED:
        model = shape_model(preset(name), schema)
        terms = ranker_terms(model, load_of(model, batch))
        assert dense(terms) == counted(model, batch), name


def test_no_memory_is_taken_for_weights() -> None:
    schema = made_up_schema(300)
    huge = replace(schema.items, ids=range(10**12))  # type: ignore[arg-type]
    found = describe(preset("genrank"), replace(schema, items=huge), EXAMPLE)
    assert found is not None
    assert found.parts[0].parameters > 10**13
