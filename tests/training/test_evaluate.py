"""A finished run scored again: the same numbers, on any part, and only on the same data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.errors import GenrankError
from genrank_cli.training.config import overlaid
from genrank_cli.training.evaluate import evaluate_run
from genrank_cli.training.run import Cell, Record, run_cell
from tests.training.small import CPU, small_config

MODELS = ("genrank", "dlrm", "rates")


@pytest.fixture(scope="module", autouse=True)
def records(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Record]]:
    """A finished run of every model on a small feed on disk."""
    options = {"users": 60, "items": 120, "requests": 8.0, "topics": 4, "authors": 10}
    card = Card.model_validate(load_card("synthetic").model_dump() | {"options": options})
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENRANK_HOME", str(tmp_path_factory.mktemp("home")))
        store = build_store(card, name="small").store
        runs = tmp_path_factory.mktemp("runs")
        done = {}
        for model in MODELS:
            config = overlaid(small_config(model, epochs=1), {"data": {"dataset": "small"}})
            cell = Cell(config, 0, store.manifest.data_hash)
            done[model] = run_cell(cell, store, runs, CPU, threads=1)
        yield done
    torch.set_num_threads(threads)


@pytest.mark.parametrize("model", MODELS)
def test_evaluation_repeats_the_runs_own_numbers(model: str, records: dict[str, Record]) -> None:
    found, table = evaluate_run(Path(records[model]["folder"]), device="cpu", threads=1)
    assert found["part"] == "test"
    for task, metrics in records[model]["test"].items():
        assert found["metrics"][task] == pytest.approx(metrics, abs=1e-6)
    assert "truth.click" in table.columns


def test_other_parts_are_other_events(records: dict[str, Record]) -> None:
    folder = Path(records["genrank"]["folder"])
    tables = [evaluate_run(folder, part=p, device="cpu")[1] for p in ("train", "valid", "test")]
    rows = [set(table["row"].to_list()) for table in tables]
    assert not rows[0] & rows[1]
    assert not rows[1] & rows[2]
    assert len(rows[0]) > len(rows[1]) > 0


def test_packed_and_request_by_request_give_the_same_auc(records: dict[str, Record]) -> None:
    """The histories differ only beyond what is kept, so let all of it be kept."""
    folder = Path(records["dlrm"]["folder"])
    results = []
    for organization in ("packed", "grouped", "pointwise"):
        samples = {"organization": organization, "history": 10_000, "window": 10_000}
        found, _ = evaluate_run(folder, settings=[{"data": {"samples": samples}}], device="cpu")
        results.append(found["metrics"]["click"]["auc"])
    assert results[1:] == pytest.approx(results[:1] * 2, abs=1e-6)


def test_unknown_part_and_unfinished_run(tmp_path: Path, records: dict[str, Record]) -> None:
    with pytest.raises(GenrankError, match=r"unknown part of the data 'tset'"):
        evaluate_run(Path(records["rates"]["folder"]), part="tset", device="cpu")
    with pytest.raises(GenrankError, match="not a finished run") as caught:
        evaluate_run(tmp_path, device="cpu")
    assert caught.value.exit_code == 5


def test_other_data_is_refused(tmp_path: Path, records: dict[str, Record]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for file in Path(records["genrank"]["folder"]).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tree = json.loads((folder / "config.json").read_text())
    tree["run"]["data_hash"] = "of yesterday"
    (folder / "config.json").write_text(json.dumps(tree))
    with pytest.raises(GenrankError, match="trained on other data") as caught:
        evaluate_run(folder, device="cpu")
    assert caught.value.exit_code == 5
