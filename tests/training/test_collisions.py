"""The collisions of hashed ids are in the log and in the record of a run."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch

from genrank_cli.models.hashing import hashed_row
from genrank_cli.training.collisions import collision_record
from genrank_cli.training.config import ExperimentConfig, overlaid
from genrank_cli.training.run import Cell, run_cell
from tests.training.small import CPU, prepared, small_config, small_store


def hashed(model: str = "genrank", **features: int | bool) -> ExperimentConfig:
    return overlaid(small_config(model, epochs=1), {"model": {"features": features}})


def test_ids_and_training_events_are_counted() -> None:
    ready = prepared(hashed(item_hash=20, user_hash=4, user_id=True))
    found = collision_record(ready)
    store, fitted = ready.store, ready.fitted
    assert 0 < fitted.sum() < len(fitted)
    for name, rows, ids in (("item", 20, 30), ("user", 4, 16)):
        row = hashed_row(torch.arange(ids), rows).numpy()
        shared = np.bincount(row, minlength=rows)[row] > 1
        assert found[name]["shared_ids"] == shared.sum()
        codes = store.column(name)[fitted]
        assert found[name]["shared_events_share"] == shared[codes].mean()
        assert 0 < shared.mean() <= 1


def test_pieces_change_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepared(hashed(item_hash=20))
    whole = collision_record(ready)
    monkeypatch.setattr("genrank_cli.training.collisions.PIECE", 7)
    assert collision_record(ready) == whole


def test_nothing_is_counted_where_nothing_is_hashed() -> None:
    assert collision_record(prepared(hashed())) == {}
    assert collision_record(prepared(small_config("rates"))) == {}


def test_ids_of_gates_are_counted() -> None:
    layers = {"features": {"item_id": False, "item_hash": 9}, "modules": {"ppnet": True}}
    config = overlaid(small_config(), {"model": layers})
    assert collision_record(prepared(config))["item"]["shared_ids"] > 0


def test_a_run_records_and_says_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "genrank_cli")
    store = small_store()
    cell = Cell(hashed(item_hash=20), 0, store.manifest.data_hash)
    record = run_cell(cell, store, tmp_path, CPU, threads=1)
    found = record["training"]["collisions"]["item"]
    assert (found["ids"], found["rows"], found["hashes"]) == (30, 20, 1)
    share = f"{found['shared_ids_share']:.2%} of the ids"
    assert f"item ids: 30 in 20 rows, 1 of them for each id: {share}" in caplog.text
    plain = Cell(small_config(epochs=1), 0, store.manifest.data_hash)
    assert run_cell(plain, store, tmp_path, CPU, threads=1)["training"]["collisions"] == {}


def test_a_hash_that_saves_nothing_is_pointed_out(caplog: pytest.LogCaptureFixture) -> None:
    collision_record(prepared(hashed(item_hash=30)))
    assert "model.features.item_hash saves no memory" in caplog.text
