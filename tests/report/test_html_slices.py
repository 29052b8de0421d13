"""What newer records have besides: slices, other tasks, claims of other kinds."""

from __future__ import annotations

import re
from pathlib import Path

from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.html.forest import forest
from genrank_cli.report.html.page import render_page
from genrank_cli.report.html.slices import slices
from genrank_cli.report.page_claims import claims_table, gather
from genrank_cli.report.page_load import Loaded, load_records
from genrank_cli.studies.record import FactorialResult, RowResult, StudyRecord
from tests.report import records

BASE, OTHER = [0.80, 0.81], [0.81, 0.83]


def sliced() -> list[RowResult]:
    parts = {"cold": {"auc": 0.7, "events": 120.0}, "warm": {"auc": 0.8, "events": 880.0}}
    better = {"cold": {"auc": 0.75, "events": 120.0}, "warm": {"auc": float("nan")}}
    return [
        records.row("base", BASE, slices={"items": parts}, tasks={"like": {"auc": 0.6}}),
        records.row("other", OTHER, BASE, slices={"items": better}, tasks={"like": {"auc": 0.65}}),
    ]


def cells(drawn: str, row: str) -> list[str]:
    """The cells of a row, without tags."""
    line = drawn[drawn.index(f">{row}</th>") :]
    return re.findall(r"<td[^>]*>([^<]*)</td>", line[: line.index("</tr>")])


def test_slices_and_tasks_are_compared_with_the_base() -> None:
    drawn = slices(records.study(rows=sliced(), tasks=["click", "like"]))
    assert drawn is not None
    assert cells(drawn, "base (base)") == ["0.7000", "–", "0.8000", "–"]
    assert cells(drawn, "other") == ["0.7500", "+0.0500", "–", "–"]
    assert "cold 120 test events, warm 880 test events." in drawn
    tasks = drawn[drawn.index("Other tasks") :]
    assert cells(tasks, "other") == ["0.6500", "+0.0500"]
    assert "click" not in tasks
    assert slices(records.study()) is None


def test_claims_of_other_kinds_show_their_own_measurement(tmp_path: Path) -> None:
    claim = records.claim(
        "small.gain",
        slice="cold-items",
        base="smoothed",
        versus="2 × (a − b)",
        reported=None,
        direction="up",
        paper="at least twice",
        measured=Interval(0.004, 0.001, 0.007, 5, 0.002),
        p_holm=0.0214,
        reason="measured +0.004 [0.001, 0.007] (users [0, 1]), claimed more: nothing against it; "
        "the smallest detectable effect is +0.003; but it is small",
        note="A note.",
    )
    study = Loaded(tmp_path / "x.json", records.study(claims=[claim]))
    (row,) = [r for r in claims_table(gather([study])).rows if r[0] == "small.gain"]
    assert row[1] == "at least twice"
    assert row[3] == "+0.0040 ± 0.0030"
    assert row[6] == "0.021"
    assert row[8] == "nothing against it; but it is small"
    text = render_page(load_records([records.write(study.record, study.file)]))
    assert "other against smoothed, AUC" in text
    assert "A note." in text


def test_a_claim_about_something_else_does_not_borrow_the_rows_effect(tmp_path: Path) -> None:
    for change in ({"slice": "cold-items"}, {"task": "others"}, {"base": "x"}, {"metric": "ne"}):
        study = Loaded(tmp_path, records.study(claims=[records.claim(**change)]))
        ((finding,),) = gather([study]).findings.values()
        assert finding.measured is None
        drawn = forest(study.record)
        assert drawn is not None
        assert "published" not in drawn


def test_data_with_the_most_findings_comes_first(tmp_path: Path) -> None:
    made = [records.study(claims=[]), records.study(dataset="beta"), records.study(dataset="gamma")]
    studies = [Loaded(tmp_path / "x.json", record) for record in made]
    assert list(gather(studies).labels.values()) == ["beta tiny", "gamma tiny", "alpha tiny"]


def test_a_factorial_says_what_was_predicted(tmp_path: Path) -> None:
    effect = Interval(1.9, 1.8, 2.0, 5, 0.1)
    found = FactorialResult(
        first="a", second="b", both="ab", speed=effect, predicted=effect, auc_interaction=None
    )
    text = render_page(load_records([_written(records.study(factorial=found), tmp_path)]))
    assert "predicted from a and b alone" in text


def _written(record: StudyRecord, folder: Path) -> Path:
    return records.write(record, folder / "record.json")
