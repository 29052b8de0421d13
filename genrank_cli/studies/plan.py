"""From a study and the user's settings to the rows of its table and the cells behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genrank_cli.data.build import dataset_name
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from genrank_cli.models.presets import preset
from genrank_cli.studies.study import Study
from genrank_cli.training.config import ExperimentConfig, layered, nested
from genrank_cli.training.run import Cell


@dataclass(frozen=True)
class Row:
    """One line of the study's table; ``changes`` is what it alters in its preset."""

    name: str
    label: str
    role: Literal["variant", "reference"]
    preset: str
    changes: dict[str, Any]
    config: ExperimentConfig

    def cell(self, seed: int, store: Store) -> Cell:
        """The run of this row with ``seed`` on ``store``."""
        return Cell(self.config, seed, store.manifest.data_hash)


def plan_rows(
    study: Study,
    dataset: str,
    size: str,
    *,
    variants: Sequence[str] | None = None,
    settings: Sequence[Mapping[str, Any]] = (),
) -> list[Row]:
    """Rows of ``study`` on ``dataset``, a store or a card's file: base, variants, references.

    ``settings`` (nested, later ones win) go on top of every row: the same training for all.
    Settings of ``model`` go to the rows whose model has such a field.
    """
    common = [{"data": {"dataset": dataset_name(dataset)}}, *settings]
    wanted = [
        (variant.name, variant.title, "variant", variant.preset, variant.set)
        for variant in study.select(variants)
    ]
    wanted += [
        (reference.name, reference.label or reference.name, "reference", reference.preset, {})
        for reference in study.references
    ]
    _check_used([fields for fields in common if "model" in fields], [w[3] for w in wanted], size)
    return [
        Row(
            name=name,
            label=label,
            role="variant" if role == "variant" else "reference",
            preset=chosen,
            changes=dict(changes),
            config=layered(
                chosen,
                size,
                *(_known_to(preset(chosen, size).model_dump(), layer) for layer in common),
                nested(changes),
            ),
        )
        for name, label, role, chosen, changes in wanted
    ]


def _known_to(model: Mapping[str, Any], layer: Mapping[str, Any]) -> dict[str, Any]:
    """``layer`` without the model settings that this model has no field for."""
    kept = dict(layer)
    if "model" in kept:
        kept["model"] = _common_keys(kept["model"], model)
    return kept


def _common_keys(settings: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _common_keys(value, fields[key])
        if isinstance(value, Mapping) and isinstance(fields[key], Mapping)
        else value
        for key, value in settings.items()
        if key in fields
    }


def _check_used(layers: Sequence[Mapping[str, Any]], presets: Sequence[str], size: str) -> None:
    models = [preset(name, size).model_dump() for name in presets]
    for layer in layers:
        for path in _leaves(layer["model"]):
            if not any(_has(model, path) for model in models):
                raise GenrankError(
                    f"no model of this study has the field model.{'.'.join(path)}",
                    "genrank train --model NAME --show-config prints a model's fields",
                )


def _leaves(settings: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (key, *rest)
        for key, value in settings.items()
        for rest in (_leaves(value) if isinstance(value, Mapping) else [()])
    ]


def _has(fields: Any, path: tuple[str, ...]) -> bool:
    if not path:
        return True
    return isinstance(fields, Mapping) and path[0] in fields and _has(fields[path[0]], path[1:])
