"""How long cells will take, from what the same configuration took before; never from a guess."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from genrank_cli.models.config import RatesConfig
from genrank_cli.studies.plan import Row

#: Settings of training that change how many epochs there are, not how long one takes.
NUMBER_OF_EPOCHS = ("epochs", "patience", "workers")

EpochSeconds = Mapping[str, float]


def epoch_seconds(runs: Path, data_hash: str, train_events: int) -> dict[str, float]:
    """Configuration → median training seconds of an epoch over ``train_events`` candidates.

    From the finished runs in ``runs``; for what was never run, from the speeds that were timed.
    """
    seconds = _timed(runs, data_hash, train_events) | _finished(runs, data_hash)
    return {key: median(values) for key, values in seconds.items()}


def _finished(runs: Path, data_hash: str) -> dict[str, list[float]]:
    """Configuration → seconds per epoch of each finished run."""
    seconds: dict[str, list[float]] = {}
    for file in runs.glob("*/result.json"):
        try:
            record = json.loads(file.read_text())
            config = json.loads((file.parent / "config.json").read_text())
            config.pop("run")
            epochs = len(record["training"]["epochs"])
            if record["data_hash"] == data_hash and epochs:
                spent = record["training"]["train_s"] / epochs
                seconds.setdefault(_key(config), []).append(spent)
        except (OSError, ValueError, KeyError):
            continue  # a damaged run tells nothing; running it again will say what is wrong
    return seconds


def _timed(runs: Path, data_hash: str, train_events: int) -> dict[str, list[float]]:
    """Configuration → seconds that an epoch would take at the pace of each timing round."""
    seconds: dict[str, list[float]] = {}
    for file in runs.glob("speed-*.json"):
        try:
            kept = json.loads(file.read_text())
            if kept["data_hash"] != data_hash:
                continue
            for name, config in kept["configs"].items():
                rounds, events = kept["speed"]["round_s"][name], kept["speed"]["events"][name]
                found = [train_events * spent / events for spent in rounds]
                seconds.setdefault(_key(config), []).extend(found)
        except (OSError, ValueError, KeyError):
            continue
    return seconds


def cell_seconds(row: Row, known: EpochSeconds) -> float | None:
    """Training seconds of a cell if no epoch is saved by early stopping; None = unknown."""
    if isinstance(row.config.model, RatesConfig):
        return 0.0
    epoch = known.get(_key(row.config.model_dump(mode="json")))
    return None if epoch is None else epoch * row.config.training.epochs


def total_seconds(rows: Iterable[Row], known: EpochSeconds) -> tuple[float, int]:
    """Seconds of the cells of ``rows`` that are known, and how many are not."""
    found = [cell_seconds(row, known) for row in rows]
    return sum(seconds for seconds in found if seconds is not None), found.count(None)


def _key(config: Mapping[str, Any]) -> str:
    kept = dict(config)
    kept["training"] = {
        name: value for name, value in config["training"].items() if name not in NUMBER_OF_EPOCHS
    }
    return json.dumps(kept, sort_keys=True)
