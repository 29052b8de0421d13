"""A finished run scored again: the same numbers, on any part, and only on the same data."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from genrank_cli.data.build import build_store, ensure_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.data.splits import Part, assign_split
from genrank_cli.errors import GenrankError
from genrank_cli.models.config import RatesConfig
from genrank_cli.models.rates import predict_rates
from genrank_cli.training.config import overlaid
from genrank_cli.training.evaluate import _chosen, evaluate_run
from genrank_cli.training.prepare import prepare
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
        samples = {"organization": organization, "history": 10_000}
        samples |= {"window": 10_000} if organization == "packed" else {}
        found, _ = evaluate_run(folder, settings=[{"data": {"samples": samples}}], device="cpu")
        results.append(found["metrics"]["click"]["auc"])
    assert results[1:] == pytest.approx(results[:1] * 2, abs=1e-6)


def test_a_generative_model_keeps_its_fixed_n(records: dict[str, Record]) -> None:
    """Samples that hold nothing but what is seen anyway: the scores are those of the training's."""
    folder = Path(records["genrank"]["folder"])
    tables = []
    for samples in (
        {"organization": "packed", "history": 8, "window": 1},
        {"organization": "grouped", "history": 8},
        {"organization": "grouped", "history": 9},
    ):
        found, table = evaluate_run(folder, settings=[{"data": {"samples": samples}}], device="cpu")
        assert found["events"] == records["genrank"]["test"]["click"]["events"]
        tables.append(table["score.click"].to_numpy())
    np.testing.assert_allclose(tables[0], tables[1], atol=1e-5)
    assert np.abs(tables[1] - tables[2]).max() > 1e-4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": {"attention": {"window": 3}}}, "model is that of the run"),
        ({"data": {"tasks": ["click"]}}, r"data\.tasks is that of the run"),
        ({"data": {"samples": {"history": 11}}}, "made for 22"),
    ],
)
def test_what_another_model_would_need_is_refused(
    settings: dict[str, Any], message: str, records: dict[str, Record]
) -> None:
    with pytest.raises(GenrankError, match=message) as caught:
        evaluate_run(Path(records["genrank"]["folder"]), settings=[settings], device="cpu")
    assert caught.value.exit_code == 2
    assert caught.value.hint


def test_a_loss_on_history_does_not_keep_from_packed_samples(tmp_path: Path) -> None:
    """What is refused of training alone; a leak stays refused."""
    samples = {"organization": "grouped", "history": 22}
    layers = {"data": {"dataset": "small", "samples": samples}, "model": {"history_loss": 0.5}}
    config = overlaid(small_config("hstu", epochs=1), layers)
    store = ensure_store("small")
    trained = run_cell(Cell(config, 0, store.manifest.data_hash), store, tmp_path, CPU, threads=1)
    folder = Path(trained["folder"])
    packed = {"organization": "packed", "history": 10, "window": 12}
    found, table = evaluate_run(folder, settings=[{"data": {"samples": packed}}], device="cpu")
    own, expected = evaluate_run(folder, device="cpu")
    assert found["events"] == own["events"]
    # Requests without any older event than both keep score the same.
    scores, known = (one["score.click"].to_numpy() for one in (table, expected))
    assert np.abs(scores - known).min() < 1e-5
    with pytest.raises(GenrankError, match="window=3 has no effect"):
        evaluate_run(folder, settings=[{"data": {"samples": {"window": 3}}}], device="cpu")
    with pytest.raises(GenrankError, match=r"histories that overlap.*organization=grouped"):
        overlaid(config, {"data": {"samples": packed}})


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


@pytest.mark.parametrize("model", MODELS)
def test_what_the_run_was_trained_on_is_left_out_and_counted(
    model: str, records: dict[str, Record], caplog: pytest.LogCaptureFixture
) -> None:
    store = ensure_store("small")
    split = store.manifest.split
    fitted = assign_split(store, split) == Part.TRAIN
    other = assign_split(store, split.named("user")) == Part.TEST
    both = int((fitted & other).sum())
    assert 0 < both < other.sum()
    with caplog.at_level(logging.WARNING):
        found, table = evaluate_run(
            Path(records[model]["folder"]), settings=[{"data": {"split": "user"}}], device="cpu"
        )
    assert table["row"].to_list() == np.flatnonzero(other & ~fitted).tolist()
    assert (found["events"], found["left_out"], found["trained_on"]) == (len(table), both, 0)
    assert f"{both:,} of {other.sum():,} events of the test part" in caplog.text


def test_rates_stay_those_of_the_training_events(records: dict[str, Record]) -> None:
    store = ensure_store("small")
    _, table = evaluate_run(
        Path(records["rates"]["folder"]), settings=[{"data": {"split": "user"}}], device="cpu"
    )
    expected = predict_rates(
        RatesConfig(),
        (store.column("user"), store.column("item")),
        store.column("task.click").astype(float),
        assign_split(store, store.manifest.split) == Part.TRAIN,
        table["row"].to_numpy(),
        "binary",
    )
    assert table["score.click"].to_numpy() == pytest.approx(expected, abs=1e-6)


def test_training_events_are_scored_only_when_they_are_asked_for(
    records: dict[str, Record], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(records["rates"]["folder"])
    found, table = evaluate_run(folder, part="train", device="cpu")
    assert found["trained_on"] == found["events"] == len(table) > 0
    assert "were trained on by this run; they are scored" in caplog.text
    own = evaluate_run(folder, device="cpu")[0]
    assert (own["trained_on"], own["left_out"]) == (0, 0)
    assert own["events"] > 0


def test_a_part_of_training_events_only_is_refused(records: dict[str, Record]) -> None:
    store = ensure_store("small")
    prepared = prepare(store, overlaid(small_config("rates"), {"data": {"dataset": "small"}}))
    trained = replace(prepared, fitted=prepared.part != Part.TRAIN)
    with pytest.raises(
        GenrankError, match=r"test part .* trained on by this run: nothing"
    ) as caught:
        _chosen(trained, "test")
    assert caught.value.exit_code == 5
