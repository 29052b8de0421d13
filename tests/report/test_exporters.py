"""Every exporter shows the same table: formatted for people, raw for programs."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest
from rich.cells import cell_len

from genrank_cli.errors import GenrankError
from genrank_cli.report import EXPORTERS, render, terminal
from genrank_cli.report.table import Column, Interval, Kind, Table

TABLE = Table(
    title="Study bias",
    columns=[
        Column("variant", "variant"),
        Column("auc", "AUC", Kind.NUMBER),
        Column("delta_auc", "ΔAUC", Kind.NUMBER, signed=True),
        Column("speed", "train speed", Kind.RATIO, digits=2),
        Column("events", "events", Kind.COUNT),
        Column("verdict", "verdict"),
    ],
    rows=[
        ["rab", 0.1 + 0.2, None, Interval(1.0, 1.0, 1.0), 1_234_567, ""],
        ["a|b", 0.727, Interval(-0.0012, -0.002, -0.0004), 1.25, 8, "+ 3 % of a_b"],
        ["oracle", math.nan, Interval(0.001, -0.001, 0.004), None, None, "[red]"],
    ],
    header=["2 cores", "synthetic 0123abc"],
    notes=["ΔAUC over 3 seeds"],
    breaks=frozenset({2}),
)
EMPTY = Table("nothing", [Column("a", "a"), Column("b", "b", Kind.NUMBER)], [])


@pytest.mark.parametrize("format", EXPORTERS)
def test_every_format_ends_with_one_newline(format: str) -> None:
    for table in (TABLE, EMPTY):
        text = render(table, format)
        assert text.endswith("\n")
        assert not text.endswith("\n\n")


@pytest.mark.parametrize("format", ["table", "md", "latex"])
def test_text_formats_show_title_header_and_notes(format: str) -> None:
    text = render(TABLE, format)
    for part in ("Study bias", "2 cores", "synthetic 0123abc", "over 3 seeds", "0.7270", "n/a"):
        assert part in text
    assert text.index("2 cores") < text.index("0.7270") < text.index("over 3 seeds")


def test_plain_table_is_aligned_and_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    lines = render(TABLE, "table").splitlines()
    assert lines[:3] == ["Study bias", "2 cores", "synthetic 0123abc"]
    body = lines[4:-2]
    assert body[0].split() == ["variant", "AUC", "ΔAUC", "train", "speed", "events", "verdict"]
    assert body[4] == body[1]  # the rule above the references
    assert len(body[1]) > 80
    assert body[3].startswith("a|b        0.7270            −0.0012 ± 0.0008          1.25×")


def test_markdown_escapes_bars_and_keeps_digits() -> None:
    rows = [line for line in render(TABLE, "md").splitlines() if line.startswith("|")]
    assert len(rows) == 5
    assert rows[1].startswith("|:--")
    assert rows[1].count("--:|") == 4
    assert "a\\|b" in rows[3]
    assert "| 0.7270 |" in rows[3]


def test_csv_is_raw_and_has_the_bounds() -> None:
    rows = list(csv.DictReader(io.StringIO(render(TABLE, "csv"))))
    assert list(rows[0])[:5] == ["variant", "auc", "delta_auc", "delta_auc_low", "delta_auc_high"]
    assert float(rows[0]["auc"]) == 0.1 + 0.2
    assert rows[0]["delta_auc"] == ""
    assert float(rows[1]["delta_auc_low"]) == -0.002
    assert (rows[1]["speed"], rows[1]["speed_low"]) == ("1.25", "")
    assert rows[0]["events"] == "1234567"


def test_json_is_raw_and_strict() -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    loaded = json.loads(render(TABLE, "json"), parse_constant=refuse)
    assert loaded["rows"][0]["auc"] == 0.1 + 0.2
    assert loaded["rows"][1]["delta_auc"] == {"value": -0.0012, "low": -0.002, "high": -0.0004}
    assert loaded["rows"][2]["auc"] is None
    assert loaded["columns"][3] == {"key": "speed", "title": "train speed", "unit": ""}
    assert loaded["notes"] == ["ΔAUC over 3 seeds"]


def test_json_of_a_record_keeps_its_nesting() -> None:
    record = {"a": {"b": [1, math.inf]}, "c": Interval(1.0, 0.5, 2.0)}
    assert json.loads(render(record, "json")) == {
        "a": {"b": [1, None]},
        "c": {"value": 1.0, "low": 0.5, "high": 2.0},
    }


def test_latex_escapes_and_draws_rules() -> None:
    text = render(TABLE, "latex")
    assert r"\begin{tabular}{lrrrrl}" in text
    assert r"+ 3 \% of a\_b \\" in text
    assert r"$-$0.0012 $\pm$ 0.0008" in text
    assert text.count(r"\midrule") == 2


def test_terminal_fits_its_width_by_parts() -> None:
    wide, narrow = terminal.render(TABLE, width=150), terminal.render(TABLE, width=70)
    assert "[red]" in wide  # a cell is data, never markup
    assert wide.count("rab") == 1
    assert narrow.count("rab") == 2  # the first column is repeated
    for text in ("−0.0012 ± 0.0008", "+0.0010 [−0.0010, +0.0040]", "1,234,567", "+ 3 % of a_b"):
        assert text in narrow
    plain = narrow.replace("\x1b[1m", "").replace("\x1b[2m", "").replace("\x1b[0m", "")
    assert max(cell_len(line) for line in plain.splitlines()) <= 70


def test_terminal_never_cuts_a_number() -> None:
    assert "+0.0010 [−0.0010, +0.0040]" in terminal.render(TABLE, width=20)


def test_no_color_leaves_no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in terminal.render(TABLE, width=150)


def test_unknown_format() -> None:
    with pytest.raises(GenrankError, match="unknown format 'yaml'"):
        render(TABLE, "yaml")
