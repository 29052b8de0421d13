"""Times of own logs: every unit and format, and what is wrong with one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from genrank_cli.errors import ExitCode
from tests.data.own import START, write_own
from tests.data.ownlog import SECONDS, build, log_card, refusal, write_log


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_own(tmp_path / "raw")


MOMENTS = pl.Series(SECONDS).cast(pl.Int64) * 1_000_000


TIMES: list[tuple[str, dict[str, Any], Any]] = [
    ("s", {}, SECONDS),
    ("s-fraction", {"unit": "s"}, [second + 0.125 for second in SECONDS]),
    ("ms", {"unit": "ms"}, [second * 1000 + 1 for second in SECONDS]),
    ("us", {"unit": "us"}, [second * 10**6 for second in SECONDS]),
    ("ns", {"unit": "ns"}, [second * 10**9 for second in SECONDS]),
    ("iso", {"unit": "iso"}, MOMENTS.cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%S")),
    ("iso-zone", {"unit": "iso"}, MOMENTS.cast(pl.Datetime("us")).dt.strftime("%F %T+00:00")),
    (
        "iso-shift",
        {"unit": "iso"},
        (MOMENTS + 7200 * 10**6).cast(pl.Datetime("us")).dt.strftime("%FT%T+0200"),
    ),
    (
        "format",
        {"format": "%d.%m.%y %T"},
        MOMENTS.cast(pl.Datetime("us")).dt.strftime("%d.%m.%y %T"),
    ),
    ("relative", {"relative": True}, [row * 30 for row in range(12)]),
]


@pytest.mark.parametrize(("spec", "times"), [t[1:] for t in TIMES], ids=[t[0] for t in TIMES])
@pytest.mark.parametrize("log", ["log.csv", "log.parquet"])
def test_units_of_time(log: str, spec: dict[str, Any], times: Any, raw: Path, home: Path) -> None:
    write_log(raw, log, time=times)
    store = build(raw, log_card(log, timestamp={"column": "time"} | spec))
    shift = {"s-fraction": 0.125, "ms": 0.001}
    first = store.manifest.time.first
    expected = 0 if spec.get("relative") else START
    name = next(name for name, known, values in TIMES if known == spec and values is times)
    assert first == expected + shift.get(name, 0.0)
    assert store.manifest.time.last - first == 330


@pytest.mark.parametrize(
    "dtype", [pl.Datetime("ms"), pl.Datetime("ns"), pl.Datetime("us", "Asia/Tokyo")]
)
def test_times_of_parquet(dtype: pl.DataType, raw: Path, home: Path) -> None:
    write_log(raw, "log.parquet", time=MOMENTS.cast(pl.Datetime("us", "UTC")).cast(dtype))
    assert build(raw, log_card("log.parquet", timestamp="time")).manifest.time.first == START


@pytest.mark.parametrize("log", ["log.csv", "log.parquet"])
@pytest.mark.parametrize(
    ("spec", "times", "reason"),
    [
        ({}, [s * 1000 for s in SECONDS], 'looks like milliseconds: write unit = "ms"'),
        ({"unit": "ms"}, SECONDS, 'looks like seconds: write unit = "s"'),
        ({"unit": "s"}, [s * 10**9 for s in SECONDS], 'looks like nanoseconds: write unit = "ns"'),
        ({}, list(range(12)), "write relative = true"),
        ({}, [-5, *SECONDS[1:]], "time -5 is outside 1990 to 2100 in seconds"),
        ({}, [float("nan"), *SECONDS[1:]], "time 'nan' is not a number"),
        (
            {"unit": "iso"},
            ["2024-13-01", *["2024-05-01"] * 11],
            "'2024-13-01' is not a date and time",
        ),
        ({"unit": "iso"}, ["1824-01-01", *["2024-05-01"] * 11], "is not between 1990 and 2100"),
        ({"format": "%d.%m.%Y %T"}, ["1"] * 12, "of the form %d.%m.%Y %T"),
    ],
)
def test_wrong_times(
    spec: dict[str, Any], times: list[Any], reason: str, log: str, raw: Path, home: Path
) -> None:
    write_log(raw, log, time=times)
    error = refusal(raw, log_card(log, timestamp={"column": "time"} | spec))
    assert reason in error.message.replace("NaN", "nan")
    assert re.match(rf"{re.escape(str(raw / log))}, (line 2|row 1): time", error.message)
    assert error.exit_code == ExitCode.DATA


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({}, "holds text, not seconds"),
        ({"unit": "ms"}, "time '2024-05-01' is not a number"),
    ],
)
def test_time_that_is_text(spec: dict[str, Any], reason: str, raw: Path, home: Path) -> None:
    write_log(raw, time=["2024-05-01"] * 12)
    assert reason in refusal(raw, log_card(timestamp={"column": "time"} | spec)).message


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"unit": "ms", "format": "%Y"}, "a format belongs to text"),
        ({"unit": "iso", "relative": True}, "a date is not relative"),
    ],
)
def test_time_that_contradicts_itself(spec: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        log_card(timestamp={"column": "time"} | spec)
