"""Layers of settings, and errors that name the path, the value and the reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.training.config import (
    ExperimentConfig,
    TrainingConfig,
    layered,
    nested,
    overlaid,
    read_settings,
    validate,
)


def test_later_layers_win_and_leave_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[training]\nepochs = 3\npatience = 1\n[model]\nwidth = 32\nblocks = 5\n")
    config = layered(
        "genrank",
        "base",
        read_settings(file),
        nested({"training.epochs": 4, "model.width": 48}),
        {"training": {"epochs": 6}},
    )
    model: Any = config.model
    assert config.training.epochs == 6  # flag over --set over file over default
    assert model.width == 48  # --set over file over preset
    assert model.blocks == 5  # file over preset
    assert config.training.patience == 1
    assert model.heads == 4  # the size
    assert model.attention.bias == "alibi"  # the preset
    assert config.training.clip == TrainingConfig().clip  # the default


def test_overlaid_keeps_the_original() -> None:
    config = layered("hstu", "tiny")
    other = overlaid(config, {"model": {"attention": {"bias": "none"}}})
    one, two = (c.model.model_dump() for c in (config, other))
    assert one["attention"].pop("bias") == "rab"
    assert two["attention"].pop("bias") == "none"
    assert one == two


def test_layers_are_read_only() -> None:
    """One layer serves many rows of a study: a later layer must not write into it."""
    first, second = {"training": {"epochs": 3}}, {"training": {"epochs": 5}}
    assert layered("hstu", "tiny", first, second).training.epochs == 5
    assert (first, second) == ({"training": {"epochs": 3}}, {"training": {"epochs": 5}})
    assert layered("hstu", "tiny", first).training.epochs == 3


def test_nested() -> None:
    settings = {"model.attention.bias": "none", "model.width": 8, "seed": 1}
    assert nested(settings) == {"model": {"attention": {"bias": "none"}, "width": 8}, "seed": 1}


def test_a_resolved_configuration_reads_back_as_itself() -> None:
    for name in ("hstu", "genrank", "dlrm", "rates"):
        config = layered(name, "tiny")
        assert validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("training.epohcs", 3, "training.epohcs does not exist; did you mean 'epochs'"),
        ("model.attention.bais", "none", "model.attention.bais does not exist .*'bias'"),
        ("data.samples.zzz", 1, "zzz does not exist; allowed: candidates, history, .* window"),
        ("traning.epochs", 1, "traning does not exist; did you mean 'training'"),
        ("data.tasks", 3, r"data.tasks = 3: it is a list, written \[3\]"),
        ("model.recent", 3, "model.recent does not exist for this model"),
        ("nothing", 3, "nothing does not exist"),
        ("training.epochs", "many", "training.epochs = 'many': .*integer"),
        ("training.epochs", 0, "training.epochs = 0: .*greater than or equal to 1"),
        ("training", 3, "training = 3: "),
        ("model.dropout", 1.0, "model.dropout = 1.0: .*less than 1"),
        ("model.width", 1, "width 1 is not a multiple of heads"),
        ("model.attention.history", "ful", "model.attention.history = 'ful': .*'causal'"),
        ("data.samples.organization", "packd", "data.samples.organization = 'packd': unknown"),
        ("model.organization", "interleavd", "model.organization = 'interleavd': .*interleaved"),
        ("model.attention.bias", "alibbi", "model.attention.bias = 'alibbi': .*alibi"),
        ("model.attention.backend", "blokwise", "model.attention.backend = 'blokwise': .*blockw"),
    ],
)
def test_errors_name_the_path_and_the_reason(path: str, value: Any, reason: str) -> None:
    with pytest.raises(GenrankError, match=reason) as caught:
        layered("hstu", "tiny", nested({path: value}))
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_a_list_of_tasks_may_be_one_name_or_names_with_commas() -> None:
    for given, tasks in (("click", ("click",)), ("click, dwell", ("click", "dwell"))):
        assert layered("dlrm", "tiny", nested({"data.tasks": given})).data.tasks == tasks


def test_a_weight_of_a_task_that_is_not_trained_is_refused() -> None:
    settings = nested({"data.tasks": "click", "training.task_weights": {"clik": 1.0}})
    with pytest.raises(GenrankError, match=r"unknown task in training.task_weights 'clik'.*click"):
        layered("hstu", "tiny", settings)


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(GenrankError, match=r"training\.epochs.*; .*training\.patience"):
        layered("hstu", "tiny", nested({"training.epochs": 0, "training.patience": 0}))


def test_full_history_leaks_in_packed_samples_and_is_refused() -> None:
    full = nested({"model.attention.history": "full"})
    with pytest.raises(GenrankError, match="leaks labels into earlier candidates"):
        layered("hstu", "tiny", full)
    grouped = layered("hstu", "tiny", full, nested({"data.samples.organization": "grouped"}))
    assert grouped.data.samples.organization == "grouped"


def test_frozen() -> None:
    config = layered("hstu", "tiny")
    with pytest.raises(Exception, match="frozen"):
        config.training = config.training  # type: ignore[misc]
    assert isinstance(config, ExperimentConfig)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"a = [", "not TOML"), (b"\xff", "not TOML")]
)
def test_settings_files_that_cannot_be_read(
    content: bytes | None, reason: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(GenrankError, match=reason) as caught:
        read_settings(file)
    assert str(file) in caught.value.message
