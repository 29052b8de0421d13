"""``genrank check`` from end to end on a suite of seconds, with losses planted in the code."""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from genrank_cli.gate import run as running
from genrank_cli.gate import suite as suites
from genrank_cli.gate.baseline import read_baseline
from genrank_cli.gate.judge import Outcome, verdict
from genrank_cli.gate.measurement import Quality
from genrank_cli.gate.pace import yardstick
from genrank_cli.training.loop import Trainer
from genrank_cli.training.run import run_cell
from tests.conftest import REPOSITORY
from tests.gate.cases import small_suite
from tests.gate.cases import suite as whole_suite
from tests.gate.conftest import Check


def test_unchanged_code_gives_the_same_auc_and_passes(
    check: Check, baseline: Path, tmp_path: Path
) -> None:
    done = check(
        "--only", "auc", "--json",
        "--junit", str(tmp_path / "gate.xml"), "--summary", str(tmp_path / "gate.md"),
    )  # fmt: skip
    assert done.code == 0, done.err
    fields = json.loads(done.out)
    assert fields["outcome"] == "passed"
    assert [c["change"]["value"] for c in fields["checks"]] == [0.0, 0.0]
    assert ElementTree.fromstring((tmp_path / "gate.xml").read_text())[0].get("tests") == "2"
    assert "### Gate: passed" in (tmp_path / "gate.md").read_text()


@pytest.mark.slow
def test_a_planted_loss_of_auc_ends_with_3_and_is_named(
    check: Check, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is real, one model's AUC is 1 % lower than what it reached."""

    def worse(cell: Any, *args: Any, **more: Any) -> Any:
        assert more["threads"] == 1  # sums in the same order on every machine
        record = run_cell(cell, *args, **more)
        if cell.config.model.kind == "dlrm":
            record["test"]["click"]["auc"] *= 0.99
        return record

    monkeypatch.setattr("genrank_cli.studies.cells.run_cell", worse)
    done = check("--only", "auc")
    assert done.code == 3
    assert "regressed: auc/feed/dlrm: AUC −0.00" in done.err
    assert "genrank" not in done.err.partition("regressed:")[2].partition("hint")[0]
    assert "--update" in done.err


def test_a_failing_model_cannot_be_judged(
    check: Check, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trainer: Trainer, *args: Any) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(Trainer, "fit", broken)
    done = check("--only", "auc")
    assert done.code == 4
    assert "seed 0: RuntimeError: it broke" in done.err
    before = baseline.read_text()
    assert check("--only", "auc", "--update").code == 4
    assert baseline.read_text() == before


def test_the_yardstick_uses_nothing_of_ours() -> None:
    threads = torch.get_num_threads()
    step = yardstick()
    first = step()
    for _ in range(3):
        last = step()
    assert isinstance(first, torch.Tensor)
    assert isinstance(last, torch.Tensor)
    assert float(last.detach()) < float(first.detach())
    assert torch.get_num_threads() == threads


def test_another_machine_is_not_timed_and_auc_is_still_judged(
    check: Check, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = json.loads(baseline.read_text())
    fields["environment"]["cpu"] = "Another CPU"
    baseline.write_text(json.dumps(fields))
    monkeypatch.setattr(running, "pace_of", None)  # would fail if it was called
    monkeypatch.setattr(running, "run_quality", lambda *args: iter(read_baseline(baseline).quality))
    done = check()
    assert done.code == 4
    assert "another machine: cpu" in done.err
    done = check("--allow-unjudged", "speed")
    assert done.code == 0, done.err
    assert "not judged, as allowed: speed: another machine" in done.err


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("suite_hash", "0" * 64, "another suite"), ("data_hash", "0" * 64, "data ")],
    ids=["suite", "data"],
)
def test_what_is_not_comparable_ends_with_4(
    check: Check, baseline: Path, field: str, value: str, reason: str
) -> None:
    fields = json.loads(baseline.read_text())
    for place in [fields] if field in fields else fields["quality"]:
        place[field] = value
    baseline.write_text(json.dumps(fields))
    done = check("--only", "auc")
    assert done.code == 4
    assert "not comparable" in done.err
    assert reason in done.err


def test_no_baseline_ends_with_4_in_the_first_second(check: Check, tmp_path: Path) -> None:
    done = check(file=tmp_path / "none.json")
    assert done.code == 4
    assert f"genrank check --baseline {tmp_path / 'none.json'} --update" in done.err


def test_unusable_data_are_said_before_the_long_work(
    check: Check, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = small_suite().quality[0].model_dump()
    real = part | {"name": "real", "dataset": "ml-100k", "options": {}}
    both = whole_suite(quality=[part, real])
    monkeypatch.setattr(suites, "load_suite", lambda: both)
    fields = json.loads(baseline.read_text()) | {"suite_hash": both.hash}
    baseline.write_text(json.dumps(fields))
    monkeypatch.setattr(running, "run_quality", None)  # would fail if it was called
    done = check("--only", "auc")
    assert done.code == 5
    assert "genrank data build ml-100k" in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "auk"], "did you mean 'auc'"),
        (["--allow-unjudged", "everything"], "allowed: benchmarks, speed"),
        (["--allow-unjudged", "auc"], "allowed: benchmarks, speed"),
        (["--json", "--format", "md"], "--json"),
        (["-o", "gate.unknown"], "unknown file suffix"),
        (["--junit", "no/such/folder.xml"], "--junit"),
    ],
    ids=["only", "allow", "allow-auc", "form", "suffix", "junit"],
)
def test_refusals(check: Check, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = check(*arguments, file=tmp_path / "none.json")
    assert done.code == 2
    assert message in done.err


def test_measured_quality_is_by_seed(made: Path) -> None:
    found = read_baseline(made).quality
    assert [q.model for q in found] == ["genrank", "dlrm"]
    assert all(isinstance(q, Quality) and len(set(q.auc)) == len(q.seeds) for q in found)
    assert verdict([]) is Outcome.CANNOT_JUDGE


def test_the_workflow_in_the_documents_is_whole() -> None:
    text = (REPOSITORY / "docs" / "ci.md").read_text()
    [workflow] = re.findall(r"```yaml\n(.*?)```", text, re.S)
    assert "\t" not in workflow
    assert all(len(line) - len(line.lstrip()) in range(0, 14, 2) for line in workflow.splitlines())
    top = [line.partition(":")[0] for line in workflow.splitlines() if line[:1].isalpha()]
    assert top == ["name", "on", "permissions", "jobs"]
    uses = re.findall(r"uses: (\S+)", workflow)
    assert uses
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", use) for use in uses)
    command = " ".join(
        textwrap.dedent(workflow.partition("run: >\n")[2].partition("- name")[0]).split()
    )
    assert command.startswith("genrank check --baseline results/baselines/cpu.json")
    assert "--allow-unjudged speed" in command
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        return
    assert list(yaml.safe_load(workflow)["jobs"]) == ["gate"]
