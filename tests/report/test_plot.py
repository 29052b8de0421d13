"""Plots: written whole, the same bytes each time, saying what they show."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib
import pytest

from genrank_cli.report.plot import (
    DifferenceRow,
    LearningCurve,
    plot_differences,
    plot_learning_curves,
)
from genrank_cli.report.table import Interval

ROWS = [
    DifferenceRow("dlrm", [0.70, 0.71, 0.70], is_reference=True),
    DifferenceRow("rab", [0.80, 0.81, 0.80], is_base=True),
    DifferenceRow(
        "embeddings+alibi",
        [0.801, 0.812, 0.802],
        delta=Interval(0.0017, 0.0002, 0.0031),
        speed=Interval(1.31, 1.21, 1.39),
        claim_delta=0.0009,
        claim_speed=1.25,
    ),
]
CURVES = [LearningCurve(name, 0, [1, 2, 3], [0.6, 0.7, 0.71]) for name in ("rab", "none")]


@pytest.fixture(autouse=True)
def _searchable_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SVG keep its letters, so that tests can read them."""
    monkeypatch.setitem(matplotlib.rcParams, "svg.fonttype", "none")


def texts(file: Path) -> str:
    return " ".join(re.findall(r">([^<>]+)</text>", file.read_text()))


def test_differences_say_what_they_show(tmp_path: Path) -> None:
    files = plot_differences(
        ROWS, tmp_path / "bias", title="Study bias", subtitle="3 seeds", oracle=0.85
    )
    assert [file.name for file in files] == ["bias.png", "bias.svg"]
    assert files[0].read_bytes().startswith(b"\x89PNG")
    shown = texts(files[1])
    for text in (
        "Study bias",
        "3 seeds",
        "rab (base)",
        "embeddings+alibi",
        "dlrm",
        "ΔAUC, 95 % t-interval over seeds",
        "events/s, ratio to the base, 95 % interval",
        "published claim",
        "reference",
        "oracle 0.8500",
    ):
        assert text in shown
    assert shown.index("rab (base)") < shown.index("embeddings+alibi") < shown.index("dlrm")


def test_panels_without_values_are_left_out(tmp_path: Path) -> None:
    [file] = plot_differences(ROWS[:2], tmp_path / "x.svg")
    shown = texts(file)
    assert "Test AUC" in shown
    assert "ΔAUC" not in shown
    assert "events/s" not in shown
    assert "published claim" not in shown


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_plots_are_reproducible(tmp_path: Path, suffix: str) -> None:
    [first] = plot_differences(ROWS, tmp_path / f"a{suffix}")
    [second] = plot_differences(ROWS, tmp_path / f"b{suffix}")
    assert first.read_bytes() == second.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"a{suffix}", f"b{suffix}"]


def test_learning_curves(tmp_path: Path) -> None:
    [file] = plot_learning_curves(CURVES, tmp_path / "c.svg", title="Learning", x_label="seconds")
    shown = texts(file)
    for text in ("Learning", "rab", "none", "seconds", "validation AUC"):
        assert text in shown


def test_no_learning_curves(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no learning curves"):
        plot_learning_curves([], tmp_path / "c.svg")


def test_style_is_left_as_it_was(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    plot_differences(ROWS, tmp_path / "a.png")
    assert dict(matplotlib.rcParams) == before
