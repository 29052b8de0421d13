"""``genrank check`` from end to end on a suite of seconds, with losses planted in the code."""

from __future__ import annotations

import json
import re
import shutil
import textwrap
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from genrank_cli.gate import compare as comparing
from genrank_cli.gate import run as running
from genrank_cli.gate import suite as suites
from genrank_cli.gate.baseline import read_baseline
from genrank_cli.gate.judge import Outcome, judge, verdict
from genrank_cli.gate.measurement import Quality
from genrank_cli.gate.pace import measure_pace, yardstick
from genrank_cli.gate.quality import open_part
from genrank_cli.gate.suite import Suite
from genrank_cli.training.loop import Trainer
from genrank_cli.training.run import run_cell
from tests.conftest import REPOSITORY, Cli
from tests.gate.cases import suite as whole_suite


def suite(**fields: Any) -> Suite:
    """The small suite with three seeds."""
    [part] = whole_suite().quality
    return whole_suite(quality=[part.model_dump() | {"seeds": (0, 1, 2)}], **fields)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "load_suite", suite)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline of the small suite, made by ``--update``."""
    from genrank_cli.gate.baseline import write_baseline

    file = tmp_path_factory.mktemp("baseline") / "cpu.json"
    write_baseline(file, running.measure_suite(suite(), jobs=1))
    return file


@pytest.fixture
def baseline(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made, tmp_path / "cpu.json"))


def check(cli: Cli, baseline: Path, *more: str) -> Any:
    return cli("check", "--baseline", str(baseline), "--jobs", "1", *more)


def test_unchanged_code_gives_the_same_auc_and_passes(
    cli: Cli, baseline: Path, tmp_path: Path
) -> None:
    done = check(
        cli, baseline, "--only", "auc", "--json",
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
    cli: Cli, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training is real, one model's AUC is 1 % lower than what it reached."""

    def worse(cell: Any, *args: Any, **more: Any) -> Any:
        assert more["threads"] == 1  # sums in the same order on every machine
        record = run_cell(cell, *args, **more)
        if cell.config.model.kind == "dlrm":
            record["test"]["click"]["auc"] *= 0.99
        return record

    monkeypatch.setattr("genrank_cli.studies.cells.run_cell", worse)
    done = check(cli, baseline, "--only", "auc")
    assert done.code == 3
    assert "regressed: auc/feed/dlrm: AUC −0.00" in done.err
    assert "genrank" not in done.err.partition("regressed:")[2].partition("hint")[0]
    assert "--update" in done.err


def test_a_failing_model_cannot_be_judged(
    cli: Cli, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trainer: Trainer, *args: Any) -> None:
        raise RuntimeError("it broke")

    monkeypatch.setattr(Trainer, "fit", broken)
    done = check(cli, baseline, "--only", "auc")
    assert done.code == 4
    assert "seed 0: RuntimeError: it broke" in done.err
    before = baseline.read_text()
    assert check(cli, baseline, "--only", "auc", "--update").code == 4
    assert baseline.read_text() == before


@pytest.mark.slow
def test_a_planted_slowdown_is_caught_and_named(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step of one model does a quarter more work: the rest of its time is real."""
    old = read_baseline(made)
    assert old.pace is not None
    store = open_part(suite().part("feed"))
    assert store is not None
    honest = Trainer.train_step

    def slower(trainer: Trainer, batch: Any) -> float:
        begun = time.process_time()
        loss = honest(trainer, batch)
        if "Dlrm" in type(trainer.model).__name__:
            until = begun + 1.25 * (time.process_time() - begun)
            while time.process_time() < until:
                pass
        return loss

    monkeypatch.setattr(Trainer, "train_step", slower)
    pace, failures = measure_pace(suite(), store)
    assert not failures
    now = old.model_copy(update={"pace": pace})
    found = {check.id: check for check in judge(suite(), old, now)}
    change = found["speed/dlrm step"].change
    assert change is not None
    assert change.value > 1.15
    assert found["speed/dlrm step"].outcome is not Outcome.PASSED


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


@pytest.mark.slow
def test_another_machine_is_not_timed_and_auc_is_still_judged(
    cli: Cli, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = json.loads(baseline.read_text())
    fields["environment"]["cpu"] = "Another CPU"
    baseline.write_text(json.dumps(fields))
    monkeypatch.setattr(running, "pace_of", None)  # would fail if it was called
    done = check(cli, baseline)
    assert done.code == 4
    assert "another machine: cpu" in done.err
    done = check(cli, baseline, "--allow-unjudged", "speed")
    assert done.code == 0, done.err
    assert "not judged, as allowed: speed: another machine" in done.err


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [("suite_hash", "0" * 64, "another suite"), ("data_hash", "0" * 64, "data ")],
    ids=["suite", "data"],
)
def test_what_is_not_comparable_ends_with_4(
    cli: Cli, baseline: Path, field: str, value: str, reason: str
) -> None:
    fields = json.loads(baseline.read_text())
    for place in [fields] if field in fields else fields["quality"]:
        place[field] = value
    baseline.write_text(json.dumps(fields))
    done = check(cli, baseline, "--only", "auc")
    assert done.code == 4
    assert "not comparable" in done.err
    assert reason in done.err


def test_no_baseline_ends_with_4_in_the_first_second(cli: Cli, tmp_path: Path) -> None:
    done = check(cli, tmp_path / "none.json")
    assert done.code == 4
    assert f"genrank check --baseline {tmp_path / 'none.json'} --update" in done.err


def test_unusable_data_are_said_before_the_long_work(
    cli: Cli, baseline: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = suite().quality[0].model_dump() | {"name": "real", "dataset": "ml-100k", "options": {}}
    both = whole_suite(quality=[suite().quality[0].model_dump(), real])
    monkeypatch.setattr(suites, "load_suite", lambda: both)
    fields = json.loads(baseline.read_text()) | {"suite_hash": both.hash}
    baseline.write_text(json.dumps(fields))
    monkeypatch.setattr(running, "run_quality", None)  # would fail if it was called
    done = check(cli, baseline, "--only", "auc")
    assert done.code == 5
    assert "genrank data build ml-100k" in done.err


@pytest.mark.slow
def test_an_update_is_shown_and_then_passes(cli: Cli, baseline: Path, tmp_path: Path) -> None:
    new = tmp_path / "new.json"
    done = check(cli, new, "--only", "auc", "--update")
    assert done.code == 0, done.err
    assert "auc/feed/genrank: – → 0." in done.err
    assert check(cli, new, "--only", "auc").code == 0
    assert not list(tmp_path.glob(".*"))


def test_doubtful_times_are_measured_again_and_judged_together(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = read_baseline(made)
    assert old.pace is not None
    slow = {
        name: tuple(1.12 * t for t in times) if name == "dlrm step" else times
        for name, times in old.pace.rounds_s.items()
    }
    paces = [old.pace.model_copy(update={"rounds_s": slow}), old.pace, old.pace]
    chosen = suite(pace=suite().pace.model_dump() | {"repeat": 2})
    calls: list[int] = []

    def told(*args: Any) -> Any:
        calls.append(1)
        return paces[len(calls) - 1], []

    monkeypatch.setattr(running, "pace_of", told)
    monkeypatch.setattr(comparing, "pace_of", told)
    same = old.model_copy(update={"suite_hash": chosen.hash})
    now = comparing.measure_against(chosen, same, ["speed"])
    assert 2 <= len(calls) <= 3
    assert now.pace is not None
    assert len(now.pace.rounds_s["yardstick"]) == 8 * len(calls)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "auk"], "did you mean 'auc'"),
        (["--allow-unjudged", "everything"], "allowed: auc, benchmarks, speed"),
        (["--junit", "no/such/folder.xml"], "--junit"),
    ],
    ids=["only", "allow", "junit"],
)
def test_refusals(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    done = check(cli, tmp_path / "none.json", *arguments)
    assert done.code == 2
    assert message in done.err


@pytest.mark.slow
def test_twenty_real_measurements_of_unchanged_code_raise_no_alarm(made: Path) -> None:
    """Real times, dealt into two halves twenty times: "then" and "now"."""
    old = read_baseline(made)
    store = open_part(suite().part("feed"))
    assert store is not None
    pace, _ = measure_pace(suite(pace=suite().pace.model_dump() | {"rounds": 16}), store)
    for deal in range(20):
        places = np.random.default_rng(deal).permutation(16)
        then, now = (
            old.model_copy(update={"pace": pace.model_copy(update={"rounds_s": dealt})})
            for dealt in (
                {name: tuple(times[place] for place in half) for name, times in rounds.items()}
                for rounds in [pace.rounds_s]
                for half in (places[:8], places[8:])
            )
        )
        found = judge(suite(), then, now)
        assert [c.id for c in found if c.outcome is Outcome.REGRESSED] == []


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
