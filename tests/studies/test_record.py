"""The comparison behind a study's table: paired, judged, and readable by any JSON parser."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrank_cli.metrics.intervals import exact_sign_flip_p, geometric_ratio, paired_t
from genrank_cli.studies.assemble import assemble
from genrank_cli.studies.cells import Outcome
from genrank_cli.studies.record import StudyRecord
from genrank_cli.studies.speed import Speed
from tests.factory import make_store
from tests.studies.cases import claim, outcome, rows, study

ENVIRONMENT = {"command": "genrank ablate", "cpu": "a cpu"}
BASE = {0: 0.70, 1: 0.74, 2: 0.72}
NONE = {2: 0.715, 0: 0.698, 1: 0.737}  # finished in another order
EVENTS = {"rab": 600, "none": 600}
SPEED = Speed({"rab": [2.0, 4.0, 3.0], "none": [1.0, 2.0, 2.0]}, EVENTS, "cpu", 1)


def made(
    tmp_path: Path,
    aucs: dict[str, dict[int, float]],
    *,
    speed: Speed | None = None,
    failed: tuple[Outcome, ...] = (),
    claims: tuple[dict[str, Any], ...] = (),
) -> StudyRecord:
    outcomes = [
        outcome(row, seed, auc, tmp_path) for row, by in aucs.items() for seed, auc in by.items()
    ]
    return assemble(
        study(claims=claims),
        rows(variants=["none"]),
        [0, 1, 2],
        [*outcomes, *failed],
        speed,
        make_store(),
        "tiny",
        ENVIRONMENT,
    )


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    record = made(tmp_path, {"rab": BASE, "none": NONE})
    base, none = record.rows
    assert (base.name, none.name, record.base) == ("rab", "none", "rab")
    assert none.seeds == [0, 1, 2]
    assert none.auc == [0.698, 0.737, 0.715]
    assert none.delta_auc == paired_t([NONE[s] - BASE[s] for s in range(3)])
    assert none.delta_auc is not None
    assert none.delta_auc.mean == pytest.approx(-0.01 / 3)
    # Paired: the seeds' own spread, ten times as large, does not enter.
    assert none.delta_auc.sd < 0.002 < base.auc_mean.sd
    assert base.delta_auc is None
    assert base.delta_auc_users is None


def test_only_common_seeds_are_compared(tmp_path: Path) -> None:
    failed = Outcome("none", 1, None, "out of memory")
    record = made(tmp_path, {"rab": BASE, "none": {0: 0.8, 2: 0.9}}, failed=(failed,))
    none = record.rows[1]
    assert none.seeds == [0, 2]
    assert none.delta_auc == paired_t([0.8 - 0.70, 0.9 - 0.72])
    assert [f.model_dump() for f in record.failures] == [
        {"row": "none", "seed": 1, "error": "out of memory"}
    ]


def test_a_row_without_results_is_a_failure_not_a_row(tmp_path: Path) -> None:
    failed = tuple(Outcome("rab", seed, None, "broken") for seed in range(3))
    record = made(tmp_path, {"none": NONE}, failed=failed)
    assert [row.name for row in record.rows] == ["none"]
    assert record.rows[0].delta_auc is None
    assert len(record.failures) == 3


def test_nothing_finished_is_still_a_record(tmp_path: Path) -> None:
    failed = tuple(Outcome("rab", seed, None, "broken") for seed in range(3))
    record = made(tmp_path, {}, failed=failed, claims=(claim("none", "auc", "difference", 0.1),))
    assert record.rows == []
    assert [c.verdict for c in record.claims] == ["not testable here"]


def test_users_are_resampled_beside_the_seeds(tmp_path: Path) -> None:
    record = made(tmp_path, {"rab": {0: 0.1, 1: 0.1}, "none": {0: 0.9, 1: 0.9}})
    users = record.rows[1].delta_auc_users
    assert users is not None
    assert users.n == 12
    assert 0 < users.low < users.mean < users.high


def test_speed_is_a_ratio_within_rounds(tmp_path: Path) -> None:
    record = made(tmp_path, {"rab": BASE, "none": NONE}, speed=SPEED)
    base, none = record.rows
    assert none.speed_ratio == geometric_ratio([2.0, 2.0, 1.5])
    assert base.speed_ratio is None
    assert none.events_per_s == 300.0
    assert base.events_per_s == 200.0
    assert record.speed_rounds == 3


def test_claims_are_judged_on_what_was_measured(tmp_path: Path) -> None:
    claims = (
        claim("none", "auc", "difference", -0.004),
        claim("none", "speed", "ratio", 4.5),
        claim("alibi", "auc", "difference", 0.1, id="not.run"),
    )
    record = made(tmp_path, {"rab": BASE, "none": NONE}, speed=SPEED, claims=claims)
    verdicts = {c.id: (c.verdict, c.symbol) for c in record.claims}
    # ΔAUC −0.0033 ± 0.0038; speed 1.8 [1.2, 2.8]: half of the logarithm of 4.5 is 2.1.
    assert verdicts == {
        "small.auc": ("within noise", "~"),
        "small.speed": ("reproduced", "+"),
        "not.run": ("not testable here", "?"),
    }
    assert record.claims[0].p_sign_flip == exact_sign_flip_p([NONE[s] - BASE[s] for s in BASE])
    assert record.claims[1].p_sign_flip is None  # of rounds, not of seeds
    assert record.claims[1].reason.endswith("; measured at size tiny on a CPU")
    for judged in record.claims[:2]:
        assert judged.reason
        assert judged.minimum_detectable is not None
        assert judged.source == "a paper"


def test_the_verdict_follows_the_numbers(tmp_path: Path) -> None:
    clear = {seed: auc + 0.01 + 0.0001 * seed for seed, auc in BASE.items()}
    for reported, expected in (
        (0.011, "reproduced"),
        (0.1, "contradicted"),
        (-0.01, "contradicted"),
    ):
        record = made(
            tmp_path / str(reported),
            {"rab": BASE, "none": clear},
            claims=(claim("none", "auc", "difference", reported),),
        )
        assert record.claims[0].verdict == expected, reported


def test_speed_claims_without_timing_are_not_testable(tmp_path: Path) -> None:
    claims = (claim("none", "speed", "ratio", 1.25),)
    record = made(tmp_path, {"rab": BASE, "none": NONE}, claims=claims)
    assert record.claims[0].verdict == "not testable here"
    assert record.claims[0].minimum_detectable is None


def test_a_record_of_one_seed_is_strict_json(tmp_path: Path) -> None:
    record = made(tmp_path, {"rab": {0: 0.7}, "none": {0: 0.71}}, speed=SPEED)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    text = record.model_dump_json()
    tree = json.loads(text, parse_constant=refuse)
    delta = tree["rows"][1]["delta_auc"]
    assert delta["mean"] == pytest.approx(0.01)
    assert (delta["low"], delta["high"], delta["n"]) == (None, None, 1)
    assert json.loads(text, parse_constant=refuse)["rows"][0]["auc_mean"]["sd"] is None


def test_metrics_are_means_over_seeds(tmp_path: Path) -> None:
    record = made(tmp_path, {"rab": BASE, "none": NONE})
    assert record.rows[0].metrics == {"auc": pytest.approx(0.72), "log_loss": pytest.approx(1.5)}
    assert record.rows[0].train_s == [2.0, 3.0, 4.0]
    assert np.array_equal(record.rows[0].auc, [0.70, 0.74, 0.72])


def test_a_record_read_from_its_file_is_the_one_that_was_written(tmp_path: Path) -> None:
    one = {0: 0.7}  # one seed: the intervals have no bounds, which are null in the file
    record = made(tmp_path, {"rab": one, "none": one}, speed=SPEED)
    text = record.model_dump_json()
    assert '"low":null' in text
    again = StudyRecord.model_validate_json(text)
    assert again.model_dump_json() == text
    assert repr(again) == repr(record)
    assert again.rows[0].delta_auc is None
    assert np.isnan(again.rows[1].auc_mean.low)
    assert StudyRecord.model_validate(json.loads(text)).model_dump_json() == text
