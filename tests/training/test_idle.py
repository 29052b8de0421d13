"""Settings without effect are refused; defaults, presets and sizes never are."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.models.presets import PRESETS, SIZES
from genrank_cli.studies.plan import plan_rows
from genrank_cli.studies.study import load_study
from genrank_cli.training.config import (
    ExperimentConfig,
    layered,
    layered_row,
    nested,
    overlaid,
    validate,
)
from genrank_cli.training.idle import IDLE, refuse_unused
from tests.training.small import prepared, small_config, small_trainer

Settings = dict[str, Any]
GROUPED = {"data.samples.organization": "grouped"}
SINGLE = {"data.samples.organization": "pointwise"}
LONG = {"data.samples.long_history": 9}

#: path → model, the idle value, what makes it count, and what else must be set in both cases
CASES: dict[str, tuple[str, Any, Settings, Settings]] = {
    "data.samples.window": ("genrank", 9, {"data.samples.organization": "packed"}, GROUPED),
    "data.samples.candidates": ("hstu", 9, GROUPED, SINGLE),
    "data.samples.long_history": ("dlrm", 9, {"model.modules.sim": True}, {}),
    "model.features.item_hash": (
        "hstu", 9, {"model.modules.ppnet": True}, {"model.features.item_id": False},
    ),
    "model.features.user_hash": ("dlrm", 9, {"model.features.user_id": True}, {}),
    "model.features.hashes": ("genrank", 2, {"model.features.item_hash": 9}, {}),
    "model.modules.sim.field": (
        "dlrm", "topic", {"model.modules.sim.kind": "hard"}, {"model.modules.sim.kind": "soft"}
        | LONG,
    ),
    "model.stochastic_choice": ("hstu", "newest", {"model.stochastic_length": 1.5}, GROUPED),
    "model.attention.bias_form": (
        "genrank", "materialized", {"model.attention.bias": "tables"}, {},
    ),
    "model.attention.candidates": ("hstu", "visible", GROUPED, SINGLE),
    "model.attention.window": ("hstu", 2 * 384, {"data.samples.history": 129}, {}),
    "model.layer": ("softmax", "fused", {"model.block": "hstu"}, {}),
    "model.attention_hidden": ("dlrm", 7, {"model.recent": 3}, {"model.recent": 0}),
    "model.hidden": (
        "dlrm", [9], {"model.modules.ple.width": None}, {"model.modules.ple.width": 4},
    ),
    "training.task_weights": ("rates", {"click": 2.0}, {}, {}),
}  # fmt: skip


def made(model: str, size: str = "tiny", *layers: Settings) -> ExperimentConfig:
    return layered(model, size, *map(nested, layers))


def test_every_entry_has_a_case() -> None:
    assert list(CASES) == [one.path for one in IDLE]


@pytest.mark.parametrize("path", CASES)
def test_what_has_no_effect_is_refused(path: str) -> None:
    model, value, _, also = CASES[path]
    made(model, "tiny", also)
    with pytest.raises(GenrankError, match=rf"{path}=.* has no effect: .*; .*or leave it out"):
        made(model, "tiny", also, {path: value})
    with pytest.raises(GenrankError, match="has no effect"):
        overlaid(made(model, "tiny", also), nested({path: value}))


@pytest.mark.parametrize("path", [path for path in CASES if path != "training.task_weights"])
def test_what_has_an_effect_is_not(path: str) -> None:
    model, value, counts, also = CASES[path]
    config = made(model, "tiny", also, counts, {path: value})
    assert validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("path", [one.path for one in IDLE])
def test_a_default_value_never_raises(path: str) -> None:
    model, _, _, also = CASES[path]
    dumped = made(model, "tiny", also).model_dump()
    assert validate(dumped)  # every default is spelt out here


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", PRESETS)
def test_presets_and_sizes_never_raise(model: str, size: str) -> None:
    for samples in ({}, GROUPED, SINGLE):
        assert made(model, size, samples).model.kind
    if model == "dlrm":
        own = {"model.recent": 0, "model.modules.ple.width": 4}
        assert made(model, size, own).model.model_dump()["recent"] == 0


def test_a_run_trained_with_an_idle_setting_can_still_be_read() -> None:
    tree = made("genrank", "tiny", GROUPED).model_dump()
    tree["data"]["samples"]["window"] = 9
    with pytest.raises(GenrankError, match="has no effect"):
        validate(tree)
    assert validate(tree, training=False).data.samples.window == 9


def test_what_was_set_before_does_not_stand_in_the_way_of_a_later_layer() -> None:
    config = made("genrank", "tiny", {"data.samples.window": 9})
    assert overlaid(config, nested(GROUPED)).data.samples.window == 9


def test_common_settings_reach_the_rows_that_use_them() -> None:
    common = [nested({"model.stochastic_choice": "newest"} | GROUPED)]
    plain, left_out = layered_row("hstu", "tiny", common, {})
    assert plain.model == made("hstu").model
    assert [one.path for one in left_out] == ["model.stochastic_choice"]
    short, nothing = layered_row("hstu", "tiny", common, nested({"model.stochastic_length": 1.5}))
    assert short.model.model_dump()["stochastic_choice"] == "newest"
    assert not nothing
    refuse_unused(left_out, [plain, short])
    with pytest.raises(GenrankError, match="stochastic_choice has no effect in any row"):
        refuse_unused(left_out, [plain, plain])
    assert common == [nested({"model.stochastic_choice": "newest"} | GROUPED)]


def test_a_rows_own_setting_must_have_an_effect() -> None:
    with pytest.raises(GenrankError, match="bias_form=materialized has no effect"):
        layered_row("genrank", "tiny", [], nested({"model.attention.bias_form": "materialized"}))


def test_a_study_takes_common_settings_that_some_of_its_rows_use() -> None:
    form = nested({"model.attention.bias_form": "materialized"})
    rows = plan_rows(load_study("bias"), "synthetic", "tiny", settings=[form])
    forms = {row.name: getattr(row.config.model, "attention", None) for row in rows}
    assert forms["tables"].bias_form == "materialized"  # type: ignore[union-attr]
    assert forms["alibi"].bias_form == "fused"  # type: ignore[union-attr]
    with pytest.raises(GenrankError, match="hashes has no effect in any row"):
        plan_rows(
            load_study("bias"),
            "synthetic",
            "tiny",
            settings=[nested({"model.features.hashes": 2})],
        )


def test_settings_of_large_tables_are_warned_about_where_there_are_none(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.WARNING):
        small_trainer()
        assert not caplog.text
        small_trainer(sparse_decay=0.1)
        assert "training.sparse_decay has no effect" in caplog.text
        caplog.clear()
        monkeypatch.setattr("genrank_cli.models.embeddings.SPARSE_ROWS", 3)
        small_trainer(sparse_decay=0.1)
    assert not caplog.text


def test_statistics_that_the_data_has_not_are_refused() -> None:
    config = overlaid(small_config(), {"model": {"features": {"statistics": True}}})
    ready = prepared(config)
    from genrank_cli.models.build import build_ranker

    with pytest.raises(GenrankError, match="the dataset has no statistics"):
        build_ranker(config.model, ready.schema)
