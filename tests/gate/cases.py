"""Measurements that nothing was run for, and a suite of seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from genrank_cli.gate.measurement import Measurement, Pace, Quality
from genrank_cli.gate.suite import Suite

MODELS = ("genrank", "dlrm")
SEEDS = (0, 1, 2, 3, 4)
MACHINE = {
    "genrank": "0",
    "commit": None,
    "python": "3",
    "cpu": "one",
    "cores_usable": 2,
    "memory_bytes": 2**33,
    "torch": "2",
    "threads": 1,
    "attention": "native",
    "layer": "plain",
    "cuda": None,
}


def suite(**fields: Any) -> Suite:
    """One dataset, two models, small enough to be run in a test."""
    return Suite.model_validate(
        {
            "version": 1,
            "training": {"epochs": 1, "batch_events": 400},
            "quality": [
                {
                    "name": "feed",
                    "dataset": "synthetic",
                    "models": MODELS,
                    "seeds": SEEDS,
                    "tolerance": 0.004,
                    "options": {"users": 40, "items": 80, "requests": 8.0},
                    "set": {"model.width": 8},
                }
            ],
            "pace": {
                "quality": "feed",
                "models": MODELS,
                "attention": ["blockwise"],
                "rounds": 8,
                "tolerance": 0.1,
            },
        }
        | fields
    )


def quality(model: str = "genrank", change: float = 0.0, noise: float = 0.0) -> Quality:
    """AUCs whose seeds differ by more than ``change``; ``noise``: of the seeds, not the mean."""
    auc = 0.75 + 0.01 * np.random.default_rng(7).standard_normal(len(SEEDS)) + change
    shaken = np.random.default_rng(8).standard_normal(len(SEEDS))
    auc += noise * (shaken - shaken.mean())
    return Quality(part="feed", model=model, data_hash="d" * 64, seeds=SEEDS, auc=tuple(auc))


def pace(seed: int = 0, rounds: int = 24, hits: float = 0.05, **factors: float) -> Pace:
    """Rounds with 3 % noise, a wandering machine, and some that something else disturbed."""
    draw = np.random.default_rng(seed)
    drift = np.exp(np.cumsum(draw.normal(0, 0.02, rounds)))
    seconds = {"yardstick": 0.02, "genrank step": 0.05, "dlrm step": 0.08}
    times = {}
    for name, base in seconds.items():
        noisy = base * drift * np.exp(draw.normal(0, 0.03, rounds))
        noisy *= np.where(draw.random(rounds) < hits, draw.uniform(1.3, 3, rounds), 1.0)
        times[name] = tuple(noisy * factors.get(name.split()[0], 1.0))
    return Pace(data_hash="d" * 64, yardstick="yardstick", rounds_s=times)


def measurement(**fields: Any) -> Measurement:
    """A whole one, unless fields say otherwise."""
    found = suite()
    return Measurement.model_validate(
        {
            "suite_version": 1,
            "suite_hash": found.hash,
            "quality": tuple(quality(model) for model in MODELS),
            "pace": pace(),
            "environment": MACHINE,
            "wall_s": 1.5,
        }
        | fields
    )


def small_suite(**fields: Any) -> Suite:
    """`suite` with three seeds."""
    [part] = suite().quality
    return suite(quality=[part.model_dump() | {"seeds": (0, 1, 2)}], **fields)
