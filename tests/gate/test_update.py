"""``genrank check --update``: what it repairs, refuses and keeps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.gate import baseline as baselines
from genrank_cli.gate import run as running
from genrank_cli.gate.baseline import changes, merged, read_baseline, write_baseline
from genrank_cli.gate.measurement import Benchmark, Benchmarks
from tests.gate.cases import measurement
from tests.gate.conftest import Check

AUC = ("--only", "auc")
ROWS = Benchmarks(
    cpu="one", rows={"row": Benchmark(low_s=0.9, median_s=0.001, high_s=1.1, rounds=9)}
)


@pytest.fixture
def measured(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The suite has run before it is asked to."""
    found = read_baseline(made).model_copy(update={"pace": None, "parts": ("auc",)})
    monkeypatch.setattr("genrank_cli.gate.compare.measure_suite", lambda *args, **more: found)


def test_an_update_is_shown_and_then_passes(check: Check, measured: None, tmp_path: Path) -> None:
    new = tmp_path / "folder" / "new.json"
    done = check(*AUC, "--update", file=new)
    assert done.code == 0, done.err
    assert "auc/feed/genrank: – → 0." in done.err
    assert check(*AUC, file=new).code == 0
    assert not list(new.parent.glob(".*"))


@pytest.mark.parametrize(
    ("text", "code"), [("{", 5), ('{"version": 99}', 4), ('{"version": 1}', 5)]
)
def test_an_update_repairs_what_no_run_could_use(
    check: Check, measured: None, tmp_path: Path, text: str, code: int
) -> None:
    file = tmp_path / "bad.json"
    file.write_text(text)
    assert check(*AUC, file=file).code == code
    done = check(*AUC, "--update", file=file)
    assert done.code == 0, done.err
    assert "nothing of it is kept" in done.err
    assert check(*AUC, file=file).code == 0


@pytest.mark.parametrize(
    "options",
    [
        ("--junit", "gate.xml"),
        ("--summary", "gate.md"),
        ("-o", "gate.json"),
        ("--json",),
        ("--format", "md"),
        ("--allow-unjudged", "speed"),
    ],
    ids=lambda options: str(options[0]),
)
def test_an_update_refuses_what_it_would_ignore(
    check: Check, options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genrank_cli.gate.compare.measure_suite", None)  # must not be called
    done = check("--update", *options)
    assert done.code == 2
    assert "it has no use for --" in done.err


def test_a_place_that_cannot_be_written_is_said_before_the_suite_runs(
    check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genrank_cli.gate.compare.measure_suite", None)  # must not be called
    (tmp_path / "file").touch()
    for place in (tmp_path, tmp_path / "file" / "cpu.json", tmp_path / "file" / "a" / "cpu.json"):
        done = check("--update", file=place)
        assert done.code == 2, done.err
        assert "--baseline" in done.err


def test_a_full_disk_is_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(baselines, "write_json", full)
    with pytest.raises(GenrankError, match="cannot be written: No space"):
        write_baseline(tmp_path / "cpu.json", measurement())


def test_the_rows_of_a_benchmark_file_are_kept_and_shown() -> None:
    old = measurement(benchmarks=ROWS)
    other = measurement(suite_hash="0" * 64)
    assert merged(old, other).benchmarks == ROWS
    assert merged(old, measurement()).benchmarks == ROWS
    assert "benchmarks/row (ms): 1.0000 → –" in changes(old, measurement())


def test_optional_data_of_an_older_version_are_skipped_with_the_reason(
    check: Check, baseline: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from genrank_cli.gate import quality
    from genrank_cli.gate import suite as suites
    from tests.gate.cases import small_suite, suite

    store = tmp_path / "ml-100k"
    store.mkdir()
    (store / "manifest.json").write_text('{"build_version": 0}')
    monkeypatch.setattr(quality, "store_path", lambda dataset: store)
    part = small_suite().quality[0].model_dump()
    real = part | {"name": "real", "dataset": "ml-100k", "options": {}, "optional": True}
    both = suite(quality=[part, real])
    monkeypatch.setattr(suites, "load_suite", lambda: both)
    fields = json.loads(baseline.read_text()) | {"suite_hash": both.hash}
    baseline.write_text(json.dumps(fields))
    monkeypatch.setattr(running, "run_quality", lambda *args: iter(read_baseline(baseline).quality))
    done = check(*AUC)
    assert done.code == 0, done.err
    assert "skipped" in done.out
    assert "build version 0" in done.out
    assert "genrank data build ml-100k" in done.out
