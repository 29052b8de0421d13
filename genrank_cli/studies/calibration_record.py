"""One calibration from its plan to its record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict

from genrank_cli.data.declare import Frozen
from genrank_cli.studies.calibration import (
    Effect,
    Plan,
    Rate,
    planted_effect,
    seed_rates,
    studies,
    tune,
    unadjusted_rate,
)
from genrank_cli.studies.calibration_runs import Pool, Workshop
from genrank_cli.studies.calibration_users import Scored, user_rates
from genrank_cli.training.environment import environment

RECORD_VERSION = 1


class CalibrationRecord(Frozen):
    """What was promised, what was found, and the AUC of every run, in the order of the seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: int = RECORD_VERSION
    key: str
    repetitions: int
    seeds: int
    pilots: int
    feed: dict[str, Any]
    settings: dict[str, Any]
    effect: Effect
    rates: list[Rate]
    auc: list[float]
    auc_planted: list[float]
    runs: int
    environment: dict[str, Any]


def calibrate(
    plan: Plan,
    workshop: Workshop,
    folder: Path,
    deadline: float | None = None,
    on_run: Callable[[int], None] = lambda finished: None,
) -> CalibrationRecord:
    """Train what is missing in ``folder``, then judge all repetitions.

    `deadline` as in `Pool`; `on_run` hears how many runs there are after each. Raises
    `GenrankError` (6) when the time is over.
    """
    pool = Pool(workshop, folder, deadline, on_run)
    users = tune(pool, plan)
    made = studies(pool, plan, users)
    effect = planted_effect(made, users, workshop.train_users)
    base = pool.aucs(workshop.train_users, range(2 * plan.seeds * plan.repetitions))
    planted = pool.aucs(users, range(plan.seeds * plan.repetitions))
    scored = _scored(workshop, plan, users)
    return CalibrationRecord(
        key=workshop.key,
        repetitions=plan.repetitions,
        seeds=plan.seeds,
        pilots=plan.pilots,
        feed=workshop.card.model_dump(mode="json", include={"name", "version", "options", "split"}),
        settings=workshop.config.model_dump(mode="json"),
        effect=effect,
        rates=[
            *seed_rates(made, effect),
            unadjusted_rate(made),
            *user_rates(scored, plan.repetitions),
        ],
        auc=base.tolist(),
        auc_planted=planted.tolist(),
        runs=pool.finished,
        environment=environment(),
    )


def _scored(workshop: Workshop, plan: Plan, users: int) -> Scored:
    """Scores of the first study of the planted kind for all test users."""
    seeds = range(plan.seeds)
    labels, user = workshop.test_rows
    base = [workshop.test_scores(seed, workshop.train_users) for seed in seeds]
    variant = [workshop.test_scores(seed, users) for seed in seeds]
    return Scored(labels, user, np.stack(base), np.stack(variant))
