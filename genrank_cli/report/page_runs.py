"""Learning curves from the run folders that a study's record names, where they still exist."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrank_cli.report.page_load import Study
from genrank_cli.studies.record import StudyRecord


@dataclass(frozen=True)
class Curve:
    """Validation AUC after each epoch of one run, and the training seconds up to then."""

    row: str
    seed: int
    epoch: tuple[float, ...]
    train_s: tuple[float, ...]
    auc: tuple[float, ...]


@dataclass(frozen=True)
class Curves:
    """The curves that were found; ``found`` of ``named`` run folders are there and are this data's.

    Runs that train nothing (smoothed rates) have a folder and no curve.
    """

    curves: list[Curve]
    found: int
    named: int


def learning_curves(study: Study) -> Curves:
    """Curves of the record's runs, in its order."""
    curves, found, named = [], 0, 0
    for row in study.record.rows:
        for seed, folder in zip(row.seeds, row.runs, strict=False):
            named += 1
            place = _folder(study, folder)
            if place is None or not _belongs(place, study.record, seed):
                continue
            found += 1
            curve = _curve(place, row.name, seed)
            if curve is not None:
                curves.append(curve)
    return Curves(curves, found, named)


def _folder(study: Study, named: str) -> Path | None:
    """Where a run folder is: as it was named, or near the record."""
    path, beside = Path(named), study.file.parent
    places = (path, beside / path.name, beside / "runs" / path.name, beside.parent / path.name)
    return next((place for place in places if (place / "result.json").is_file()), None)


def _belongs(folder: Path, record: StudyRecord, seed: int) -> bool:
    """Whether the folder holds that seed on the record's data: another run's curve would lie."""
    result = _json((folder / "result.json").read_text(encoding="utf-8"))
    return result.get("seed") == seed and result.get("data_hash") == record.data_hash


def _curve(folder: Path, row: str, seed: int) -> Curve | None:
    file = folder / "metrics.jsonl"
    if not file.is_file():
        return None
    lines = [_json(line) for line in file.read_text(encoding="utf-8").splitlines()]
    points = [
        (float(line["epoch"]) + 1, float(line["train_s"]), float(line["valid_auc"]))
        for line in lines
        if all(_finite(line.get(key)) for key in ("epoch", "train_s", "valid_auc"))
    ]
    if not points:
        return None
    epoch, train_s, auc = zip(*points, strict=True)
    return Curve(row, seed, epoch, train_s, auc)


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _json(text: str) -> Mapping[str, Any]:
    try:
        fields = json.loads(text)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
