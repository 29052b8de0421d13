"""Benches of which a part fails, and records that are shown by another version of the program."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genrank_cli.bench import peak
from genrank_cli.bench.attention.run import run as run_attention
from genrank_cli.bench.checks import Bar, Verdict
from genrank_cli.bench.compare.compare import compare
from genrank_cli.bench.model import regimes
from genrank_cli.bench.model.claims import predicted
from genrank_cli.bench.model.plan import BASE
from genrank_cli.bench.model.run import run
from genrank_cli.bench.record import BenchRecord, Case, finite
from genrank_cli.bench.rows import checked_bar
from genrank_cli.bench.statistics import ratio_interval
from genrank_cli.bench.sweep import stages as sweep_stages
from genrank_cli.bench.sweep.plan import Request as SweepRequest
from genrank_cli.bench.sweep.run import run as run_sweep
from genrank_cli.models.build import build_ranker
from genrank_cli.report.bench_model import claims_table, regime_table, stage_seconds, steps
from genrank_cli.report.bench_views import plot, tables
from tests.bench.small import small_request
from tests.bench.test_model import record, request

pytestmark = pytest.mark.usefixtures("quick_machine")

SWEEP = SweepRequest(size="tiny", values=(8, 16), batch_size=1, candidates=2, threads=1, rounds=1)


def sweep() -> BenchRecord:
    return run_sweep(SWEEP)


def models() -> BenchRecord:
    return run(request(models=("hstu", "genrank"), rounds=1))


def attention() -> BenchRecord:
    return run_attention(small_request(biases=("none",), backends=("blockwise",), rounds=1))


@cache
def one_round() -> BenchRecord:
    return run(request(models=(BASE, "action-materialized", "hstu+embeddings+alibi"), rounds=1))


def full(*given: Any, **options: Any) -> Any:
    raise RuntimeError("no memory left")


def missing(case: Case) -> dict[str, str]:
    return {left.name: left.reason for left in case.left_out}


def shown(record: BenchRecord, path: Path) -> str:
    """All notes of its tables; also drawn."""
    assert plot(record, path / "p.svg")
    return "\n".join(note for table in tables(record) for note in table.notes)


def test_a_model_that_cannot_be_built_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def some(config: Any, schema: Any) -> Any:
        return full() if config.organization == "action" else build_ranker(config, schema)

    monkeypatch.setattr("genrank_cli.bench.model.stages.build_ranker", some)
    found = models()
    case = found.cases[0]
    assert {row.labels["model"] for row in case.rows} == {"hstu"}
    assert missing(case)["genrank/step"] == "RuntimeError: no memory left"
    assert len(missing(case)) == 6
    assert "genrank/head was left out: RuntimeError: no memory left" in shown(found, tmp_path)


def test_a_value_that_cannot_be_built_is_left_out_of_a_sweep(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bench = sweep_stages.bench_of
    monkeypatch.setattr(
        sweep_stages,
        "bench_of",
        lambda asked, model, value: full() if value == 16 else bench(asked, model, value),
    )
    found = sweep()
    assert {row.labels["value"] for row in found.cases[0].rows} == {"8"}
    assert len(missing(found.cases[0])) == 6
    assert "genrank/step/16 was left out" in shown(found, tmp_path)


@pytest.mark.parametrize("bench", [models, sweep, attention])
@pytest.mark.parametrize("broken", ["product", "copy", "both"])
def test_a_probe_that_fails_loses_nothing_else(
    bench: Any, broken: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if broken != "copy":
        monkeypatch.setitem(peak.PRODUCT_SIDE, "cpu", 2**21)
    if broken != "product":
        monkeypatch.setitem(peak.COPY_BYTES, "cpu", 2**60)
    found = bench()
    case = found.cases[0]
    assert len(case.rows) >= 1
    assert {"product/float32", "copy"} - {probe.name for probe in case.probes} == {
        "product": {"product/float32"},
        "copy": {"copy"},
        "both": {"product/float32", "copy"},
    }[broken]
    assert all(bool(row.share) == (broken == "copy") for row in case.rows if row.flops["forward"])
    assert "was left out" in shown(found, tmp_path)


# What was stored is shown


def test_regimes_and_prediction_are_those_of_the_measurement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    again = BenchRecord.model_validate_json(record().model_dump_json())
    monkeypatch.setattr(regimes, "count", full)
    (name,) = record().extra["regimes"]
    again.extra["regimes"][name][0]["attention"] = 0.125
    both = predicted(record().cases[0])  # None where the machine was too restless
    stored = {} if both is None else {name: finite(both)}
    assert again.extra["predicted_speed"] == stored
    again.extra["predicted_speed"] = {name: finite(ratio_interval([3.21] * 8, [1.0] * 8))}
    assert regime_table(again).formatted()[0][4] == "0.1250"
    assert "alone predict 3.21×" in claims_table(again).notes[0]


def test_a_record_of_before_is_shown_without_what_it_does_not_hold() -> None:
    fields = record().model_dump(mode="json")
    del fields["extra"]
    old = BenchRecord.model_validate(fields)
    titles = [table.title for table in tables(old)]
    assert "Work of a step" in titles
    assert "Two regimes" not in titles
    assert claims_table(old).notes == []


def test_rows_name_their_dtype_so_that_a_comparison_finds_the_product() -> None:
    found = run(request(models=("genrank",), dtype="bfloat16", rounds=2))
    assert {row.labels["dtype"] for row in found.cases[0].rows} == {"bfloat16"}
    changes = compare(found, found, ("old", "new"), "command").changes
    assert "time / product/bfloat16" in {change.quantity for change in changes}


# Few rounds


def test_the_reason_names_an_interval_only_where_there_is_one() -> None:
    bar = Bar("id", "text", "at least", 1.0)
    wide = checked_bar(bar, "case", ratio_interval([0.5, 2.0, 1.0], [1.0] * 3), "--requests")
    assert wide.verdict is Verdict.CANNOT_TELL
    assert wide.reason == "the bound lies within the interval: give more --requests"
    one = checked_bar(bar, "case", ratio_interval([2.0], [1.0]))
    assert one.verdict is Verdict.CANNOT_TELL
    assert one.reason == "too few for an interval: give more --rounds"
    assert checked_bar(bar, "case", None, why="not asked").reason == "not asked"
    assert checked_bar(bar, "case", ratio_interval([2.0] * 8, [1.0] * 8), why="x").reason == ""


def test_one_round_predicts_without_an_interval() -> None:
    both = {"16 tokens": finite(ratio_interval([2.0], [1.0]))}
    found = one_round().model_copy(update={"extra": {"predicted_speed": both}})
    (note,) = claims_table(BenchRecord.model_validate_json(found.model_dump_json())).notes
    assert "alone predict 2.00× (too few rounds for an interval) for both" in note


def test_speeds_stand_in_the_plot_of_one_round_and_name_their_base(tmp_path: Path) -> None:
    text = plot(one_round(), tmp_path / "p.svg")[0].read_text()
    (case,) = one_round().cases
    row = case.row("action-materialized/step")
    assert row is not None
    assert row.base is not None
    assert f"{1 / row.ratio[row.base].mean:.2f}×" in text
    assert f"1.00×: {BASE}" in text


def test_the_plot_says_where_stages_are_scaled(tmp_path: Path) -> None:
    (case,) = one_round().cases
    slow = [
        row.model_copy(update={"time_s": {k: scale(v, 1e3) for k, v in row.time_s.items()}})
        if row.name == f"{BASE}/attention"
        else row
        for row in case.rows
    ]
    changed = case.model_copy(update={"rows": slow})
    rest = {row.labels["model"]: stage_seconds(changed, row)["rest"] for row in steps(changed)}
    assert rest[BASE] < 0
    found = one_round().model_copy(update={"cases": [changed]})
    text = plot(found, tmp_path / "p.svg")[0].read_text()
    names = ", ".join(name for name, seconds in rest.items() if seconds < 0)
    drawn = " ".join(re.findall("<!-- (.*?) -->", text))
    assert f"longer alone than in the step, so scaled to it: {names}" in drawn


def scale(interval: Any, factor: float) -> Any:
    numbers = np.array([interval.mean, interval.low, interval.high]) * factor
    return type(interval)(*map(float, numbers), interval.n, interval.sd)
