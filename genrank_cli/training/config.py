"""The whole experiment as one frozen tree: data, model, training."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, ValidationError, model_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.data.samples import SampleConfig
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.presets import preset
from genrank_cli.training.refusals import refusal


class DataConfig(Frozen):
    """Which events are learnt from, and how they are cut into samples."""

    dataset: str = "synthetic"
    split: str | None = Field(None, description="a split's name; none = the dataset card's")
    tasks: tuple[str, ...] = Field((), description="main task first; none = all binary tasks")
    limit: int | None = Field(None, ge=1, description="use only this many users: a partial result")
    samples: SampleConfig = SampleConfig()


class TrainingConfig(Frozen):
    """Optimisation; the same for every variant of a study."""

    epochs: int = Field(6, ge=1)
    patience: int = Field(4, ge=1, description="epochs without a better validation AUC, then stop")
    batch_events: int = Field(1536, ge=1, description="history + candidate events of a batch")
    workers: int = Field(0, ge=0, description="threads that prepare batches; changes no result")
    learning_rate: float = Field(3e-3, gt=0)
    embedding_learning_rate: float = Field(1e-2, gt=0)
    sparse_learning_rate: float = Field(
        3e-2, gt=0, description="of tables with sparse gradients (row-wise Adagrad)"
    )
    weight_decay: float = Field(0.1, ge=0)
    embedding_decay: float = Field(
        2.0, ge=0, description="of dense tables; those with sparse gradients have sparse_decay"
    )
    sparse_decay: float = Field(
        0.0, ge=0, description="of a row of a sparse table, in the steps that touch it only"
    )
    warmup: float = Field(0.05, ge=0, lt=1, description="share of all steps")
    clip: float = Field(1.0, gt=0, description="largest norm of the gradient")
    task_weights: dict[str, NonNegativeFloat] = Field(
        default={}, description="of the tasks' losses; 1 for a task that is not named"
    )


class ExperimentConfig(Frozen):
    """Everything that decides a result, apart from the seed and the data's content."""

    data: DataConfig = DataConfig()
    model: ModelConfig
    training: TrainingConfig = TrainingConfig()

    @model_validator(mode="after")
    def _not_refused(self) -> ExperimentConfig:
        reason = refusal(self.data.samples, self.model)
        if reason is not None:
            raise ValueError(reason)
        return self


def layered(model: str, size: str, *layers: Mapping[str, Any]) -> ExperimentConfig:
    """The preset ``model`` at ``size``, with nested settings laid over it one after the other."""
    return _merged({"model": preset(model, size).model_dump()}, layers)


def overlaid(config: ExperimentConfig, *layers: Mapping[str, Any]) -> ExperimentConfig:
    """``config`` with nested settings laid over it."""
    return _merged(config.model_dump(), layers)


def nested(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``{"model.blocks": 3}`` → ``{"model": {"blocks": 3}}``."""
    tree: dict[str, Any] = {}
    for path, value in settings.items():
        *parents, last = path.split(".")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise GenrankError(f"{path}: {parent} is a value, not a group of fields")
        node[last] = value
    return tree


def read_settings(file: Path) -> dict[str, Any]:
    """The settings of a TOML file, for ``--config FILE``."""
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise GenrankError(f"--config {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise GenrankError(f"--config {file}: not TOML: {error}") from None


def validate(tree: Mapping[str, Any]) -> ExperimentConfig:
    """The configuration of a nested mapping; errors name the path, the value and the reason."""
    try:
        return ExperimentConfig.model_validate(tree)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        hint = "genrank train --show-config prints every field with its value"
        raise GenrankError("configuration: " + "; ".join(lines), hint) from None


def _explain(item: Mapping[str, Any]) -> str:
    # pydantic puts the discriminator's value into the path as if it were a key.
    kinds = {"generative", "dlrm", "rates"}
    path = ".".join(str(part) for part in item["loc"] if part not in kinds)
    if item["type"] == "extra_forbidden":
        return f"{path} does not exist" + (" for this model" if path.startswith("model.") else "")
    message = item["msg"].removeprefix("Value error, ")
    if isinstance(item["input"], Mapping):  # the whole section is at fault, not one value
        return f"{path}: {message}" if path else message
    return f"{path} = {item['input']!r}: {message}" if path else message


def _merged(tree: dict[str, Any], layers: Iterable[Mapping[str, Any]]) -> ExperimentConfig:
    for layer in layers:
        _merge(tree, layer)
    return validate(tree)


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = copy.deepcopy(value)
