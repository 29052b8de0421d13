"""From a study and the user's settings to the rows of its table and the cells behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genrank_cli.data.build import dataset_name
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from genrank_cli.models.presets import preset
from genrank_cli.studies.study import Need, Study, Variant
from genrank_cli.training.config import ExperimentConfig, layered_row, nested
from genrank_cli.training.idle import Idle, refuse_unused
from genrank_cli.training.run import Cell

#: Events of a store's mean request from which its candidates can be told from single events.
REQUEST_EVENTS = 2


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

    ``settings`` (nested, later ones win) go on top of the study's own and on every row: the same
    training for all. Settings of ``model`` go to the rows whose model has such a field, and what
    has no effect in a row is left out of it; but some row must use it.
    """
    common = [{"data": {"dataset": dataset_name(dataset)}}, nested(study.settings), *settings]
    wanted = [
        (variant.name, variant.title, "variant", variant.preset, variant.set)
        for variant in study.select(variants)
    ]
    wanted += [
        (reference.name, reference.label or reference.name, "reference", reference.preset, {})
        for reference in study.references
    ]
    _check_used([fields for fields in common if "model" in fields], [w[3] for w in wanted], size)
    planned = [_configured(w[3], size, common, w[4]) for w in wanted]
    refuse_unused([one for _, left in planned for one in left], [config for config, _ in planned])
    return [
        Row(
            name=name,
            label=label,
            role="variant" if role == "variant" else "reference",
            preset=chosen,
            changes=dict(changes),
            config=config,
        )
        for (name, label, role, chosen, changes), (config, _) in zip(wanted, planned, strict=True)
    ]


def unmet(variant: Variant, store: Store) -> str:
    """What ``variant`` needs and ``store`` does not have, as a reason; empty: nothing."""
    manifest = store.manifest
    has: dict[Need, bool] = {
        "content": manifest.content_width > 0,
        "windows": manifest.windows is not None,
        "tasks": sum(task.kind == "binary" for task in manifest.tasks) > 1,
        "requests": manifest.counts.events >= REQUEST_EVENTS * manifest.counts.requests,
        "user_profile": bool(manifest.user_fields or manifest.user_numbers),
        "context": bool(manifest.context or manifest.event_numbers),
    }
    words: dict[Need, str] = {
        "content": "content vectors",
        "windows": "window statistics",
        "tasks": "second binary task",
        "requests": f"requests of {REQUEST_EVENTS} events or more on average",
        "user_profile": "fields of users",
        "context": "context columns",
    }
    missing = [words[need] for need in variant.needs if not has[need]]
    return f"{manifest.name} has no {' and no '.join(missing)}" if missing else ""


def _configured(
    chosen: str, size: str, common: Sequence[Mapping[str, Any]], changes: Mapping[str, Any]
) -> tuple[ExperimentConfig, list[Idle]]:
    """The configuration of a row, and what of ``common`` has no effect there."""
    fields = preset(chosen, size).model_dump()
    known = [_known_to(fields, layer) for layer in common]
    return layered_row(chosen, size, known, nested(changes))


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
