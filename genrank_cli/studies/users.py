"""The evaluation sample's own uncertainty: users resampled, seeds held."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from genrank_cli.errors import data_error
from genrank_cli.metrics.bootstrap import bootstrap_contrast
from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.claims import Claim
from genrank_cli.studies.measure import Measurements
from genrank_cli.training.run import read_predictions


def auc_over_users(found: Measurements, weighted: Sequence[tuple[float, str]]) -> Interval | None:
    """Interval of Σ weight · AUC over (weight, row), for the seeds that all rows have."""
    runs = [found.records.get(row, {}) for _, row in weighted]
    seeds = [seed for seed in runs[0] if all(seed in one for one in runs)]
    if not seeds:
        return None
    score = f"score.{found.task}"
    first = read_predictions(runs[0][seeds[0]])
    terms = []
    for (weight, row), one in zip(weighted, runs, strict=True):
        tables = [read_predictions(one[seed]) for seed in seeds]
        _same_events(first, tables, row)
        terms.append((weight, [table[score].to_numpy() for table in tables]))
    label, user = first[f"label.{found.task}"].to_numpy(), first["user"].to_numpy()
    return bootstrap_contrast(label, terms, user, seed=0)


def _same_events(first: pl.DataFrame, tables: Sequence[pl.DataFrame], row: str) -> None:
    """Raise `GenrankError` (data) where predictions are of other events than the ``first`` ones."""
    if not all(table["row"].equals(first["row"]) for table in tables):
        raise data_error(
            f"{row} was tested on other events than the row beside it: nothing to compare",
            "run it again with --force",
        )


def claim_over_users(found: Measurements, claim: Claim, base: str) -> Interval | None:
    """The same contrast as the claim's, where it is about the main task's AUC on all events."""
    whole = claim.slice == "all" and (claim.versus is None or claim.versus.slice == "all")
    if claim.metric != "auc" or claim.task != "main" or claim.kind != "difference" or not whole:
        return None
    times = claim.versus.times if claim.versus else 0.0
    weights = (1.0, -1.0, -times, times)
    rows = claim.rows(base)
    return auc_over_users(found, list(zip(weights, rows, strict=False)))
