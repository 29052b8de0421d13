"""Run folders: kept, reused, resumed, and refused where they are damaged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.auc import auc
from genrank_cli.models.build import build_ranker
from genrank_cli.training import loop
from genrank_cli.training.config import overlaid
from genrank_cli.training.loop import Trainer
from genrank_cli.training.predict import score
from genrank_cli.training.run import Cell, finished, load_run, read_predictions
from tests.training.small import CPU, prepared, run, small_cell, small_config, small_store

FILES = {
    "config.json",
    "environment.json",
    "metrics.jsonl",
    "predictions.parquet",
    "result.json",
    "weights.safetensors",
}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C."""


def interrupt_at(epoch: int, step: int) -> Any:
    def observe(trainer: Trainer) -> None:
        if (trainer.progress.epoch, trainer.progress.step) == (epoch, step):
            raise Interrupted

    return observe


@pytest.mark.parametrize("model", ["hstu", "genrank", "dlrm", "rates"])
def test_a_run_leaves_a_whole_folder(model: str, tmp_path: Path) -> None:
    record = run(small_cell(model), tmp_path)
    folder = Path(record["folder"])
    expected = FILES if model != "rates" else FILES - {"metrics.jsonl"}
    assert {file.name for file in folder.iterdir()} == expected
    assert list(tmp_path.iterdir()) == [folder]
    assert json.loads((folder / "result.json").read_text()) == record
    assert 0 <= record["test"]["click"]["auc"] <= 1
    assert record["tasks"] == ["click"]
    assert not record["partial"]


def test_the_record_is_what_the_saved_weights_score(tmp_path: Path) -> None:
    cell = small_cell()
    record = run(cell, tmp_path)
    folder = Path(record["folder"])
    config, described, weights = load_run(folder)
    assert config == cell.config
    assert (described["seed"], described["data_hash"]) == (0, cell.data_hash)
    data = prepared(config)
    model = build_ranker(config.model, data.schema)
    model.load_state_dict(weights)
    rows, scores = score(model, data.test, data.schema.kinds, CPU)
    table = read_predictions(record)
    assert table["row"].to_list() == rows.tolist() == np.flatnonzero(data.part == 2).tolist()
    assert table["score.click"].to_numpy() == pytest.approx(scores[:, 0], abs=1e-6)
    labels = data.store.column("task.click")[rows]
    assert np.array_equal(table["label.click"].to_numpy(), labels)
    assert record["test"]["click"]["auc"] == pytest.approx(auc(labels, scores[:, 0]), abs=1e-6)
    best = record["training"]["epochs"][record["training"]["best_epoch"]]
    assert best["valid_auc"] == max(e["valid_auc"] for e in record["training"]["epochs"])
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == record["training"]["epochs"]


def test_a_finished_cell_is_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = small_cell()
    assert finished(cell, tmp_path) is None
    record = run(cell, tmp_path)
    monkeypatch.setattr(Trainer, "train_step", _must_not_run)
    assert run(cell, tmp_path) == record == finished(cell, tmp_path)
    with pytest.raises(AssertionError, match="trained"):
        run(cell, tmp_path, force=True)


def _must_not_run(self: Trainer, batch: object) -> float:
    raise AssertionError("trained")


def test_a_run_folder_can_be_moved(tmp_path: Path) -> None:
    cell = small_cell("rates")
    run(cell, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    record = run(cell, tmp_path / "there")
    assert len(read_predictions(record)) > 0


@pytest.mark.parametrize(("epoch", "step"), [(0, 2), (1, 0), (2, 1)])
def test_an_interrupted_run_resumes_to_the_same_weights(
    epoch: int, step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    cell = small_cell()
    whole = Path(run(cell, tmp_path / "whole")["folder"])
    with pytest.raises(Interrupted):
        run(cell, tmp_path / "cut", observe=interrupt_at(epoch, step))
    folder = cell.folder(tmp_path / "cut")
    assert (folder / "checkpoint.pt").exists()
    assert not (folder / "result.json").exists()
    steps: list[int] = []
    record = run(cell, tmp_path / "cut", observe=lambda t: steps.append(t.progress.epoch))
    assert min(steps) >= epoch - 1  # it went on; it did not start over
    assert _bytes(folder) == _bytes(whole)
    assert {file.name for file in folder.iterdir()} == FILES
    assert len(record["training"]["epochs"]) == 3


def _bytes(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def test_forcing_forgets_the_checkpoint(tmp_path: Path) -> None:
    cell = small_cell()
    with pytest.raises(Interrupted):
        run(cell, tmp_path, observe=interrupt_at(1, 1))
    steps: list[int] = []
    run(cell, tmp_path, force=True, observe=lambda t: steps.append(t.progress.epoch))
    assert steps[0] == 0


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    cell = small_cell()
    with pytest.raises(Interrupted):
        run(cell, tmp_path, observe=interrupt_at(1, 1))
    file = cell.folder(tmp_path) / "checkpoint.pt"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(GenrankError, match="cannot be read") as caught:
        run(cell, tmp_path)
    assert caught.value.exit_code == 5
    assert str(file) in caught.value.message
    assert str(file) in caught.value.hint
    file.unlink()
    assert run(cell, tmp_path)["key"] == cell.key


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    cell = small_cell("rates")
    file = Path(run(cell, tmp_path)["folder"]) / "result.json"
    file.write_text(file.read_text()[:50])
    for use in (lambda: run(cell, tmp_path), lambda: finished(cell, tmp_path)):
        with pytest.raises(GenrankError, match="is damaged") as caught:
            use()
        assert caught.value.exit_code == 5
        assert str(file) in caught.value.message
        assert str(file.parent) in caught.value.hint


def test_runs_that_cannot_be_loaded(tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match=r"not a finished run: config\.json is missing"):
        load_run(tmp_path)
    folder = Path(run(small_cell("rates"), tmp_path)["folder"])
    weights = folder / "weights.safetensors"
    weights.write_bytes(b"\x10")
    with pytest.raises(GenrankError, match="cannot be read") as caught:
        load_run(folder)
    assert caught.value.exit_code == 5
    weights.unlink()
    with pytest.raises(GenrankError, match=r"weights\.safetensors is missing"):
        load_run(folder)


def test_the_key_is_all_that_decides_the_result() -> None:
    config = small_config()
    cells = [
        Cell(config, 0, "a"),
        Cell(config, 1, "a"),
        Cell(config, 0, "b"),
        Cell(overlaid(config, {"training": {"clip": 2.0}}), 0, "a"),
        Cell(overlaid(config, {"model": {"features": {"context": False}}}), 0, "a"),
        Cell(overlaid(config, {"data": {"limit": 3}}), 0, "a"),
    ]
    assert len({cell.key for cell in cells}) == len(cells)
    assert Cell(small_config(), 0, "a").key == cells[0].key


def test_another_split_on_the_card_is_other_data() -> None:
    manifest = small_store().manifest
    split = manifest.split.model_copy(update={"train": 0.75, "valid": 0.05})
    assert manifest.model_copy(update={"split": split}).data_hash != manifest.data_hash
    assert manifest.model_copy(update={"name": "other"}).data_hash == manifest.data_hash
    assert small_cell().data_hash == manifest.data_hash


def test_a_dataset_name_cannot_leave_the_runs_folder(tmp_path: Path) -> None:
    config = overlaid(small_config(), {"data": {"dataset": "../../elsewhere"}})
    assert Cell(config, 0, "a").folder(tmp_path).parent == tmp_path


def test_a_limit_marks_the_result_partial(tmp_path: Path) -> None:
    config = overlaid(small_config("rates"), {"data": {"limit": 8}})
    record = run(Cell(config, 0, "x"), tmp_path)
    assert record["partial"]
    assert set(read_predictions(record)["user"].to_list()) <= set(range(8))


def test_a_failed_write_leaves_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(weights: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    cell = small_cell()
    with monkeypatch.context() as patch:
        patch.setattr("genrank_cli.training.run.save_file", full)
        with pytest.raises(OSError, match="No space left"):
            run(cell, tmp_path)
    folder = cell.folder(tmp_path)
    assert not (folder / "result.json").exists()
    assert not (folder / "weights.safetensors").exists()
    assert not list(folder.glob(".*"))
    run(cell, tmp_path)
    assert load_file(folder / "weights.safetensors")


def test_one_class_only_is_refused_before_training(tmp_path: Path) -> None:
    store = small_store()
    data = prepared(small_config(), store)
    click = store.column("task.click").copy()
    click[data.part == 1] = 0
    store._columns["task.click"] = click
    with pytest.raises(GenrankError, match=r"valid part of memory .*one class of task 'click'"):
        prepared(small_config(), store)


def test_unknown_and_unfit_tasks() -> None:
    for tasks, reason in (
        (["clck"], r"unknown task of memory 'clck'; allowed: click, dwell"),
        (["dwell"], "the main task must be binary"),
    ):
        config = overlaid(small_config(), {"data": {"tasks": tasks}})
        with pytest.raises(GenrankError, match=reason):
            prepared(config)


def test_two_tasks_are_trained_and_reported_together(tmp_path: Path) -> None:
    config = overlaid(small_config(), {"data": {"tasks": ["click", "dwell"]}})
    record = run(Cell(config, 0, "x"), tmp_path)
    assert list(record["test"]) == ["click", "dwell"]
    table = read_predictions(record)
    assert np.isfinite(table["score.dwell"].to_numpy()).all()
    assert torch.tensor(table["score.click"].to_numpy()).min() > 0
