"""``genrank report``: which records it finds, the three files, and what it says when it cannot."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from genrank_cli.report.page_claims import catalogue
from genrank_cli.report.page_csv import COLUMNS, render_csv
from genrank_cli.report.page_load import load_records
from genrank_cli.report.page_markdown import LEFT_OUT, render_markdown
from tests.conftest import Cli
from tests.report import records
from tests.report.records import HOSTILE


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with three records under ``results``, one of them where ``ablate`` puts it."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "results"
    records.write(records.study(), folder / "small-alpha-tiny.json")
    records.write(records.study(dataset="beta"), folder / "small-beta" / "small-beta.json")
    records.write(records.bench(), folder / "attention.json")
    return folder


def test_folders_and_files_give_each_record_once(results: Path) -> None:
    (results / "baseline.json").write_text('{"auc": 1}')
    records.write(records.study(dataset="gamma"), results / "runs" / "result.json")
    records.write(records.study(), results / "copy.json")
    found = load_records([results, results / "small-alpha-tiny.json"])
    assert [study.record.dataset for study in found.studies] == ["alpha", "beta"]
    assert [bench.record.title for bench in found.benches] == ["A small bench"]
    assert [file.name for file in found.skipped] == ["baseline.json"]


def test_a_record_comes_back_as_it_was_written(results: Path) -> None:
    (found,) = load_records([results / "small-alpha-tiny.json"]).studies
    assert found.record.model_dump_json() == records.study().model_dump_json()


def test_older_records_lack_parts_of_the_environment(results: Path) -> None:
    old = json.loads(records.study().model_dump_json())
    for key in ("layer", "threads"):
        del old["environment"][key]
    (results / "old.json").write_text(json.dumps(old))
    (found,) = load_records([results / "old.json"]).studies
    assert found.record.environment["layer"] == "?"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.json", "{", "broken.json is no JSON"),
        ("damaged.json", '{"study": 1, "rows": [], "claims": []}', "damaged.json cannot be read"),
        (
            "bench.json",
            '{"bench": "attention", "cases": 3, "version": 1}',
            "bench.json cannot be read",
        ),
        ("list.json", "[]", "list.json is neither"),
        ("other.json", '{"auc": 1}', "other.json is neither"),
        ("absent.json", None, "absent.json does not exist"),
    ],
)
def test_unreadable_records_are_named_and_nothing_is_written(
    cli: Cli, results: Path, name: str, content: str | None, words: str
) -> None:
    if content is not None:
        (results / name).write_text(content)
    done = cli("report", str(results), str(results / name), "--html", "out.html", "--md", "out.md")
    assert done.code == 5
    assert words in done.err
    assert not list(results.parent.glob("out.*"))


def test_no_record_at_all_is_an_error(cli: Cli, results: Path) -> None:
    (results.parent / "empty").mkdir()
    done = cli("report", "empty")
    assert done.code == 5
    assert "no record found in empty" in done.err


def test_a_missing_folder_is_refused_before_anything_is_written(cli: Cli, results: Path) -> None:
    done = cli("report", "--html", "out.html", "--csv", "missing/out.csv")
    assert done.code == 2
    assert "--csv missing/out.csv: the folder missing does not exist" in done.err
    assert not Path("out.html").exists()


def test_the_terminal_shows_verdicts(cli: Cli, results: Path) -> None:
    done = cli("report")
    assert done.code == 0, done.err
    row = next(line for line in done.out.splitlines() if line.startswith("| small.auc"))
    cells = [cell.strip() for cell in row.split("|")[3:-1]]
    assert cells == ["~ within noise, +0.0100 ± 0.0248"] * 2
    assert "Verdicts by data and size" in done.out
    assert "genrank report --html" in done.err


def test_without_records_in_results_those_of_the_runs_are_shown(cli: Cli, results: Path) -> None:
    records.write(records.study(dataset="gamma"), results / "runs" / "small" / "small.json")
    assert "gamma" not in cli("report").out
    for file in results.glob("*.json"):
        file.unlink()
    done = cli("report")
    assert "gamma" in done.out
    assert "beta" not in done.out


def test_three_files_at_once(cli: Cli, results: Path) -> None:
    done = cli("report", "--html", "r.html", "--md", "r.md", "--csv", "r.csv")
    assert done.code == 0, done.err
    assert done.out == ""
    assert Path("r.html").read_text().startswith("<!doctype html>")
    assert [line for line in done.err.splitlines() if line.startswith("wrote")] == [
        "wrote r.html",
        "wrote r.md",
        "wrote r.csv",
    ]
    assert Path("r.md").read_text() == cli("report", "--md", "-").out


def test_markdown_holds_verdicts_tables_and_commands(results: Path) -> None:
    text = render_markdown(load_records([results]))
    assert text.index("### Verdicts") < text.index("### Claims") < text.index("<details>")
    assert text.count("<details>") == text.count("</details>") == 3
    assert "| small.speed" in text
    assert "1.249× [1.131, 1.380]" in text
    assert "`genrank bench attention --seq-len 128`" in text


def test_markdown_cells_cannot_be_left(results: Path) -> None:
    claims = [records.claim(HOSTILE + "\n\n# x", source=HOSTILE, reason=HOSTILE)]
    hostile = records.study(
        claims=claims, title=HOSTILE + "\n\n# x", command=HOSTILE, dataset=HOSTILE
    )
    text = render_markdown(load_records([records.write(hostile, results / "hostile.json")]))
    assert "<script" not in text
    assert "<img" not in text
    assert "\n# x" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.replace("\\|", "").count("|") >= 3 for line in rows)


def test_csv_has_a_number_a_line(results: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(render_csv(load_records([results])))))
    assert set(lines[0]) == set(COLUMNS)
    assert {line["kind"] for line in lines} == {"claim", "row", "bench"}
    (auc,) = [
        line
        for line in lines
        if (line["dataset"], line["subject"], line["metric"]) == ("alpha", "other", "auc")
    ]
    expected = records.study().rows[1].auc_mean
    assert [float(auc[key]) for key in ("value", "low", "high")] == [
        expected.mean,
        expected.low,
        expected.high,
    ]
    (claim,) = [
        line for line in lines if line["subject"] == "small.auc" and line["dataset"] == "beta"
    ]
    assert (claim["verdict"], claim["reported"], claim["minimum_detectable"]) == (
        "within noise",
        "0.0009",
        "0.0123",
    )
    assert not any("nan" in line["value"] for line in lines)


def test_csv_holds_slices_tasks_and_unjudged_claims(results: Path) -> None:
    parts: dict[str, Any] = {
        "slices": {"items": {"cold": {"auc": 0.7}}},
        "tasks": {"like": {"auc": 0.6}},
    }
    row = records.row("base", [0.8, 0.81], **parts)
    file = records.write(records.study(rows=[row]), results / "parts.json")
    lines = list(csv.DictReader(io.StringIO(render_csv(load_records([file])))))
    values = {line["metric"]: line["value"] for line in lines if line["subject"] == "base"}
    assert (values["items.cold.auc"], values["like.auc"]) == ("0.7", "0.6")
    verdicts = {line["subject"]: line["verdict"] for line in lines if line["kind"] == "claim"}
    assert {claim.id for claim in catalogue()} < verdicts.keys()
    assert verdicts["bias.auc"] == "not testable here"


def test_a_markdown_that_no_comment_can_hold_is_pointed_out(
    cli: Cli, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "comment" not in cli("report", "--md", "r.md").err
    monkeypatch.setattr("genrank_cli.report.page_markdown.COMMENT", 1000)
    assert "a comment on GitHub holds 1,000" in cli("report", "--md", "r.md").err


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
def test_tables_that_a_comment_would_not_hold_are_named(results: Path, kept: int) -> None:
    found = load_records([results])
    whole = render_markdown(found, 10**9)
    folds = ["<details>" + part for part in whole.split("<details>")[1:]]
    begin = len(whole) - sum(map(len, folds))
    titles = [fold.partition("<summary>")[2].partition("</summary>")[0] for fold in folds]
    names = len(LEFT_OUT) + sum(len(title) + 2 for title in titles)
    text = render_markdown(found, begin + sum(len(fold) + 1 for fold in folds[:kept]) + names)
    shown = [fold for fold in folds if fold in text + "\n"]
    named = text.partition(LEFT_OUT)[2]
    assert len(shown) == kept
    for fold, title in zip(folds, titles, strict=True):
        assert (fold in text + "\n") != (title in named)
    assert ("details" in text) == bool(kept)
    assert text.startswith(whole[:begin].rstrip())


def test_csv_text_is_no_formula(results: Path) -> None:
    rows = [records.row("base", [0.8, 0.81]), records.row("=1+1", [0.8, 0.82], [0.8, 0.81])]
    file = records.write(records.study(rows=rows, dataset="@x"), results / "formula.json")
    lines = list(csv.DictReader(io.StringIO(render_csv(load_records([file])))))
    assert "'=1+1" in {line["subject"] for line in lines}
    assert {line["dataset"] for line in lines if line["file"]} == {"'@x"}
    assert any(float(line["low"]) < 0 for line in lines if line["low"])  # numbers stay numbers
