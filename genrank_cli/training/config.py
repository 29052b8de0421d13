"""The whole experiment as one frozen tree: data, model, training."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, NonNegativeFloat, ValidationError, field_validator, model_validator

from genrank_cli.data.declare import Frozen
from genrank_cli.data.samples import SampleConfig
from genrank_cli.errors import GenrankError, one_of
from genrank_cli.models.config import ModelConfig
from genrank_cli.models.presets import preset
from genrank_cli.training.explain import explain
from genrank_cli.training.idle import Idle, idle_settings
from genrank_cli.training.refusals import refusal


class DataConfig(Frozen):
    """Which events are learnt from, and how they are cut into samples."""

    dataset: str = "synthetic"
    split: str | None = Field(None, description="a split's name; none = the dataset card's")
    tasks: tuple[str, ...] = Field((), description="main task first; none = all binary tasks")
    limit: int | None = Field(None, ge=1, description="use only this many users: a partial result")
    samples: SampleConfig = SampleConfig()

    @field_validator("tasks", mode="before")
    @classmethod
    def _names_with_commas(cls, given: Any) -> Any:
        return [name.strip() for name in given.split(",")] if isinstance(given, str) else given


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
        reason = refusal(self.data.samples, self.model, training=False)
        if reason is not None:
            raise ValueError(reason)
        for task in self.training.task_weights if self.data.tasks else ():
            one_of("task in training.task_weights", task, self.data.tasks)
        return self


def layered(model: str, size: str, *layers: Mapping[str, Any]) -> ExperimentConfig:
    """The preset ``model`` at ``size``, with nested settings laid over it one after the other."""
    return validate(_laid({"model": preset(model, size).model_dump()}, layers))


def layered_row(
    model: str, size: str, common: Sequence[Mapping[str, Any]], own: Mapping[str, Any]
) -> tuple[ExperimentConfig, list[Idle]]:
    """As `layered`, for one of several rows that share the settings ``common``.

    What of ``common`` has no effect in this row is left out of it, and returned.
    """
    start = {"model": preset(model, size).model_dump()}
    idle = idle_settings(_parsed(_laid(copy.deepcopy(start), (*common, own))))
    left_out = [one for one in idle if any(_names(layer, one.path) for layer in common)]
    for one in left_out:
        common = [_without(layer, one.path.split(".")) for layer in common]
    return validate(_laid(start, (*common, own))), left_out


def overlaid(
    config: ExperimentConfig, *layers: Mapping[str, Any], training: bool = True
) -> ExperimentConfig:
    """``config`` with nested settings laid over it, each of which must have an effect.

    ``training`` false: for scoring a model that is trained already, so that what concerns training
    alone is not refused.
    """
    made = _parsed(_laid(config.model_dump(), layers), training=training)
    _refuse_idle(made, layers)
    return made


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


def validate(tree: Mapping[str, Any], *, training: bool = True) -> ExperimentConfig:
    """The configuration of a nested mapping; errors name the path, the value and the reason.

    ``training`` false: of a model that is trained already.
    """
    config = _parsed(tree, training=training)
    if training:
        _refuse_idle(config, (tree,))
    return config


def _parsed(tree: Mapping[str, Any], *, training: bool = True) -> ExperimentConfig:
    try:
        config = ExperimentConfig.model_validate(tree)
    except ValidationError as error:
        raise _wrong(*(explain(item, ExperimentConfig) for item in error.errors())) from None
    reason = refusal(config.data.samples, config.model, training=training)
    if reason is not None:
        raise _wrong(reason)
    return config


def _refuse_idle(config: ExperimentConfig, layers: Iterable[Mapping[str, Any]]) -> None:
    """Raise `GenrankError` where a setting that ``layers`` name has no effect."""
    named = [*layers]
    idle = [one for one in idle_settings(config) if any(_names(layer, one.path) for layer in named)]
    if idle:
        raise _wrong(*(one.sentence(config) for one in idle))


def _wrong(*lines: str) -> GenrankError:
    hint = "genrank train --show-config prints every field with its value"
    return GenrankError("configuration: " + "; ".join(lines), hint)


def _laid(tree: dict[str, Any], layers: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """``tree``, with ``layers`` merged into it."""
    for layer in layers:
        _merge(tree, layer)
    return tree


def _merge(tree: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(tree.get(key), dict):
            _merge(tree[key], value)
        else:
            tree[key] = copy.deepcopy(value)


def _names(layer: Mapping[str, Any], path: str) -> bool:
    """Whether ``layer`` has a value at a dotted path."""
    node: Any = layer
    for key in path.split("."):
        if not isinstance(node, Mapping) or key not in node:
            return False
        node = node[key]
    return True


def _without(layer: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    """``layer`` but for what stands at the path ``keys``."""
    first, *rest = keys
    if first not in layer or (rest and not isinstance(layer[first], Mapping)):
        return dict(layer)
    if not rest:
        return {key: value for key, value in layer.items() if key != first}
    return {**layer, first: _without(layer[first], rest)}
