"""Running the cells of a study: failures stay single, and processes change no number."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.data.store import Store
from genrank_cli.errors import GenrankError
from genrank_cli.studies import cells
from genrank_cli.studies.cells import Execution, Outcome, Status, run_cells
from genrank_cli.training.run import run_cell
from tests.studies.cases import rows
from tests.training.small import small_store

CPU = torch.device("cpu")


def execution(runs: Path, **fields: Any) -> Execution:
    return Execution(runs, CPU, threads=1, **fields)


def ran(outcomes: Iterator[Outcome]) -> dict[tuple[str, int], Outcome]:
    return {(outcome.row, outcome.seed): outcome for outcome in outcomes}


def test_every_row_and_seed_has_an_outcome_and_is_reused(tmp_path: Path) -> None:
    planned = rows(variants=["none"])
    first = ran(run_cells(planned, [0, 1], small_store(), execution(tmp_path)))
    assert list(first) == [(row.name, seed) for seed in (0, 1) for row in planned]
    assert all(o.record is not None and not o.reused and not o.error for o in first.values())
    again = ran(run_cells(planned, [0, 1, 2], small_store(), execution(tmp_path)))
    assert {key for key, outcome in again.items() if outcome.reused} == set(first)
    assert all(again[key].record == first[key].record for key in first)
    assert list(again)[: len(first)] == list(first)  # finished cells come first


def test_forced_cells_run_again(tmp_path: Path) -> None:
    planned = rows(variants=["none"])[:1]
    for forced in (False, True):
        (only,) = run_cells(planned, [0], small_store(), execution(tmp_path, force=forced))
        assert not only.reused


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (GenrankError("the loss is nan"), "the loss is nan"),
        (OSError(28, "No space left on device"), "OSError: [Errno 28] No space left on device"),
        (RuntimeError("a shape"), "RuntimeError: a shape"),
    ],
    ids=["genrank", "disk", "internal"],
)
def test_a_failing_cell_leaves_the_others(
    error: Exception, shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = rows(variants=["none"])

    def failing(cell: Any, *arguments: Any, **options: Any) -> Any:
        if cell.config == planned[1].config and cell.seed == 0:
            raise error
        return run_cell(cell, *arguments, **options)

    monkeypatch.setattr(cells, "run_cell", failing)
    outcomes = ran(run_cells(planned, [0, 1], small_store(), execution(tmp_path)))
    assert len(outcomes) == 2 * len(planned)
    assert {key for key, o in outcomes.items() if o.record is None} == {("none", 0)}
    assert outcomes["none", 0].error == shown
    # The same command tries again what failed, and only that.
    monkeypatch.setattr(cells, "run_cell", run_cell)
    again = ran(run_cells(planned, [0, 1], small_store(), execution(tmp_path)))
    assert [key for key, o in again.items() if not o.reused] == [("none", 0)]


def test_interrupts_are_not_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*arguments: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(cells, "run_cell", interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(run_cells(rows()[:1], [0], small_store(), execution(tmp_path)))


def test_status_counts_steps_up_to_the_total(tmp_path: Path) -> None:
    seen: list[Status] = []
    list(run_cells(rows()[:1], [3], small_store(), execution(tmp_path), seen.append))
    assert {(status.row, status.seed) for status in seen} == {("rab", 3)}
    done = [status.done for status in seen]
    assert done == sorted(done)
    assert done[-1] == seen[-1].total == seen[0].total
    assert seen[-1].valid_auc > 0
    assert all(status.loss >= 0 for status in seen)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A feed of about two thousand exposures on disk, as worker processes need it."""
    options = {"users": 40, "items": 120, "requests": 8.0, "topics": 4, "authors": 10}
    card = Card.model_validate(load_card("synthetic").model_dump() | {"options": options})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(tmp_path_factory.mktemp("home")))
        yield build_store(card, name="small").store


@pytest.mark.slow
def test_processes_change_no_number(built: Store, tmp_path: Path) -> None:
    planned = rows(variants=["none"])
    seen: list[Status] = []
    one = ran(run_cells(planned, [0, 1], built, execution(tmp_path / "one")))
    two = ran(run_cells(planned, [0, 1], built, execution(tmp_path / "two", jobs=2), seen.append))
    assert one.keys() == two.keys()
    for key, outcome in one.items():
        a, b = outcome.record, two[key].record
        assert a is not None
        assert b is not None
        assert a["test"] == b["test"]
        assert (a["key"], a["data_hash"], a["tasks"]) == (b["key"], b["data_hash"], b["tasks"])
        assert [e["valid_auc"] for e in a["training"]["epochs"]] == [
            e["valid_auc"] for e in b["training"]["epochs"]
        ]
        for file in ("weights.safetensors", "config.json"):
            assert (Path(a["folder"]) / file).read_bytes() == (
                Path(b["folder"]) / file
            ).read_bytes()
        tables = [pl.read_parquet(Path(r["folder"]) / "predictions.parquet") for r in (a, b)]
        assert tables[0].equals(tables[1])
    assert {(s.row, s.seed) for s in seen} == {k for k in one if k[0] != "rates"}


@pytest.mark.slow
def test_a_dead_process_is_an_outcome(built: Store, tmp_path: Path) -> None:
    deadly: Any = Deadly()
    broken = replace(rows()[0], config=deadly)
    # Forced, or the parent would look for the folder of this impossible configuration.
    outcomes = ran(run_cells([broken], [0, 1], built, execution(tmp_path, jobs=2, force=True)))
    assert [o.error for o in outcomes.values()] == [
        "the process died: out of memory? try --jobs 1"
    ] * 2


class Deadly:
    """A configuration that ends the process that unpacks it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (9,)
