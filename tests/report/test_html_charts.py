"""Scales and charts: values land where they belong, and marks differ in shape too."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrank_cli.report.html.build import el, join, raw
from genrank_cli.report.html.charts import cost, learning, series_of
from genrank_cli.report.html.forest import forest
from genrank_cli.report.html.lengths import lengths
from genrank_cli.report.html.scale import Scale, scale, tick_texts
from genrank_cli.report.html.svg import mark
from genrank_cli.report.page_load import Loaded
from genrank_cli.report.page_runs import learning_curves
from tests.report import records

NAN = math.nan


@given(
    st.lists(st.floats(1e-3, 1e9), min_size=1, max_size=6),
    st.booleans(),
    st.integers(3, 7),
)
def test_scales_hold_their_values_and_have_ticks(values: list[float], log: bool, most: int) -> None:
    axis = scale([*values, NAN], 10, 200, log=log)
    assert all(10 <= axis.at(value) <= 200 for value in values)
    ticks = axis.ticks(most)
    assert len(ticks) <= most + 1
    assert all(axis.low * 0.999 <= tick <= axis.high * 1.001 for tick in ticks)
    assert ticks == sorted(ticks)
    assert len(set(tick_texts(axis, ticks))) == len(ticks)


@pytest.mark.parametrize(
    ("axis", "texts"),
    [
        (Scale(0.70, 0.88, 0, 1), ["0.70", "0.75", "0.80", "0.85"]),
        (Scale(-0.001, 0.001, 0, 1), ["−0.0010", "−0.0005", "0.0000", "0.0005", "0.0010"]),
        (Scale(9_000, 26_000, 0, 1), ["10k", "15k", "20k", "25k"]),
        (Scale(10, 2000, 0, 1, log=True), ["10", "100", "1k"]),
        (Scale(20, 400, 0, 1, log=True), ["20", "50", "100", "200"]),
        (Scale(400, 5000, 0, 1, log=True, marks=(480, 960, 4096)), ["480", "960", "4,096"]),
    ],
    ids=["auc", "signed", "thousands", "powers", "fives", "marks"],
)
def test_ticks_are_round_numbers(axis: Scale, texts: list[str]) -> None:
    assert tick_texts(axis, axis.ticks(5)) == texts


def test_logarithmic_places_are_even() -> None:
    axis = Scale(1, 100, 0, 20, log=True)
    assert [axis.at(value) for value in (1, 10, 100)] == pytest.approx([0, 10, 20])
    assert not scale([0, 10], 0, 1, log=True).log


def test_seven_marks_differ_in_shape_and_the_next_seven_in_their_pairing() -> None:
    drawn = [mark(series, 0, 0) for series in range(14)]
    assert len({re.search(r' d="([^"]*)"', one)[1] for one in drawn[:7]}) == 7  # type: ignore[index]
    assert len(set(drawn)) == 14


def test_elements_escape_text_but_not_each_other() -> None:
    assert el("p", "<b>", el("b", "&")) == "<p>&lt;b&gt;<b>&amp;</b></p>"
    assert el("a", title='"x"', class_="k", data_label=1.25, href=None, hidden=True) == (
        '<a title="&quot;x&quot;" class="k" data-label="1.2" hidden=""></a>'
    )
    assert join("<", None, ["&", raw("<br>")]) == "&lt;&amp;<br>"
    assert el("br") == "<br/>"


def test_a_study_has_three_panels_with_the_published_value() -> None:
    drawn = forest(records.study())
    assert drawn is not None
    titles = re.findall(r'class="panel-title"[^>]*>([^<]*)', drawn)
    assert titles == ["Test AUC", "Difference to the base", "Training speed"]
    assert drawn.count("published: 0.0009") == 1
    assert drawn.count("published: 1.25") == 1
    # The reference is in the panel of AUC only; twice: its name, and the mark's title.
    assert drawn.count(">smoothed") == 2
    assert forest(records.study(rows=[])) is None


def test_cost_leaves_out_what_trains_nothing() -> None:
    record = records.study()
    drawn = cost(record, series_of(record))
    assert drawn is not None
    assert drawn.count("<svg") == 3 + 2  # panels and keys
    assert "smoothed" not in drawn


def test_curves_come_from_the_runs_of_this_data_only(tmp_path: Path) -> None:
    record = records.study()
    file = records.write(record, tmp_path / "small.json")
    records.write_run(tmp_path / "runs" / "base-s0", 0, record, [0.6, 0.7])
    records.write_run(tmp_path / "runs" / "other-s1", 1, record, [0.65, NAN, 0.72])
    records.write_run(
        tmp_path / "runs" / "other-s2", 2, records.study(data_hash="b" * 64), [0.1, 0.2]
    )
    records.write_run(tmp_path / "runs" / "base-s1", 7, record, [0.1, 0.2])
    found = learning_curves(Loaded(file, record))
    assert (found.found, found.named) == (2, 9)
    assert [(c.row, c.seed, c.epoch, c.auc) for c in found.curves] == [
        ("base", 0, (1, 2), (0.6, 0.7)),
        ("other", 1, (1, 3), (0.65, 0.72)),
    ]
    drawn = learning(found, series_of(record))
    assert drawn is not None
    assert "2 of 9 run folders were found" in drawn
    assert "base, seed 0: 0.7000" in drawn


def test_cost_against_length_has_a_line_per_row_and_needs_two_lengths() -> None:
    drawn = lengths(records.bench())
    assert drawn is not None
    assert drawn.count('class="curve s0"') == 2  # the line and its key
    assert "fast/none/float32, 512: 5.12 ms" in drawn
    assert ">seq_len<" in drawn
    assert lengths(records.bench((128,))) is None


def test_a_sweep_has_a_panel_per_stage_and_its_values_along() -> None:
    made = records.bench((128,), settings={"over": "width"})
    rows = [
        row.model_copy(
            update={
                "name": f"{model}/{stage}/{value}",
                "labels": {"model": model, "stage": stage},
                "figures": {"value": float(value)},
            }
        )
        for row in made.cases[0].rows[:1]
        for model in ("hstu", "genrank")
        for stage in ("step", "attention")
        for value in (64, 128)
    ]
    case = made.cases[0].model_copy(update={"rows": rows})
    drawn = lengths(made.model_copy(update={"cases": [case]}))
    assert drawn is not None
    assert re.findall(r'class="panel-title"[^>]*>([^<]*)', drawn) == ["step", "attention"]
    assert drawn.count(">width</text>") == 2
    assert drawn.count('class="curve s1"') == 3  # GenRank in both, and the key


def test_rows_named_by_their_length_share_a_line() -> None:
    made = records.bench((128, 256))
    cases = [
        case.model_copy(
            update={"rows": [row.model_copy(update={"name": f"whole/{case.labels['seq_len']}"})]}
        )
        for case in made.cases
        for row in case.rows[:1]
    ]
    drawn = lengths(made.model_copy(update={"cases": cases}))
    assert drawn is not None
    assert ">whole</li>" in drawn
    assert drawn.count('class="curve s1"') == 0


def test_crowded_charts_are_split_and_other_shapes_kept_apart() -> None:
    made = records.bench((128, 256))
    first = made.cases[0].rows[0]
    rows = [
        first.model_copy(
            update={
                "name": f"b{n}/none/{dtype}",
                "labels": {"backend": f"b{n}", "bias": "none", "dtype": dtype},
            }
        )
        for n in range(5)
        for dtype in ("float32", "bfloat16")
    ]
    cases = [
        case.model_copy(update={"rows": rows, "labels": case.labels | {"batch_size": batch}})
        for case in made.cases
        for batch in (1, 8)
    ]
    drawn = lengths(made.model_copy(update={"cases": cases}))
    assert drawn is not None
    assert re.findall(r'class="panel-title"[^>]*>([^<]*)', drawn) == [
        "batch_size 1, float32",
        "batch_size 1, bfloat16",
        "batch_size 8, float32",
        "batch_size 8, bfloat16",
    ]
