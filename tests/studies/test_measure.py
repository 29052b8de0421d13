"""Claims about other rows, tasks, slices and costs: which numbers are compared, from raw values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from genrank_cli.metrics.intervals import Interval
from genrank_cli.studies.assemble import Known, assemble
from genrank_cli.studies.claims import Claim
from genrank_cli.studies.factorial import auc_interaction, predicted_speed, speeds
from genrank_cli.studies.measure import Measurements, missing, terms
from genrank_cli.studies.record import StudyRecord
from genrank_cli.studies.slices import COLD_EVENTS, cold_items, item_slices, mean_slices
from genrank_cli.studies.speed import Speed
from genrank_cli.studies.study import Factorial
from genrank_cli.studies.users import claim_over_users
from tests.factory import make_store
from tests.studies.cases import claim, outcome, rows, study

TASKS = ("click", "like", "share")


def record(click: float, like: float, share: float, **training: Any) -> dict[str, Any]:
    """A run of three tasks; the GAUC is the AUC's double."""
    return {
        "tasks": list(TASKS),
        "test": {
            task: {"auc": auc, "gauc_user": 2 * auc}
            for task, auc in zip(TASKS, (click, like, share), strict=True)
        },
        "training": {"parameters": 100} | training,
    }


FOUND = Measurements(
    {
        "rab": {0: record(0.70, 0.60, 0.50), 1: record(0.72, 0.62, 0.54)},
        "none": {0: record(0.71, 0.63, 0.51), 1: record(0.74, 0.66, 0.52)},
        "alibi": {1: record(0.80, 0.70, 0.60, parameters=50)},
    },
    "click",
    Speed({"rab": [2.0, 4.0], "none": [1.0, 2.0]}, {"rab": 10, "none": 10}, "cpu", 1),
    {
        "rab": {0: {"cold": {"auc": 0.5}}, 1: {"cold": {"auc": 0.6}}},
        "none": {0: {"cold": {"auc": 0.55}}, 1: {"cold": {"auc": float("nan")}}},
    },
    {"rab": {"attention": 800}, "none": {"attention": 200}, "doubled": {"attention": 400}},
)


def value(fields: dict[str, Any]) -> dict[int, float]:
    """Per seed, the contrast of a claim about `none`."""
    made = Claim.model_validate(claim("none", "auc", "difference", 0.1) | fields)
    parts = terms(FOUND, made, "rab")
    keys = set.intersection(*(set(values) for _, values in parts))
    return {key: sum(sign * values[key] for sign, values in parts) for key in sorted(keys)}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, {0: 0.01, 1: 0.02}),
        ({"variant": "alibi"}, {1: 0.08}),
        ({"variant": "alibi", "base": "none"}, {1: 0.06}),
        ({"metric": "gauc_user"}, {0: 0.02, 1: 0.04}),
        ({"task": "others"}, {0: 0.02, 1: 0.01}),
        ({"task": "others", "metric": "gauc_user"}, {0: 0.04, 1: 0.02}),
        ({"slice": "cold-items"}, {0: 0.05}),
        ({"metric": "speed"}, {0: 5.0, 1: 2.5}),
        ({"variant": "alibi", "metric": "parameters"}, {0: -50.0, 1: -50.0}),
        ({"metric": "flops.attention"}, {0: -600.0, 1: -600.0}),
        ({"versus": {"variant": "alibi", "base": "rab", "times": 2}}, {1: 0.02 - 2 * 0.08}),
        (
            {"slice": "cold-items", "versus": {"variant": "none", "base": "rab"}},
            {0: 0.05 - 0.01},
        ),
    ],
)
def test_the_numbers_that_are_compared(fields: dict[str, Any], expected: dict[int, float]) -> None:
    assert value(fields) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"variant": "window"}, "auc was not measured for window"),
        ({"variant": "alibi", "metric": "speed"}, "speed was not measured for alibi"),
        (
            {"variant": "alibi", "slice": "cold-items"},
            "auc on cold-items was not measured for alibi",
        ),
    ],
)
def test_what_is_missing_is_named(fields: dict[str, Any], reason: str) -> None:
    made = Claim.model_validate(claim("none", "auc", "difference", 0.1) | fields)
    assert missing(FOUND, made, "rab") == reason


def test_a_dataset_of_one_task_has_no_others() -> None:
    only = {"tasks": ["click"], "test": {"click": {"auc": 0.7}}}
    found = Measurements({"rab": {0: only}, "none": {0: only}}, "click")
    made = Claim.model_validate(claim("none", "auc", "difference", 0.1, task="others"))
    assert missing(found, made, "rab") == "the dataset has one binary task only"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"untestable": "why"}, "either variant or untestable"),
        ({"variant": ""}, "either variant or untestable"),
        ({"direction": "up"}, "either reported, a number, or direction"),
        ({"reported": None}, "either reported, a number, or direction"),
        (
            {"kind": "ratio", "versus": {"variant": "alibi", "base": "rab"}},
            "versus compares differences",
        ),
        ({"slice": "cold-items", "metric": "ne"}, "of a slice only auc"),
        ({"versus": {"variant": "alibi", "base": "alibi"}}, "compares 'alibi' with itself"),
        (
            {"versus": {"variant": "alibi", "base": "rub"}},
            "claim 'small.auc': unknown variant 'rub'",
        ),
        ({"base": "none"}, "compares the base with itself"),
    ],
)
def test_claims_that_make_no_sense_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        study(claims=[claim("none", "auc", "difference", 0.1) | fields])


def test_statements_are_short() -> None:
    def statement(**fields: Any) -> str:
        return Claim.model_validate(claim("none", "auc", "difference", 0.0009) | fields).statement

    assert statement() == "+0.0009"
    assert statement(kind="ratio", reported=1.787) == "1.79×"
    assert statement(reported=0.0, tolerance=0.001) == "unchanged"
    assert statement(reported=None, direction="down") == "lower"
    assert statement(paper="below −0.0100") == "below −0.0100"


def test_the_prediction_for_both_changes_is_the_papers() -> None:
    assert predicted_speed(1.787, 1.25, 0.25) == pytest.approx(1.962, abs=0.001)
    assert predicted_speed(2.0, 1.0, 0.25) == 2.0  # a change that saves nothing adds nothing
    assert np.isnan(predicted_speed(10.0, 5.0, 0.25))


def test_interaction_and_prediction_take_the_rows_that_they_say() -> None:
    plan = Factorial(first="none", second="alibi", both="both", share=0.25)
    aucs = {"rab": 0.70, "none": 0.71, "alibi": 0.73, "both": 0.75}
    runs = {name: {s: record(auc, 0, 0) for s in (0, 1)} for name, auc in aucs.items()}
    seconds = {"rab": [4.0], "none": [2.0], "alibi": [3.2], "both": [1.9]}
    speed = Speed(seconds, dict.fromkeys(seconds, 10), "cpu", 1)
    found = Measurements(runs, "click", speed)
    interaction = auc_interaction(found, "rab", plan)
    assert interaction is not None
    assert interaction.mean == pytest.approx(0.01)
    both = speeds(found, "rab", plan)
    assert both is not None
    assert both[0].mean == pytest.approx(4 / 1.9)
    assert both[1].mean == pytest.approx(predicted_speed(2.0, 1.25, 0.25))
    assert speeds(Measurements(runs, "click"), "rab", plan) is None
    assert auc_interaction(Measurements({}, "click"), "rab", plan) is None


def test_users_are_resampled_for_the_same_contrast(tmp_path: Path) -> None:
    aucs = {"rab": 0.1, "none": 0.9, "alibi": 0.5}
    runs = {
        name: {s: outcome(name, s, auc, tmp_path).record or {} for s in (0, 1)}
        for name, auc in aucs.items()
    }
    found = Measurements(runs, "click")
    simple = claim("none", "auc", "difference", 0.1)

    def over_users(**fields: Any) -> Interval | None:
        return claim_over_users(found, Claim.model_validate(simple | fields), "rab")

    whole, other = over_users(), over_users(variant="alibi")
    both = over_users(versus={"variant": "alibi", "base": "rab", "times": 2})
    assert whole is not None
    assert other is not None
    assert both is not None
    assert 0 < whole.low < whole.mean < whole.high
    assert both.mean == pytest.approx(whole.mean - 2 * other.mean)
    assert over_users(metric="gauc_user") is over_users(task="others") is None
    assert over_users(slice="cold-items") is over_users(kind="ratio") is None


def test_cold_items_have_few_training_events() -> None:
    """Item 0 as many training events as make it warm, item 1 one fewer, item 2 in test only."""
    store = make_store(lengths=(60, 60))
    item = store.column("item")
    item[:] = np.repeat([0, 1, 2], [COLD_EVENTS, COLD_EVENTS - 1, len(item) - 2 * COLD_EVENTS + 1])
    found = cold_items(store, item < 2)
    assert found[:3].tolist() == [False, True, True]
    assert len(found) == len(store.items.ids)


def test_slices_are_those_of_the_predictions(tmp_path: Path) -> None:
    pl.DataFrame(
        {
            "item": [0, 0, 1, 1, 2, 2],
            "label.click": np.array([0, 1, 0, 1, 0, 1], np.float32),
            "score.click": np.array([1, 2, 2, 1, 1, 2], np.float32),
        }
    ).write_parquet(tmp_path / "predictions.parquet")
    cold = np.array([False, True, False])
    found = item_slices({"folder": str(tmp_path)}, "click", cold)
    assert found["cold"] == {"auc": 0.0, "events": 2.0, "positives": 1.0}
    assert found["warm"] == {"auc": 1.0, "events": 4.0, "positives": 2.0}
    none = item_slices({"folder": str(tmp_path)}, "click", np.zeros(3, bool))
    assert np.isnan(none["cold"]["auc"])
    means = mean_slices({0: found, 1: {name: part | {"auc": 0.5} for name, part in found.items()}})
    assert means["cold"]["auc"] == 0.25


def test_the_record_holds_slices_tasks_and_what_was_left_out(tmp_path: Path) -> None:
    done = [outcome(row, seed, 0.7, tmp_path) for row in ("rab", "none") for seed in (0, 1)]
    for one in done:
        assert one.record is not None
        file = Path(one.record["folder"]) / "predictions.parquet"
        table = pl.read_parquet(file)
        table.with_columns(item=pl.int_range(len(table)) % 2).write_parquet(file)
        one.record["test"]["click"]["gauc_user"] = 0.6
    made = assemble(
        study(settings={"training.epochs": 3}),
        rows(variants=["none"]),
        [0, 1],
        done,
        None,
        make_store(),
        "tiny",
        {"command": "genrank ablate"},
        Known(np.array([True, False]), {}, {"alibi": "no windows"}),
    )
    none = made.rows[1]
    assert none.slices["items"]["cold"]["events"] == none.slices["items"]["warm"]["events"] == 24
    assert none.tasks["click"]["auc"] == pytest.approx(0.7)
    assert none.metric_intervals["gauc_user"].mean == pytest.approx(0.6)
    assert made.left_out == {"alibi": "no windows"}
    assert made.settings == {"training.epochs": 3}
    again = StudyRecord.model_validate_json(made.model_dump_json())
    assert again.model_dump_json() == made.model_dump_json()
