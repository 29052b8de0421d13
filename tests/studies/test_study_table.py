"""A study's record as tables: nothing that was measured or left out goes unsaid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genrank_cli.metrics.intervals import Interval
from genrank_cli.report import render
from genrank_cli.report.study import claims_table, paper, study_table, write_study
from genrank_cli.studies.assemble import assemble
from genrank_cli.studies.record import ClaimResult, FactorialResult, StudyRecord
from genrank_cli.studies.speed import Speed
from tests.factory import make_store
from tests.studies.cases import claim, outcome, rows, study

ENVIRONMENT: dict[str, Any] = {
    "command": "genrank ablate",
    "cpu": "a cpu",
    "cores_usable": 2,
    "memory_bytes": 2**34,
    "threads": 1,
    "attention": "native",
    "layer": "plain",
    "torch": "2",
    "python": "3",
    "genrank": "0",
    "commit": None,
    "cuda": None,
}


def made(folder: Path, **fields: Any) -> StudyRecord:
    done = [
        outcome(row, seed, auc + seed / 100, folder / fields.get("study", "small"))
        for row, auc in (("rab", 0.7), ("none", 0.72))
        for seed in (0, 1)
    ]
    for one in done:
        assert one.record is not None
        one.record["test"]["click"] |= {"gauc_user": 0.6, "ne": 0.8 + one.seed / 10, "events": 9.0}
    claims = [
        claim("none", "auc", "difference", 0.01),
        {"id": "online", "untestable": "needs live traffic", "source": "a paper", "paper": "+1 %"},
    ]
    speed = Speed({"rab": [2.0, 2.0], "none": [1.0, 1.1]}, {"rab": 9, "none": 9}, "cpu", 1)
    record = assemble(
        study(claims=claims, settings={"training.epochs": 3}),
        rows(variants=["none"]),
        [0, 1],
        done,
        speed,
        make_store(),
        "tiny",
        ENVIRONMENT,
    )
    return record.model_copy(update=fields)


def test_the_table_has_intervals_and_train_seconds(tmp_path: Path) -> None:
    table = study_table(made(tmp_path))
    text = render(table, "md")
    assert "| train (s) |" in text.replace("  ", " ").replace("  ", " ")
    by_column = dict(zip([column.key for column in table.columns], table.rows[1], strict=True))
    for key in ("auc", "ne", "gauc_user", "delta_auc"):
        assert getattr(by_column[key], "low", None) is not None, key
    assert by_column["train_s"] == 2.5
    assert "training.epochs=3" in text
    assert "Command: genrank ablate" in text
    assert "lift_share" not in by_column
    assert "auc +0.0100: " in str(by_column["claims"])


def test_what_was_left_out_is_a_note(tmp_path: Path) -> None:
    record = made(tmp_path, left_out={"windows": "memory has no window statistics"})
    assert "left out: windows: memory has no window statistics" in render(study_table(record), "md")


def test_the_prediction_stands_beside_the_measurement(tmp_path: Path) -> None:
    both = FactorialResult(
        first="none",
        second="alibi",
        both="both",
        speed=Interval(2.5, 2.4, 2.6, 8, 0.1),
        predicted=Interval(2.2, 2.1, 2.3, 8, 0.1),
        auc_interaction=Interval(-0.001, -0.002, 0.0, 3, 0.001),
    )
    text = render(claims_table(made(tmp_path, factorial=both)), "md")
    assert "measured 2.50 ± 0.10×, predicted from none and alibi alone 2.20 ± 0.10×" in text
    assert "both − alibi − none + rab = −0.0010 ± 0.0010" in text


def test_claims_of_several_studies_name_their_study(tmp_path: Path) -> None:
    one, other = made(tmp_path), made(tmp_path, study="other")
    single, several = (render(claims_table(*records), "csv") for records in ([one], [one, other]))
    assert single.splitlines()[0].startswith("claim,variant,paper,verdict")
    lines = several.splitlines()
    assert lines[0].startswith("study,claim,")
    assert len(lines) == 5
    assert "other,online,,+1 %,? not testable here,needs live traffic,," in lines


def test_a_study_without_claims_says_nothing_of_them(tmp_path: Path) -> None:
    record = made(tmp_path, claims=[])
    assert "claims" not in [column.key for column in study_table(record).columns]
    *_, text = write_study(record, tmp_path / "out"), (tmp_path / "out").glob("*.md")
    assert "Claims" not in next(iter(text)).read_text()


def test_files_and_plot_are_written(tmp_path: Path) -> None:
    files = write_study(made(tmp_path), tmp_path / "out")
    assert sorted(file.suffix for file in files) == [".csv", ".json", ".md", ".png", ".svg"]
    assert all(file.stat().st_size for file in files)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": "ratio", "reported": 1.25}, "1.25×"),
        ({"kind": "difference", "reported": 0.0009}, "+0.0009"),
        ({"kind": "difference", "reported": None, "paper": "higher"}, "higher"),
    ],
)
def test_older_records_say_what_was_reported(fields: dict[str, Any], text: str) -> None:
    old = {
        "id": "c",
        "variant": "v",
        "metric": "auc",
        "verdict": "within noise",
        "symbol": "~",
        "reason": "r",
        "minimum_detectable": None,
        "source": "a paper",
    }
    assert paper(ClaimResult.model_validate(old | fields)) == text
