"""Baseline files, JUnit, the Markdown page, and files of pytest-benchmark."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.gate.baseline import changes, merged, read_baseline, write_baseline
from genrank_cli.gate.benchmarks import compare_benchmarks, read_benchmarks
from genrank_cli.gate.judge import Outcome, judge, verdict
from genrank_cli.gate.junit import junit
from genrank_cli.gate.measurement import Failure
from genrank_cli.gate.suite import load_suite
from genrank_cli.gate.summary import markdown, record, table
from tests.gate.cases import MACHINE, MODELS, measurement, pace, quality, suite


def test_a_baseline_comes_back_as_it_was_written(tmp_path: Path) -> None:
    file = tmp_path / "new" / "cpu.json"
    write_baseline(file, measurement())
    assert read_baseline(file) == measurement()
    assert [path.name for path in file.parent.iterdir()] == ["cpu.json"]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        (None, 4, "there is no baseline"),
        ('{"version": 99}', 4, "found 99"),
        ("[]", 4, "found None"),
        ("{", 5, "not a readable baseline"),
        ('{"version": 1}', 5, "suite_version"),
    ],
    ids=["missing", "version", "list", "no-json", "fields"],
)
def test_a_bad_baseline_is_named_with_the_remedy(
    tmp_path: Path, text: str | None, code: int, message: str
) -> None:
    file = tmp_path / "cpu.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(GenrankError, match=message) as caught:
        read_baseline(file)
    assert caught.value.exit_code == code
    assert f"genrank check --baseline {file} --update" in caught.value.hint


def test_half_a_run_replaces_no_baseline(tmp_path: Path) -> None:
    broken = measurement(failures=(Failure(id="auc/feed/dlrm", reason="seed 1: it broke"),))
    file = tmp_path / "cpu.json"
    write_baseline(file, measurement())
    with pytest.raises(GenrankError, match="left as it was") as caught:
        write_baseline(file, broken)
    assert caught.value.exit_code == 4
    assert read_baseline(file) == measurement()


def test_an_update_of_one_part_keeps_the_others() -> None:
    old = measurement()
    auc_only = measurement(parts=("auc",), pace=None, quality=(quality(change=0.01),))
    new = merged(old, auc_only)
    assert new.pace == old.pace
    assert {found.id for found in new.quality} == {f"auc/feed/{model}" for model in MODELS}
    assert new.quality[0] == quality(change=0.01)
    speed_only = measurement(parts=("speed",), quality=(), pace=pace(seed=5))
    assert merged(old, speed_only).quality == old.quality
    assert merged(old, speed_only).pace == pace(seed=5)


def test_an_update_keeps_nothing_that_is_not_comparable() -> None:
    other = measurement(parts=("auc",), pace=None, environment=MACHINE | {"cpu": "two"})
    assert merged(measurement(), other).pace is None
    other = measurement(parts=("auc",), pace=None, suite_hash="0" * 64)
    assert merged(measurement(), other) == other


def test_an_update_shows_what_it_changes() -> None:
    lines = changes(measurement(), measurement(quality=(quality(change=0.01),)))
    assert lines[0].startswith("auc/feed/genrank: 0.74")
    assert lines[0].endswith("(+0.0100)")
    assert any(line.endswith("→ –") for line in lines)
    assert all("– → " in line for line in changes(None, measurement()))


def test_junit_has_a_case_for_every_check() -> None:
    now = measurement(
        quality=(quality(change=-0.02),),
        environment=MACHINE | {"cpu": "two"},
        failures=(Failure(id="auc/feed/dlrm", reason="<no & data>", skipped=True),),
    )
    checks = judge(suite(), measurement(), now)
    [found] = ElementTree.fromstring(junit(checks, 2.5))
    assert found.attrib == {
        "name": "genrank check", "time": "2.500", "tests": "3", "failures": "1", "errors": "1",
        "skipped": "1",
    }  # fmt: skip
    cases = {case.get("name"): case for case in found}
    failure = cases["auc/feed/genrank"].find("failure")
    assert failure is not None
    assert "AUC −0.02" in str(failure.get("message"))
    assert cases["speed"].find("error") is not None
    skipped = cases["auc/feed/dlrm"].find("skipped")
    assert skipped is not None
    assert skipped.get("message") == "<no & data>"
    [found] = ElementTree.fromstring(junit(checks, 2.5, ["speed"]))
    assert (found.get("errors"), found.get("skipped")) == ("0", "2")


def test_the_page_names_what_regressed_first() -> None:
    now = measurement(quality=(quality(change=-0.02), quality("dlrm")))
    checks = judge(suite(), measurement(), now)
    page = markdown(checks, now, verdict(checks))
    assert page.startswith("- **auc/feed/genrank**: AUC −0.0200")
    assert "### Gate: a regression was found" in page
    assert page.count("\n| ") == 1 + len(checks)
    assert len(table(checks, now, Outcome.PASSED).rows) == 4
    fields = json.loads(json.dumps(record(checks, now, verdict(checks))))
    assert fields["outcome"] == "regressed"
    assert fields["checks"][0]["change"]["value"] == pytest.approx(-0.02)


def test_the_suite_hash_covers_what_is_run_and_not_what_is_tolerated() -> None:
    shipped = load_suite()
    part = shipped.quality[0]
    laxer = part.model_copy(update={"tolerance": 0.1, "optional": True})
    larger = part.model_copy(update={"seeds": (*part.seeds, 9)})
    hashes = [
        shipped.model_copy(update={"quality": (other, *shipped.quality[1:])}).hash
        for other in (part, laxer, larger)
    ]
    assert hashes[0] == hashes[1] != hashes[2]
    slower = shipped.pace.model_copy(update={"tolerance": 0.5, "repeat": 0})
    assert shipped.model_copy(update={"pace": slower}).hash == shipped.hash
    assert shipped.model_copy(update={"training": {}}).hash != shipped.hash


def test_a_broken_suite_is_named(tmp_path: Path) -> None:
    file = tmp_path / "suite.toml"
    for text, reason in (("version = 1\nquality = []", "quality"), ("version =", "not a readable")):
        file.write_text(text)
        with pytest.raises(GenrankError, match=reason):
            load_suite(file)


def benchmark_file(folder: Path, scale: dict[str, float], cpu: str = "one", n: int = 6) -> Path:
    rows: list[dict[str, Any]] = []
    for number in range(n):
        time_s = 0.01 * (number + 1) * scale.get(f"row{number}", scale.get("all", 1.0))
        stats = {"q1": 0.98 * time_s, "median": time_s, "q3": 1.02 * time_s, "rounds": 20}
        rows.append({"fullname": f"row{number}", "stats": stats})
    file = folder / f"{len(list(folder.iterdir()))}.json"
    machine = {"cpu": {"brand_raw": cpu}}
    file.write_text(json.dumps({"machine_info": machine, "benchmarks": rows}))
    return file


def compared(folder: Path, *args: Any, was: int = 6, **changes: Any) -> dict[str, str]:
    old, new = benchmark_file(folder, {}, n=was), benchmark_file(folder, *args, **changes)
    rows = compare_benchmarks(read_benchmarks(old), read_benchmarks(new), 0.1)
    return {row.name: row.outcome for row in rows}


def test_benchmarks_are_compared_row_by_row(tmp_path: Path) -> None:
    assert set(compared(tmp_path, {}).values()) == {"passed"}
    found = compared(tmp_path, {"row2": 1.2})
    assert [name for name, outcome in found.items() if outcome == "regressed"] == ["row2"]


def test_a_pace_beyond_the_tolerance_lets_no_row_pass(tmp_path: Path) -> None:
    """It may be the machine's or the code's; the correction would hide the code's."""
    assert set(compared(tmp_path, {"all": 1.5}).values()) == {"cannot judge"}
    four = dict.fromkeys(("row0", "row1", "row2", "row3"), 1.3)
    assert set(compared(tmp_path, four, n=7, was=7).values()) == {"cannot judge"}
    assert compared(tmp_path, {"all": 1.3, "row2": 1.7})["row2"] == "regressed"
    assert set(compared(tmp_path, {"all": 1.09}).values()) == {"passed"}  # by design


def test_what_only_did_not_become_faster_is_no_regression(tmp_path: Path) -> None:
    found = compared(tmp_path, {"all": 0.5, "row2": 1.0})
    assert found.pop("row2") == "cannot judge"
    assert set(found.values()) == {"passed"}
    assert compared(tmp_path, {"all": 0.5, "row2": 1.2})["row2"] == "regressed"


def test_files_without_rows_are_not_judged(tmp_path: Path) -> None:
    assert compared(tmp_path, {}, n=0, was=0) == {"all": "cannot judge"}


def test_a_benchmark_that_vanished_or_is_new_or_elsewhere_is_not_judged(tmp_path: Path) -> None:
    assert compared(tmp_path, {}, n=5)["row5"] == "cannot judge"
    assert compared(tmp_path, {}, n=7)["row6"] == "cannot judge"
    assert compared(tmp_path, {}, cpu="two") == {"all": "cannot judge"}


def test_benchmarks_in_the_gate(tmp_path: Path) -> None:
    old = measurement(benchmarks=read_benchmarks(benchmark_file(tmp_path, {})))
    slow = measurement(benchmarks=read_benchmarks(benchmark_file(tmp_path, {"row1": 1.5})))
    checks = judge(suite(), old, slow)
    assert verdict(checks) is Outcome.REGRESSED
    assert [c.id for c in checks if c.outcome is Outcome.REGRESSED] == ["benchmarks/row1"]
    assert verdict(judge(suite(), measurement(), slow)) is Outcome.CANNOT_JUDGE
    [missing] = [c for c in judge(suite(), old, measurement()) if c.part == "benchmarks"]
    assert missing.outcome is Outcome.CANNOT_JUDGE
    assert "not given" in missing.reason
    assert verdict(judge(suite(), old, measurement())) is Outcome.CANNOT_JUDGE
    halved = judge(suite(), old, measurement(parts=("auc",)))  # as --only auc asks
    assert verdict(halved) is Outcome.PASSED


def test_a_file_that_is_not_of_pytest_benchmark_is_named(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"benchmarks": []}'):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(GenrankError, match="no file of pytest-benchmark") as caught:
            read_benchmarks(tmp_path / "x.json")
        assert caught.value.exit_code == 5
