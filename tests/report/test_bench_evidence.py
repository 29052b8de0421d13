"""Bench records in a report: evidence for claims, one verdict a claim, refusals that name files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from genrank_cli.bench.checks import Bar, exactly
from genrank_cli.bench.record import BenchRecord
from genrank_cli.bench.rows import checked_bar
from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.html.page import render_page
from genrank_cli.report.page_claims import Claims, cell, claims_table, gather
from genrank_cli.report.page_csv import render_csv
from genrank_cli.report.page_evidence import collect
from genrank_cli.report.page_load import Bench, load_records
from genrank_cli.report.page_markdown import render_markdown
from tests.conftest import Cli
from tests.report import records

NOISY = Interval(1.0, 0.9, 1.1, 9, 0.1)


def check(name: str, measured: Interval, side: Any = "at most") -> Any:
    return checked_bar(Bar(name, f"what {name} compares", side, 1.0), "N24-C7", measured)


def serve() -> BenchRecord:
    """A bench whose checks are named as those of serving, drawn as one of attention."""
    made = [
        check("cost.p99.whole", exactly(0.5)),
        check("cost.p99.warm", NOISY),
        check("cost.storage.parameters", exactly(2.0)),
        check("cached.hstu/warm", exactly(0.0)),
        check("org.speed", exactly(0.5)),
    ]
    return records.bench(checks=made, settings={"size": "base"})


def untestable(name: str) -> Any:
    return records.claim(
        name, "", verdict="not testable here", symbol="?", reason="needs a serving system"
    )


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study that cannot test two claims, and the bench that measured them."""
    monkeypatch.setattr("genrank_cli.report.page_evidence.ABOUT", {"attention": ("cost.",)})
    caveats = {"attention": "against this project's DLRM"}
    monkeypatch.setattr("genrank_cli.report.page_evidence.CAVEATS", caveats)
    claims = [untestable("cost.p99"), untestable("cost.inference"), records.claim("cost.training")]
    records.write(records.study(claims=claims), tmp_path / "paradigm.json")
    records.write(serve(), tmp_path / "serve.json")
    return tmp_path


def gathered(folder: Path) -> Claims:
    found = load_records([folder])
    return gather(found.studies, found.benches)


def lines(claims: Claims, claim: str) -> list[list[Any]]:
    return [[*row] for row in claims_table(claims).rows if row[0] == claim]


def test_checks_are_rows_of_the_claims_that_they_are_about(folder: Path) -> None:
    claims = gathered(folder)
    p99 = lines(claims, "cost.p99")
    assert [row[4] for row in p99] == ["+ reproduced", "~ within noise"]
    assert p99[0][2] == "bench attention base, N24-C7 (serve)"
    assert p99[0][3] == "0.5×"
    assert p99[0][-1] == "what cost.p99.whole compares; against this project's DLRM"
    assert "give more" in str(p99[1][-1])
    assert [row[4] for row in lines(claims, "cost.storage")] == ["x contradicted"]
    assert {*claims.evidence} == {"cost.p99", "cost.storage"}


def test_what_was_measured_is_not_called_untestable(folder: Path) -> None:
    claims = gathered(folder)
    assert claims.findings["cost.p99"] == []
    setting = next(iter(claims.labels))
    assert cell(claims, "cost.p99", setting) == "–"
    assert "not testable" in cell(claims, "cost.inference", setting)  # nobody measured it
    found = load_records([folder])
    page = render_page(found)
    section = page[page.index('id="claim-cost.p99"') : page.index('id="claim-cost.inference"')]
    assert "reproduced" in section
    assert "not testable" not in section
    assert "bench attention base, N24-C7" in section
    assert "Verdicts" in render_markdown(found)


def test_studies_keep_their_findings_beside_a_bench(folder: Path) -> None:
    made = [check("cost.training.packed", exactly(3.0), "at least")]
    records.write(records.bench(checks=made), folder / "other.json")
    assert [row[4] for row in lines(gathered(folder), "cost.training")] == [
        "~ within noise", "+ reproduced",
    ]  # fmt: skip


def test_the_spreadsheet_has_one_verdict_a_check(folder: Path) -> None:
    found = list(csv.DictReader(io.StringIO(render_csv(load_records([folder])))))
    p99 = [line for line in found if line["kind"] == "claim" and line["subject"] == "cost.p99"]
    assert [(line["metric"], line["verdict"], line["file"]) for line in p99] == [
        ("cost.p99.whole", "reproduced", "serve.json"),
        ("cost.p99.warm", "within noise", "serve.json"),
    ]
    assert float(p99[0]["value"]) == 0.5


def test_benches_alone_are_listed_with_their_checks(cli: Cli, folder: Path) -> None:
    done = cli("report", str(folder / "serve.json"))
    assert done.code == 0, done.err
    assert "A small bench" in done.out
    assert "what cost.p99.whole compares" in done.out
    assert "online.reads" not in done.out
    both = cli("report", str(folder))
    assert "online.reads" in both.out
    assert "A small bench" in both.out


def damaged(**fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(records.bench().model_dump_json()) | fields
    return found


def without_label() -> dict[str, Any]:
    found = damaged(bench="serve")
    found["cases"][0]["labels"] = {}
    return found


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (damaged(version=2), "is no bench record of version 1 (found 2)"),
        (
            damaged(bench="sweep"),
            "of bench 'sweep' is damaged: 'over' is missing",
        ),
        (damaged(bench="peers"), "of bench 'peers' is damaged: "),
        (without_label(), "of bench 'serve' is damaged: "),
        (damaged(bench="flight"), "a record of an unknown bench 'flight'"),
    ],
    ids=["version", "settings", "rows", "labels", "bench"],
)
@pytest.mark.parametrize("command", [("report",), ("bench", "show")])
def test_a_damaged_bench_is_named(
    cli: Cli, tmp_path: Path, command: tuple[str, ...], content: dict[str, Any], words: str
) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps(content))
    done = cli(*command, str(file))
    assert done.code == 5
    assert f"{file}" in done.err
    assert words in done.err


def test_a_study_is_no_bench_and_the_command_that_shows_it_is_named(
    cli: Cli, tmp_path: Path
) -> None:
    file = records.write(records.study(), tmp_path / "study.json")
    done = cli("bench", "show", str(file))
    assert done.code == 5
    assert "is the record of a study, not of a bench" in done.err
    assert f"genrank report {file}" in done.err


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(1.06, 1.17, "reproduced"), (0.98, 1.04, "contradicted"), (0.99, 1.2, "within noise")],
)
def test_a_published_speed_up_is_judged_as_in_a_study(
    low: float, high: float, verdict: str, tmp_path: Path
) -> None:
    """1.25 was reported: half of it, 1.118, must be excluded before it is contradicted."""
    measured = Interval((low * high) ** 0.5, low, high, 21, 0.1)
    bar = Bar("bias.speed", "the new bias: times as fast", "at least", 1.25)
    checks = [checked_bar(bar, "480 tokens", measured)]
    record = records.bench(checks=checks, settings={"size": "paper"})
    bench = Bench(tmp_path / "m.json", record.model_copy(update={"bench": "model"}))
    found = collect([bench], ["bias.speed"])["bias.speed"]
    assert [told.verdict for told in found] == [verdict]
    assert "reported 1.25×" in found[0].reason
