"""Tables and plots of a record."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.record import LeftOut, Memory
from genrank_cli.report import render
from genrank_cli.report.bench import checks_table, memory_table, rows_table, tables
from genrank_cli.report.bench_plot import plot_times
from tests.bench.small import made_case, made_check, made_record, made_row, small_record

BASE = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0]
SLOW = [1.25 * time for time in BASE]


def record_of_two() -> dict[str, str]:
    rows = [
        made_row("native/none/float32", BASE),
        made_row("native/rab/float32", SLOW, {"native/none/float32": BASE, "sdpa/float32": BASE}),
    ]
    left = [
        LeftOut(name="flash/float32", reason="no kernel", expected=True),
        LeftOut(name="triton/none/float32", reason="no GPU", expected=False),
    ]
    table = rows_table(made_record([made_case(rows, left)]))
    return dict(zip(table.headings, table.formatted()[1], strict=True)) | {
        "notes": "\n".join(table.notes),
        "header": "\n".join(table.header),
    }


def test_a_row_shows_time_rate_share_and_ratio() -> None:
    row = record_of_two()
    assert row["row"] == "native/rab/float32"
    assert row["forward + backward (ms)"] == "1250.0 [1250.0, 5000.0]"
    assert row["rate (GFLOP/s)"] == "0.8"
    assert row["forward's share"] == "40.0 %"
    assert row["time / base's"] == "1.250×"
    assert row["base"] == "native/none/float32"
    assert row["time / sdpa's"] == "1.25×"
    assert row["outliers"] == "1"


def test_disturbances_and_absent_rows_stand_below_the_table() -> None:
    notes = record_of_two()["notes"]
    assert "! L480: a noisy machine" in notes
    assert "native/none/float32 1, native/rab/float32 1" in notes
    assert "? L480: flash/float32 was left out: no kernel" in notes
    assert "x L480: triton/none/float32 was left out: no GPU" in notes


def test_the_limits_of_the_machine_stand_above() -> None:
    assert "L480: 8 rounds in 12 s · product/float32 100 GFLOP/s" in record_of_two()["header"]


def test_several_cases_are_told_apart() -> None:
    cases = [made_case([made_row("native/none/float32", BASE)], seq_len=n) for n in (480, 960)]
    table = rows_table(made_record(cases))
    assert [row[0] for row in table.formatted()] == ["L480", "L960"]
    assert table.breaks == {1}


def test_csv_holds_full_precision_and_bounds() -> None:
    row = made_row("native/rab/float32", SLOW, {"native/none/float32": BASE})
    text = render(rows_table(made_record([made_case([row])])), "csv")
    (found,) = csv.DictReader(io.StringIO(text))
    assert float(found["ratio"]) == pytest.approx(1.25)
    assert {"total_ms_low", "total_ms_high", "ratio_low"} <= set(found)


@pytest.mark.parametrize("verdict", Verdict)
def test_a_check_shows_bar_measurement_and_verdict(verdict: Verdict) -> None:
    (cells,) = checks_table(made_record([], [made_check(verdict)])).formatted()
    assert cells[2:5] == ["≤ 1.3×", "1.2× [1.15×, 1.25×]", f"{verdict.symbol} {verdict}"]


def test_a_check_of_a_share_is_in_percent() -> None:
    check = made_check(Verdict.NOT_TESTABLE, measured=None, unit="%", bound=0.15, reason="none")
    (cells,) = checks_table(made_record([], [check])).formatted()
    assert cells[2:] == ["≤ 15.0 %", "–", "? not testable here", "none"]


def test_memory_beside_the_references() -> None:
    rows = [
        Memory(name="reference/none/float32", labels={}, peak_bytes=2**30),
        Memory(name="native/none/float32", labels={}, peak_bytes=2**27),
        Memory(name="sdpa/float32", labels={}, peak_bytes=None, reason="killed"),
    ]
    record = small_record().model_copy(update={"memory": rows})
    assert memory_table(record).formatted() == [
        ["reference/none/float32", "1024.0", "100.0 %", "–"],
        ["native/none/float32", "128.0", "12.5 %", "–"],
        ["sdpa/float32", "–", "–", "killed"],
    ]
    assert [table.title.partition(",")[0] for table in tables(record)][1] == "Peak extra memory"


def test_a_plot_has_every_row_and_is_reproducible(tmp_path: Path) -> None:
    cases = [made_case([made_row("native/none/float32", BASE)], seq_len=n) for n in (480, 960)]
    cases[1] = made_case([made_row("sdpa/bfloat16", SLOW)], seq_len=960)
    first = plot_times(made_record(cases), tmp_path / "one")
    assert [file.name for file in first] == ["one.png", "one.svg"]
    (second,) = plot_times(made_record(cases), tmp_path / "two.svg")
    text = first[1].read_text()
    assert text == second.read_text()
    for word in ("native/none/float32", "sdpa/bfloat16", "L480", "L960", "95 % interval"):
        assert f"<!-- {word}" in text or word in text
