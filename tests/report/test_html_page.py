"""The page: all that a record says is on it, apart where records differ, and nothing else is."""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from genrank_cli.report.html.build import VOID
from genrank_cli.report.html.page import POLICY, render_page
from genrank_cli.report.page_claims import catalogue
from genrank_cli.report.page_load import load_records
from genrank_cli.studies.record import StudyRecord
from tests.report import records
from tests.report.records import HOSTILE


class Parsed(HTMLParser):
    """Tags, attributes and visible text; fails where elements are not closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._seen(tag, attrs)
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID
        self._seen(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def _seen(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def page(folder: Path, *made: Any) -> str:
    for number, record in enumerate(made):
        records.write(record, folder / f"record-{number}.json")
    return render_page(load_records([folder]))


def test_a_record_is_on_the_page_with_all_its_parts(tmp_path: Path) -> None:
    parsed = Parsed(page(tmp_path, records.study(), records.bench()))
    for words in (
        "A small study",
        "Does it?",
        "alpha tiny",
        "small.auc",
        "other, AUC",
        "paper: +0.0009",
        "~ within noise",
        "+0.0123",  # the smallest detectable effect
        "1.249×",  # ours
        "[1.131, 1.380]",
        "nothing is excluded",
        "0.8100 ± 0.0248",
        "1 record of 1 study and 1 bench record",
        "A small bench",
        "A CPU",
        "run folders not found",
        "oracle 0.9000",
    ):
        assert words in parsed.text, words
    # Below its record, and in the list of all records.
    assert parsed.text.count("genrank ablate --component small") == 2
    assert "genrank bench attention --seq-len 128" in parsed.text
    assert "measured +0.01" not in parsed.text  # said by the columns


def test_the_same_records_give_the_same_page_in_any_order(tmp_path: Path) -> None:
    made = [records.study(), records.study(dataset="beta"), records.bench()]
    first = page(tmp_path / "first", *made)
    assert first == page(tmp_path / "second", *reversed(made))
    assert "record-0" not in first
    assert str(tmp_path) not in first


def test_nothing_is_loaded_and_nothing_runs(tmp_path: Path) -> None:
    text = page(tmp_path, records.study(), records.bench())
    parsed = Parsed(text)
    assert not {"script", "img", "iframe", "object", "embed"} & set(parsed.tags)
    links = {value for key, value in parsed.attributes if key in ("href", "src", "data")}
    assert links
    assert all(link and link.startswith(("#", "data:")) for link in links)
    assert POLICY in unescape(text)
    assert not re.search(r"https?:|@import|url\(", text)
    assert not any(key.startswith("on") for key, _ in parsed.attributes)


def test_links_lead_to_places_of_the_page(tmp_path: Path) -> None:
    parsed = Parsed(page(tmp_path, records.study(), records.bench()))
    places = [value for key, value in parsed.attributes if key == "id"]
    assert len(places) == len(set(places))
    targets = {v[1:] for k, v in parsed.attributes if k == "href" and v and v.startswith("#")}
    assert targets <= set(places)
    assert {"verdicts", "claims", "study-small", "bench-1", "machine"} <= targets


def hostile() -> StudyRecord:
    """A record whose every free text wants out of its place."""
    base = [0.80, 0.81, 0.82]
    rows = [
        records.row(HOSTILE, base, label=HOSTILE),
        records.row("other", [0.81, 0.83, 0.82], base, changes={HOSTILE: HOSTILE}),
    ]
    claims = [records.claim(HOSTILE, reason=HOSTILE, source=HOSTILE, verdict=HOSTILE)]
    return records.study(
        **dict.fromkeys(("study", "title", "question", "dataset", "split", "size"), HOSTILE),
        tasks=[HOSTILE],
        base=HOSTILE,
        command=HOSTILE,
        rows=rows,
        claims=claims,
        failures=[{"row": HOSTILE, "seed": 0, "error": HOSTILE}],
        environment=records.ENVIRONMENT | {"cpu": HOSTILE, HOSTILE: HOSTILE, "command": HOSTILE},
    )


def test_text_of_records_is_escaped(tmp_path: Path) -> None:
    bench = records.bench(title=HOSTILE, command=HOSTILE)
    text = page(tmp_path, hostile(), bench)
    parsed = Parsed(text)
    assert not {"script", "img"} & set(parsed.tags)
    assert not any(key.startswith("on") for key, _ in parsed.attributes)
    assert parsed.text.count("alert(1)") >= 12
    assert "\x00" not in page(tmp_path / "nul", records.study(title="a\x00b\ud800"[:3]))


def test_records_that_differ_are_shown_apart(tmp_path: Path) -> None:
    other = records.study().rows
    made = [
        records.study(),
        records.study(data_hash="b" * 64),
        records.study(size="base"),
        records.study(partial=True),
        records.study(tasks=["like"]),
        records.study(environment=records.ENVIRONMENT | {"genrank": "0.2.0"}),
        records.study(seeds=[0, 1], rows=other[:2]),  # the same setting: told by its seeds
    ]
    parsed = Parsed(page(tmp_path, *made))
    assert parsed.tags.count("article") == len(made) + 2  # and one machine a version
    headings = re.findall(r"<h3>(alpha[^<]*)</h3>", page(tmp_path, *made))
    assert len(headings) == len(made)
    assert len(set(headings)) == len(made)
    assert sum(heading.endswith(", seeds 0,1") for heading in headings) == 1
    assert sum("(partial)" in heading for heading in headings) == 1
    assert "! partial : only some of the users" in parsed.text


def test_benches_of_one_title_are_told_by_their_files(tmp_path: Path) -> None:
    text = page(tmp_path, records.bench(), records.bench((64, 128)))
    headings = re.findall(r"<h2>Bench: ([^<]*)</h2>", text)
    assert sorted(headings) == ["A small bench (record-0)", "A small bench (record-1)"]
    assert all(text.count(heading) == 3 for heading in headings)  # contents, heading, records


def test_two_records_of_one_setting_keep_both_verdicts(tmp_path: Path) -> None:
    better = records.claim(verdict="reproduced", symbol="+")
    text = page(tmp_path, records.study(), records.study(seeds=[0, 1], claims=[better]))
    matrix = text[text.index('id="verdicts"') : text.index('id="claims"')]
    row = matrix[
        matrix.index("#claim-small.auc") : matrix.index("</tr>", matrix.index("#claim-small.auc"))
    ]
    assert "within noise" in row
    assert "reproduced" in row


def test_every_declared_claim_is_there(tmp_path: Path) -> None:
    parsed = Parsed(page(tmp_path, records.study()))
    known = catalogue()
    assert len(known) >= 2
    for claim in known:
        assert f"claim-{claim.id}" in {value for key, value in parsed.attributes if key == "id"}
        assert claim.reason in parsed.text
    assert parsed.text.count("? not testable here") >= 2 * len(known)


def test_verdicts_are_told_without_colour(tmp_path: Path) -> None:
    text = page(tmp_path, records.study())
    marks = re.findall(r'<span class="verdict ([a-z-]+)"><b>(.)</b> ([a-z ]+)</span>', text)
    assert len(marks) == text.count('class="verdict')
    signs = {kind: (sign, word) for kind, sign, word in marks}
    assert len(set(signs.values())) == len(signs) >= 3


@pytest.mark.parametrize(
    "change", [{"rows": []}, {"claims": []}, {"oracle_auc": None}, {"tasks": []}]
)
def test_records_with_less_in_them(change: dict[str, Any], tmp_path: Path) -> None:
    text = page(tmp_path, records.study(**change))
    assert ("oracle 0.9000" in text) == ("rows" not in change and "oracle_auc" not in change)
    Parsed(text)


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    rows = [records.row("base", [0.8]), records.row("other", [0.81], [0.8])]
    text = page(tmp_path, records.study(rows=rows, seeds=[0]))
    Parsed(text)
    assert "nan" not in re.sub(r"[a-z]nan|nan[a-z]", "", text)


def test_the_head_counts_what_was_measured(tmp_path: Path) -> None:
    absent = records.claim("small.absent", verdict="not testable here", symbol="?")
    claims = [records.claim(), records.claim("small.speed"), absent]
    text = Parsed(page(tmp_path, records.study(claims=claims))).text
    assert f"2 of {len(catalogue()) + 3} claims were tested by at least one record" in text
