"""``genrank bench`` as it is typed: tables, files, plots, refusals, interruption."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from genrank_cli.bench.model import child
from genrank_cli.bench.model import run as running
from genrank_cli.bench.record import read_record
from tests.bench.test_model import record, request
from tests.conftest import Cli

pytestmark = pytest.mark.usefixtures("quick_machine")

QUICK = (
    "--seq-len", "16", "--size", "tiny", "--batch-size", "1", "--candidates", "2", "--rounds", "1",
    "--threads", "1", "--no-memory", "--model", "hstu,genrank",
)  # fmt: skip


def test_the_command_writes_a_record_and_shows_it(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    done = cli("bench", *QUICK, "-o", str(file), "--plot", str(tmp_path / "bench.svg"))
    assert done.code == 0, done.err
    assert [case.labels["seq_len"] for case in read_record(file).cases] == [16]
    assert "<svg" in (tmp_path / "bench.svg").read_text()
    shown = cli("bench", "show", str(file), "--format", "md").out
    for title in ("Training steps", "Time by stage", "Work of a step", "Two regimes"):
        assert title in shown
    assert "16 HSTU tokens of history = 8 events a sample (fixed)" in shown


def test_stages_and_rest_add_up_to_the_step(cli: Cli, tmp_path: Path) -> None:
    from genrank_cli.report.bench_model import stage_seconds, steps

    case = record().cases[0]
    for row in steps(case):
        taken = stage_seconds(case, row)
        assert sum(taken.values()) == pytest.approx(row.time_s["total"].mean)
        if row.labels["model"] != "dlrm":
            one = case.row(f"{row.labels['model']}/attention")
            assert one is not None
            assert taken["attention"] == pytest.approx(2 * one.time_s["total"].mean)


@pytest.mark.parametrize("form", ["md", "csv", "latex", "json"])
def test_every_form_is_written(form: str, cli: Cli) -> None:
    done = cli("bench", *QUICK, "--dry-run", "--format", form)
    assert done.code == 0, done.err
    assert "genrank" in done.out


def test_without_options_it_explains_itself(cli: Cli) -> None:
    done = cli("bench")
    assert "genrank bench --seq-len 480" in done.out + done.err


def test_options_before_a_subcommand_are_refused(cli: Cli) -> None:
    done = cli("bench", "--seq-len", "480", "attention", "--dry-run")
    assert done.code == 2
    assert "--seq-len stands before 'attention'" in done.err


def test_the_dry_run_says_what_would_run(cli: Cli) -> None:
    done = cli("bench", "--seq-len", "480", "--dry-run", "--json")
    rows = json.loads(done.out)["rows"]
    assert [row["tokens"] for row in rows] == [1960, 1960, 1960, 1000, 1000]
    assert {row["events"] for row in rows} == {960}


def test_lengths_of_a_store(cli: Cli, tmp_path: Path) -> None:
    built = cli("data", "build", "synthetic", "--users", "60", "--name", "small-feed")
    assert built.code == 0, built.err
    options = ("--lengths", "real:small-feed", "--dry-run", "--json")
    done = cli("bench", *QUICK, *options)
    assert done.code == 0, done.err
    rows = {row["model"]: row for row in json.loads(done.out)["rows"]}
    assert rows["hstu"]["events"] == rows["genrank"]["events"] > 0
    assert cli("bench", *QUICK, "--lengths", "real:nothing", "--dry-run").code in (2, 5)


def test_the_memory_of_a_step_is_that_of_its_batch() -> None:
    asked = {"settings": request(size="base", batch_size=8).settings(), "model": "genrank"}
    assert child.peak_bytes(asked) > 10 * 2**20  # the moments of AdamW alone


def test_interrupted_keeps_what_was_finished(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, calls = running._case, []

    def second_never(*given: object) -> object:
        calls.append(given)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return case(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "_case", second_never)
    file = tmp_path / "half.json"
    options = (*QUICK[2:], "--seq-len", "16,24", "-o", str(file))
    done = cli("bench", *options)
    assert done.code == 130
    assert read_record(file).interrupted
    assert len(read_record(file).cases) == 1
