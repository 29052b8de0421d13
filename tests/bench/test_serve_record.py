"""What a serving bench's record keeps and shows: failed cases, disturbances, percentiles."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from genrank_cli.bench.record import BenchRecord, Case, Row
from genrank_cli.bench.serve import run as run_module
from genrank_cli.bench.serve.plan import Request, checked
from genrank_cli.bench.serve.run import run
from genrank_cli.cli.bench.following import finish
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.metrics.intervals import Interval
from genrank_cli.report.bench_serve import latency_table, tables
from genrank_cli.report.bench_serve_plot import drawn, plot

pytestmark = pytest.mark.usefixtures("quick_machine")

SMALL: dict[str, Any] = {
    "models": ("dlrm", "genrank"), "size": "tiny", "history": 12, "candidates": (3,),
    "micro_batches": (64,), "requests": 3, "users": 1, "threads": 1,
}  # fmt: skip


def request(**changes: Any) -> Request:
    return checked(Request(**SMALL | changes))


@cache
def record() -> BenchRecord:
    return run(request())


def changed(**fields: Any) -> BenchRecord:
    """The record whose one case has these fields."""
    case = record().cases[0].model_copy(update=fields)
    return record().model_copy(update={"cases": [case]})


def with_p99(high: float) -> Row:
    row = record().cases[0].rows[0]
    far = Interval(1.0, 0.9, high, 400, 0.1)
    near = Interval(0.5, 0.4, 0.6, 400, 0.1)
    return row.model_copy(update={"time_s": {"total": near, "p90": near, "p99": far}})


def test_an_error_of_a_later_case_keeps_those_before_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    true = run_module._case

    def broken(asked: Request, candidates: int, watch: Any) -> Any:
        if candidates == 5:
            raise RuntimeError("no memory for 5")
        return true(asked, candidates, watch)

    monkeypatch.setattr(run_module, "_case", broken)
    found = run(request(candidates=(3, 5, 4)))
    assert [(case.name, bool(case.rows)) for case in found.cases] == [
        ("N12-C3", True), ("N12-C5", False), ("N12-C4", True),
    ]  # fmt: skip
    assert [x.reason for x in found.failures] == ["no memory for 5"]
    assert {check.case for check in found.checks} == {"N12-C3", "N12-C4"}
    assert any("N12-C5" in note and "no memory" in note for note in tables(found)[0].notes)
    assert plot(found, tmp_path / "serve")
    with pytest.raises(GenrankError, match="no memory for 5") as error:
        finish(found, None)
    assert error.value.exit_code is ExitCode.PARTIAL
    with pytest.raises(RuntimeError, match="no memory"):
        run(request(candidates=(5, 3)))


def test_requests_that_took_much_longer_are_told() -> None:
    row = record().cases[0].rows[0].model_copy(update={"outliers": 23})
    notes = latency_table(changed(rows=[row])).notes
    assert any("over 1.5× their median, kept: dlrm/whole 23" in note for note in notes)
    assert not any("1.5×" in x for x in latency_table(changed(rows=[_calm(row)])).notes)


def _calm(row: Row) -> Row:
    return row.model_copy(update={"outliers": 0})


def test_a_percentile_that_the_table_refuses_is_not_drawn() -> None:
    assert drawn(with_p99(1.2)) == ["total", "p90", "p99"]
    refused = with_p99(math.nan)
    assert drawn(refused) == ["total", "p90"]
    assert str(latency_table(changed(rows=[refused])).rows[0][4]).startswith("? 400 of")


def test_the_environment_names_the_device_that_was_used() -> None:
    assert record().environment["device"] == "cpu"


def test_advice_names_an_option_that_the_command_has(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def heard(times: Any, more: str = "--rounds") -> list[str]:
        asked.append(more)
        return []

    monkeypatch.setattr(run_module, "pace_warnings", heard)
    case: Case = run(request()).cases[0]
    assert case.rows
    assert asked == ["--requests"]
