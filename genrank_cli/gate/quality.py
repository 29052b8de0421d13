"""The AUC half of the suite: every model and seed trained afresh, a core each."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from genrank_cli.data.build import build_store
from genrank_cli.data.card import load_card, override
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.gate.measurement import Failure, Quality
from genrank_cli.gate.suite import QualityPart, Suite
from genrank_cli.paths import store_path
from genrank_cli.studies.cells import Execution, Outcome, run_cells
from genrank_cli.studies.plan import Row
from genrank_cli.training.config import ExperimentConfig, layered, nested

OnCell = Callable[[str], None]


def open_part(part: QualityPart) -> Store | str:
    """The part's store, or why optional data are left out; generated data are built when absent.

    A generated feed is kept under a name of its own with the hash of its card, so that it neither
    meets the user's nor an older one. Raises `GenrankError` (5) for data that must be there.
    """
    card = load_card(part.dataset)
    if card.source == "synthetic":
        card = override(card, {"options": part.options})
        return build_store(card, name=f"{card.name}-gate-{card.hash[:8]}").store
    try:
        return _built(part.dataset)
    except GenrankError as error:  # absent, damaged, or built by another version
        if not part.optional:
            raise
        return f"{error.message} ({error.hint})"


def _built(dataset: str) -> Store:
    path = store_path(dataset)
    if path.exists():
        return Store.open(path)
    raise data_error(f"dataset {dataset!r} is not built", f"run: genrank data build {dataset}")


def configuration(suite: Suite, part: QualityPart, model: str) -> ExperimentConfig:
    """What is trained: the preset at size tiny with the suite's settings."""
    common = {"data": {"dataset": part.dataset}, "training": suite.training}
    return layered(model, "tiny", common, nested(part.set))


def run_quality(
    suite: Suite, part: QualityPart, store: Store, jobs: int, on_cell: OnCell = lambda name: None
) -> Iterator[Quality | Failure]:
    """Train every model of ``part`` with every seed; one `Quality` or `Failure` a model.

    One thread a run, whatever the machine has: sums are then added in the same order everywhere.
    """
    rows = [
        Row(model, model, "variant", model, {}, configuration(suite, part, model))
        for model in part.models
    ]
    done: dict[str, dict[int, Outcome]] = {model: {} for model in part.models}
    # Finished runs must never be reused: the code may have changed since.
    with tempfile.TemporaryDirectory(prefix="genrank-check-") as folder:
        execution = Execution(Path(folder), torch.device("cpu"), threads=1, jobs=jobs)
        for outcome in run_cells(rows, part.seeds, store, execution):
            done[outcome.row][outcome.seed] = outcome
            on_cell(f"{part.name} {outcome.row} {outcome.seed}")
    for model, outcomes in done.items():
        yield _collect(part, model, store.manifest.data_hash, outcomes)


def _collect(
    part: QualityPart, model: str, data_hash: str, outcomes: Mapping[int, Outcome]
) -> Quality | Failure:
    aucs: dict[int, float] = {}
    for seed in part.seeds:
        outcome = outcomes[seed]
        if outcome.record is None:
            return Failure(id=f"auc/{part.name}/{model}", reason=f"seed {seed}: {outcome.error}")
        record: dict[str, Any] = outcome.record
        aucs[seed] = record["test"][record["tasks"][0]]["auc"]
    return Quality(
        part=part.name,
        model=model,
        data_hash=data_hash,
        seeds=tuple(aucs),
        auc=tuple(aucs.values()),
    )
