"""The evaluation sample's own uncertainty: users resampled, seeds held."""

from __future__ import annotations

from collections.abc import Sequence

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
    terms = [
        (weight, [read_predictions(one[seed])[score].to_numpy() for seed in seeds])
        for (weight, _), one in zip(weighted, runs, strict=True)
    ]
    first = read_predictions(runs[0][seeds[0]])
    label, user = first[f"label.{found.task}"].to_numpy(), first["user"].to_numpy()
    return bootstrap_contrast(label, terms, user, seed=0)


def claim_over_users(found: Measurements, claim: Claim, base: str) -> Interval | None:
    """The same contrast as the claim's, where it is about the main task's AUC on all events."""
    whole = claim.slice == "all" and (claim.versus is None or claim.versus.slice == "all")
    if claim.metric != "auc" or claim.task != "main" or claim.kind != "difference" or not whole:
        return None
    times = claim.versus.times if claim.versus else 0.0
    weights = (1.0, -1.0, -times, times)
    rows = claim.rows(base)
    return auc_over_users(found, list(zip(weights, rows, strict=False)))
