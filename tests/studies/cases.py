"""A study of two variants and two references, and records that no training made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genrank_cli.studies.cells import Outcome
from genrank_cli.studies.plan import Row, plan_rows
from genrank_cli.studies.study import Study


def small() -> dict[str, Any]:
    """Settings that make a cell train in a second."""
    return {
        "data": {"samples": {"history": 10, "window": 12}},
        "model": {"width": 8, "blocks": 1, "heads": 2, "dropout": 0.1, "hidden": [8]},
        "training": {"epochs": 2, "batch_events": 200},
    }


def study(**fields: Any) -> Study:
    return Study.model_validate(
        {
            "name": "small",
            "version": 1,
            "title": "A study",
            "question": "Does it?",
            "base": "rab",
            "variants": [
                {"name": "rab", "preset": "hstu"},
                {"name": "none", "preset": "hstu", "set": {"model.attention.bias": "none"}},
                {"name": "alibi", "preset": "hstu", "set": {"model.attention.bias": "alibi"}},
            ],
            "references": [
                {"name": "dlrm", "label": "DLRM", "preset": "dlrm"},
                {"name": "rates", "preset": "rates"},
            ],
        }
        | fields
    )


def rows(*settings: dict[str, Any], variants: list[str] | None = None) -> list[Row]:
    return plan_rows(study(), "memory", "tiny", variants=variants, settings=[small(), *settings])


def claim(name: str, metric: str, kind: str, reported: float, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"small.{metric}",
        "variant": name,
        "metric": metric,
        "kind": kind,
        "reported": reported,
        "source": "a paper",
    } | fields


def outcome(row: str, seed: int, auc: float, folder: Path, users: int = 12) -> Outcome:
    """A finished cell whose predictions get better with ``auc``."""
    random = np.random.default_rng(seed)
    place = folder / f"{row}-{seed}"
    place.mkdir(parents=True)
    label = np.tile([0.0, 1.0, 0.0, 1.0], users).astype(np.float32)
    pl.DataFrame(
        {
            "row": np.arange(4 * users),
            "user": np.repeat(np.arange(users), 4).astype(np.uint32),
            "label.click": label,
            "score.click": (auc * label + random.random(4 * users)).astype(np.float32),
        }
    ).write_parquet(place / "predictions.parquet")
    record = {
        "key": f"{row}-{seed}",
        "tasks": ["click"],
        "split": "user-temporal",
        "partial": False,
        "test": {"click": {"auc": auc, "log_loss": 0.5 + seed}},
        "training": {"parameters": 100, "train_s": 2.0 + seed},
        "folder": str(place),
    }
    return Outcome(row, seed, record)
