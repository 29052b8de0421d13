"""The page in a browser: at a phone's width, at a desktop's, and printed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genrank_cli.report.html.page import render_page
from genrank_cli.report.page_load import load_records
from tests.report import records
from tests.report.browser import find_browser, measure, printed_pages
from tests.report.test_html_page import hostile

PHONE, TABLET, DESKTOP = 390, 820, 1280

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_browser() is None, reason="no Chromium is installed"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Every part of a report, with texts that are too long for their place and hostile."""
    folder = tmp_path_factory.mktemp("records")
    long = "a-variant-whose-name-is-far-too-long-for-a-phone+" * 3
    base = [0.80, 0.81, 0.82]
    rows = [*records.study().rows, records.row(long, [0.81, 0.83, 0.82], base)]
    study = records.study(rows=rows, title="x" * 150, command="genrank " + long, partial=True)
    bench = records.bench(title="A bench with a long name " * 4)
    records.write(study, folder / "study.json")
    records.write(hostile(), folder / "hostile.json")
    records.write(bench, folder / "bench.json")
    for row in study.rows[:2]:
        records.write_run(folder / "runs" / f"{row.name}-s0", 0, study, [0.6, 0.7, 0.72])
    return render_page(load_records([folder]))


@pytest.fixture(scope="module")
def measured(page: str, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Any]]:
    found = measure(page, (PHONE, TABLET, DESKTOP), tmp_path_factory.mktemp("browser"))
    return {frame["width"]: frame for frame in found}


@pytest.mark.parametrize("width", [PHONE, TABLET, DESKTOP])
def test_the_page_never_scrolls_sideways(measured: dict[int, dict[str, Any]], width: int) -> None:
    frame = measured[width]
    assert frame["scroll_width"] <= width
    assert frame["wide"] == []


def test_wide_tables_scroll_in_their_own_box_and_keep_their_names_in_view(
    measured: dict[int, dict[str, Any]],
) -> None:
    phone = measured[PHONE]["scrolls"]
    moved = [box for box in phone if box["hidden"] > 0]
    assert len(moved) >= 3
    assert all(abs(box["first"]) < 1 for box in moved)
    assert phone[0]["hidden"] == phone[1]["hidden"] == 0  # verdicts and claims are cards there
    matrix = measured[TABLET]["scrolls"][0]
    assert matrix["hidden"] > 0
    assert abs(matrix["first"]) < 1


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_text_is_large_enough_and_charts_fit(
    measured: dict[int, dict[str, Any]], width: int
) -> None:
    frame = measured[width]
    assert frame["smallest_text"] >= 12.5
    assert len(frame["drawn"]) >= 3 + 3 + 2 + 1  # forest, cost, curves, length
    assert all(300 <= drawn <= min(width, 344) for drawn in frame["drawn"])
    assert frame["height"] > 3000


def test_nothing_is_asked_from_anywhere(measured: dict[int, dict[str, Any]]) -> None:
    assert [frame["requests"] for frame in measured.values()] == [[], [], []]


def test_it_prints(page: str, tmp_path: Path) -> None:
    assert 4 <= printed_pages(page, tmp_path) <= 25
