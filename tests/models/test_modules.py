"""How modules are turned on and off; those that are off do nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from genrank_cli.cli.options import parse_overrides
from genrank_cli.errors import GenrankError
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import DlrmConfig, GenerativeConfig
from genrank_cli.models.modules.config import ModulesConfig, module_file
from genrank_cli.training.config import ExperimentConfig, layered, validate
from tests.models.cases import LOG, make_model, make_schema, model_config
from tests.models.module_cases import (
    CASES,
    MODULES,
    RANKERS,
    long_batcher,
    whole,
    with_modules,
)

NAMES = tuple(ModulesConfig.model_fields)


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_module_leaves_the_other_weights_as_they_would_be(ranker: str) -> None:
    """Modules are made last: with and without one, the same seed gives the same ranker."""
    plain = make_model(ranker, LOG).state_dict()
    assert not any(name.startswith("extra") for name in plain)
    for name in ("ppnet", *(("din", "sim-hard", "sim-soft") if ranker != "dlrm" else ())):
        torch.manual_seed(0)
        fresh = build_ranker(model_config(ranker, modules=MODULES[name]), make_schema(LOG))
        torch.manual_seed(0)
        without = build_ranker(model_config(ranker), make_schema(LOG)).state_dict()
        weights = fresh.state_dict()
        assert {key for key in weights if not key.startswith("extra.")} == set(without)
        assert all(torch.equal(weights[key], value) for key, value in without.items())


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_plain_ranker_ends_in_its_bottom_and_output(ranker: str) -> None:
    model: Any = make_model(ranker, LOG)
    bottom = model.mlp if ranker == "dlrm" else model.head
    inputs: list[Tensor] = []
    bottom.register_forward_pre_hook(lambda module, given: inputs.append(given[0]))
    with torch.no_grad():
        found = model(whole(long_batcher(LOG)))
        x = inputs[0]
        for layer in bottom.children():
            x = layer(x)
        assert torch.equal(found, model.output(x))


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_long_history_alone_changes_no_score(ranker: str) -> None:
    model = make_model(ranker, LOG)
    with torch.no_grad():
        one, other = (model(whole(long_batcher(LOG, long_history=n))) for n in (0, 14))
    assert torch.equal(one, other)


# The configuration


def configured(ranker: str, *settings: str) -> ExperimentConfig:
    return layered(ranker, "tiny", parse_overrides(settings))


def modules_of(config: ExperimentConfig) -> Any:
    assert isinstance(config.model, GenerativeConfig | DlrmConfig)
    return config.model.modules


@pytest.mark.parametrize("ranker", RANKERS)
def test_a_setting_turns_its_module_on(ranker: str) -> None:
    search = ("model.modules.sim.kind=soft", "data.samples.long_history=10")
    config = configured(ranker, "model.modules.ple.experts=4", *search)
    modules = modules_of(config)
    assert modules.ple.experts == 4
    assert modules.ple.shared == module_file("ple").SETTINGS().shared
    assert modules.sim.kind == "soft"
    assert modules.ppnet is None
    assert modules.chosen().keys() == {"sim", "ple"}
    assert validate(config.model_dump(mode="json")) == config


def test_true_stands_for_the_defaults_and_false_for_off() -> None:
    modules = modules_of(configured("genrank", "model.modules.din=true", "model.modules.ple=false"))
    assert modules.din == module_file("din").SETTINGS()
    assert modules.chosen().keys() == {"din"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("model.modules.ple.experts=0", r"model\.modules\.ple\.experts = 0: .*greater than"),
        ("model.modules.ple.expert=2", r"model\.modules\.ple\.expert does not exist.*'experts'"),
        ("model.modules.plee.experts=2", r"model\.modules\.plee does not exist.*'ple'"),
        ("model.modules.sim.k=2", r"sim\.k does not exist.*allowed: field, gap_width, heads, kind"),
        ("model.modules.sim.kind=hrad", r"model\.modules\.sim\.kind = 'hrad'.*'hard' or 'soft'"),
        ("model.modules.sim=3", r"model\.modules\.sim = 3"),
    ],
)
def test_a_wrong_setting_is_named(setting: str, message: str) -> None:
    with pytest.raises(GenrankError, match=message):
        configured("hstu", setting)


def test_the_dlrm_has_its_own_target_attention() -> None:
    with pytest.raises(GenrankError, match=r"modules\.din is for generative models.*recent"):
        configured("dlrm", "model.modules.din=true")


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_a_file_with_settings_and_a_class(name: str) -> None:
    file = module_file(name)
    assert file.SETTINGS().model_config["frozen"]
    assert file.MODULE.slot in {"interest", "gate", "bottom"}


def test_without_a_long_history_sim_says_what_to_set() -> None:
    model = with_modules("genrank", "sim-hard", LOG)
    with pytest.raises(GenrankError, match="no long history") as caught:
        model(whole(long_batcher(LOG, long_history=0)))
    assert "data.samples.long_history" in caught.value.hint


def test_a_category_that_the_items_lack_is_named() -> None:
    with pytest.raises(GenrankError, match=r"unknown field of the items 'topik'.*did you|topic"):
        make_model("hstu", LOG, modules={"sim": {"field": "topik"}})


def test_gates_need_a_hidden_layer() -> None:
    with pytest.raises(GenrankError, match="no hidden layer to scale"):
        make_model("dlrm", LOG, hidden=[], modules={"ppnet": True})


@pytest.mark.parametrize(("ranker", "name"), CASES)
def test_a_fresh_model_predicts_the_starting_level(ranker: str, name: str) -> None:
    model: Any = build_ranker(model_config(ranker, modules=MODULES[name]), make_schema(LOG)).eval()
    model.output.start_at([-1.5, 3.0])
    with torch.no_grad():
        found = model(whole(long_batcher(LOG)))
    assert (found == torch.tensor([-1.5, 3.0])).all()
