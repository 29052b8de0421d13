"""Timing in alternating rounds, on a clock of the test's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from genrank_cli.data.batch import Batch
from genrank_cli.errors import GenrankError
from genrank_cli.studies import speed
from genrank_cli.studies.speed import Speed, kept_speed, measure_speed
from genrank_cli.training.config import ExperimentConfig, overlaid
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import prepare
from tests.training.small import small_config, small_store

CPU = torch.device("cpu")


def configs() -> dict[str, ExperimentConfig]:
    return {
        name: small_config(model)
        for name, model in zip("abc", ("hstu", "genrank", "dlrm"), strict=True)
    }


def test_ratios_are_taken_round_by_round() -> None:
    found = Speed({"a": [2.0, 8.0], "b": [1.0, 4.0]}, {"a": 100, "b": 100}, "cpu", 1)
    assert found.ratios("a", "b") == [2.0, 2.0]  # the machine's pace, four times slower, is gone
    assert found.ratios("b", "a") == [0.5, 0.5]
    assert found.events_per_s("b") == [100.0, 25.0]


def test_a_row_with_more_events_in_a_round_is_faster_for_that() -> None:
    found = Speed({"a": [2.0], "b": [2.0]}, {"a": 100, "b": 300}, "cpu", 1)
    assert found.ratios("a", "b") == [3.0]


def test_outliers_are_counted_not_dropped() -> None:
    found = Speed({"a": [1.0, 1.1, 1.0, 1.6, 9.0]}, {"a": 100}, "cpu", 1)
    assert found.outliers("a") == 1
    assert len(found.ratios("a", "a")) == 5
    assert Speed({"a": [1.0, 1.0, 1.0, 1.51]}, {"a": 1}, "cpu", 1).outliers("a") == 1
    assert Speed({"a": [1.0, 1.0, 1.0, 1.49]}, {"a": 1}, "cpu", 1).outliers("a") == 0


def test_every_round_times_every_row_in_rotating_order(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, int]] = []

    def timed(trainer: Trainer, batches: list[Batch], device: torch.device) -> float:
        kind = {0: "a", 1: "b", 2: "c"}[order.setdefault(id(trainer), len(order))]
        calls.append((kind, id(batches)))
        return float(len(calls))

    order: dict[int, int] = {}
    monkeypatch.setattr(speed, "_time", timed)
    rounds: list[int] = []
    found = measure_speed(
        configs(), small_store(), CPU, rounds=4, threads=1, on_round=rounds.append
    )
    assert "".join(kind for kind, _ in calls) == "abc" + "abc" + "bca" + "cab" + "abc"
    assert len({batches for _, batches in calls}) == 1  # the very same batches for all
    assert rounds == [1, 2, 3, 4]
    # The first pass only warms up: its times 1, 2, 3 are in no round.
    assert found.round_s == {"a": [4, 9, 11, 13], "b": [5, 7, 12, 14], "c": [6, 8, 10, 15]}


def test_measured_for_real() -> None:
    found = measure_speed(configs(), small_store(), CPU, rounds=2, threads=1)
    assert set(found.round_s) == {"a", "b", "c"}
    assert all(len(times) == 2 and min(times) > 0 for times in found.round_s.values())
    assert all(0 < events <= 4 * 120 for events in found.events.values())
    assert (found.device, found.threads) == ("cpu", 1)


def test_rows_with_other_samples_get_their_own_batches() -> None:
    grouped = overlaid(small_config("genrank"), {"data": {"samples": {"organization": "grouped"}}})
    found = measure_speed(
        {"packed": small_config("genrank"), "grouped": grouped}, small_store(), CPU, rounds=1
    )
    assert found.events["packed"] > found.events["grouped"] > 0


@pytest.mark.parametrize("first", ["plain", "labelled"])
def test_rows_with_loss_on_history_train_on_the_samples_of_the_others(first: str) -> None:
    grouped = {"data": {"samples": {"organization": "grouped"}}}
    plain = overlaid(small_config("genrank"), grouped)
    labelled = overlaid(plain, {"model": {"history_loss": 0.5}})
    sampled = overlaid(plain, {"model": {"stochastic_length": 1.5}})
    rows = {"plain": plain, "labelled": labelled, "sampled": sampled}
    names = [first, *(name for name in rows if name != first)]
    trainers, batches = speed._set_up({name: rows[name] for name in names}, small_store(), CPU)
    for shown, other in zip(batches["plain"], batches["labelled"], strict=True):
        assert shown.rows.tolist() == other.rows.tolist()
        assert shown.history_labels is None
        assert other.history_labels is not None
    assert batches["sampled"] is batches["plain"]
    assert all(trainers[name].train_step(batches[name][0]) > 0 for name in rows)


def test_a_search_has_its_long_history_and_the_events_of_the_others() -> None:
    plain = small_config("genrank")
    samples = {"data": {"samples": {"history": 4, "long_history": 20}}}
    search = {"model": {"modules": {"sim": {"kind": "soft"}}}}
    rows = {"plain": overlaid(plain, {"data": {"samples": {"history": 4}}})}
    rows["sim"] = overlaid(plain, samples, search)
    trainers, batches = speed._set_up(rows, small_store(), CPU)
    for shown, other in zip(batches["plain"], batches["sim"], strict=True):
        assert shown.rows.tolist() == other.rows.tolist()
        assert other.long_history is not None
        assert trainers["sim"].train_step(other) > 0


def test_a_change_of_any_source_makes_old_times_worthless(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speed, "PACKAGE", tmp_path)
    hashes = {speed._code_hash()}
    for name in ("layer.py", "kernel.cpp", "tiles.h"):
        (tmp_path / name).write_text("1")
        hashes.add(speed._code_hash())
    assert len(hashes) == 4


def test_a_round_holds_short_and_long_batches() -> None:
    batcher = prepare(small_store(), small_config("genrank")).train
    order = batcher.in_order()
    found = [batch.rows.tolist() for batch in speed._typical(batcher, CPU)]
    assert len(order) >= len(found) == 4
    expected = [batcher.batch(order[int(len(order) * part / 8)]) for part in (1, 3, 5, 7)]
    assert found == [batch.rows.tolist() for batch in expected]


def kept(runs: Path, **changes: Any) -> Speed:
    fields: dict[str, Any] = {"machine": {"cpu": "one"}, "rounds": 2, "threads": 1} | changes
    machine = fields.pop("machine")
    return kept_speed(configs(), small_store(), CPU, runs, machine, **fields)


def test_a_measurement_is_kept_for_the_same_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter(range(1, 1000))
    monkeypatch.setattr(speed, "_time", lambda *arguments: float(next(times)))
    first = kept(tmp_path)
    assert kept(tmp_path) == first
    assert kept(tmp_path, machine={"cpu": "two"}) != first
    assert kept(tmp_path, rounds=3) != first
    assert kept(tmp_path, force=True) != first
    assert len(list(tmp_path.iterdir())) == 3
    monkeypatch.setattr(speed, "_code_hash", lambda: "other kernels")
    assert kept(tmp_path) != first


def test_a_damaged_measurement_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_time", lambda *arguments: 1.0)
    kept(tmp_path)
    (file,) = tmp_path.iterdir()
    for content in ("{", json.dumps({"speed": {"round_s": {}}}), "{}"):
        file.write_text(content)
        with pytest.raises(GenrankError, match="is damaged") as caught:
            kept(tmp_path)
        assert caught.value.exit_code == 5
        assert str(file) in caught.value.message
    assert kept(tmp_path, force=True).events["a"] > 0
