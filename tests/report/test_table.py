"""How raw values become text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrank_cli.report.table import Column, Interval, Kind, Table, Value, record_table

NAN, INF = math.nan, math.inf


def column(kind: Kind, digits: int = 4, signed: bool = False) -> Column:
    return Column("key", "title", kind, digits, signed)


@pytest.mark.parametrize(
    ("kind", "digits", "signed", "value", "text"),
    [
        (Kind.TEXT, 4, False, "rab", "rab"),
        (Kind.TEXT, 4, False, 3, "3"),
        (Kind.TEXT, 4, False, True, "yes"),
        (Kind.NUMBER, 4, False, 0.727, "0.7270"),
        (Kind.NUMBER, 4, False, None, "–"),
        (Kind.NUMBER, 4, False, NAN, "n/a"),
        (Kind.NUMBER, 4, False, -INF, "−∞"),
        (Kind.NUMBER, 4, False, "failed", "failed"),
        (Kind.NUMBER, 4, True, 0.0012, "+0.0012"),
        (Kind.NUMBER, 4, True, -0.0012, "−0.0012"),
        (Kind.NUMBER, 4, True, -0.00001, "0.0000"),
        (Kind.NUMBER, 1, False, 12.345, "12.3"),
        (Kind.COUNT, 4, False, 1234567, "1,234,567"),
        (Kind.COUNT, 4, False, 1234.6, "1,235"),
        (Kind.RATIO, 2, False, 1.254, "1.25×"),
        (Kind.PERCENT, 1, False, 0.8512, "85.1 %"),
        (Kind.NUMBER, 4, False, Interval(0.8, 0.79, 0.81), "0.8000 ± 0.0100"),
        (Kind.NUMBER, 4, True, Interval(0.001, -0.001, 0.004), "+0.0010 [−0.0010, +0.0040]"),
        (Kind.NUMBER, 4, True, Interval(-0.002, -0.003, -0.001), "−0.0020 ± 0.0010"),
        (Kind.NUMBER, 4, False, Interval(0.8, NAN, NAN), "0.8000"),
        (Kind.NUMBER, 4, False, Interval(0.8, -INF, INF), "0.8000"),
        (Kind.RATIO, 2, False, Interval(1.31, 1.21, 1.39), "1.31× [1.21, 1.39]"),
        (Kind.RATIO, 2, False, Interval(1.0, 1.0, 1.0), "1.00×"),
        (Kind.PERCENT, 1, False, Interval(0.5, 0.4, 0.6), "50.0 ± 10.0 %"),
    ],
)
def test_format(kind: Kind, digits: int, signed: bool, value: Value, text: str) -> None:
    assert column(kind, digits, signed).format(value) == text


@given(st.floats(-1e6, 1e6))
def test_sign_is_the_direction_that_is_shown(value: float) -> None:
    text = column(Kind.NUMBER, 4, signed=True).format(value)
    shown = float(text.replace("−", "-"))
    assert shown == pytest.approx(value, abs=5.001e-5)
    assert text[0] == {1: "+", -1: "−"}.get((shown > 0) - (shown < 0), "0")


def test_heading_carries_the_unit() -> None:
    assert Column("time_s", "time", Kind.NUMBER, unit="s").heading == "time (s)"


def test_rows_must_match_the_columns() -> None:
    with pytest.raises(ValueError, match="row 1 has 2 values for 1 columns"):
        Table("", [Column("a", "a")], [["x"], ["x", "y"]])


def test_record_as_rows() -> None:
    record = {"a": 1, "b": {"c": None, "d": {"e": "x"}}, "f": [1, 2], "g": [{"h": 1}]}
    assert record_table(record).rows == [
        ("a", 1),
        ("b.c", None),
        ("b.d.e", "x"),
        ("f", "1, 2"),
        ("g", "[{'h': 1}]"),
    ]


def test_figures_are_written_to_be_read() -> None:
    record = {"a": 1600, "b": 0.019999999552965164, "c": "x", "d": None, "e": 12345.6, "f": True}
    table = record_table(record | {"g": -3, "h": 41.25, "i": 2.0e-7}, kind=Kind.FIGURE)
    texts = [row[1] for row in table.formatted()]
    assert texts == ["1,600", "0.02", "x", "–", "12,346", "yes", "−3", "41.25", "2e−07"]
    assert record_table(record).formatted()[0][1] == "1600"  # as it is typed
