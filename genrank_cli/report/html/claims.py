"""The first part of the page: verdicts at a glance, then claim by claim."""

from __future__ import annotations

from collections.abc import Sequence

from genrank_cli.report.html.build import Child, Html, el
from genrank_cli.report.html.tables import figure_text, notes, scroll, verdict_mark
from genrank_cli.report.page_claims import (
    TITLES,
    Claims,
    Finding,
    Known,
    cell,
    counts_table,
    detectable,
    holm_text,
    summary_table,
)
from genrank_cli.report.page_evidence import BENCH, Evidence, bench_marks, evidence_line
from genrank_cli.report.page_settings import Setting
from genrank_cli.report.table import MISSING
from genrank_cli.studies.verdict import Verdict

MEANINGS = {
    Verdict.REPRODUCED: "the effect has the claimed direction, and its size is not excluded",
    Verdict.WITHIN_NOISE: "the run cannot tell the claim from no effect",
    Verdict.CONTRADICTED: "what was measured excludes the claim",
    Verdict.NOT_TESTABLE: "nothing was measured that could judge it",
}


def verdicts(claims: Claims) -> Html:
    """Counts by data and size, the matrix of verdicts, and what the words mean."""
    table = summary_table(claims)
    head = el(
        "tr",
        [el("th", title, scope="col", class_="text") for title in table.headings],
    )
    body = [
        el(
            "tr",
            el("th", _link(known), scope="row", class_="text"),
            _labelled("paper", known.paper, "text short"),
            _cells(claims, known),
        )
        for known in claims.known
    ]
    grid = el("table", el("thead", head), el("tbody", body), class_="fold")
    return el(
        "section",
        el("h2", "Verdicts"),
        _counts(claims),
        scroll(grid, "Verdicts by claim and data") if claims.known else None,
        notes(table.notes),
        _meanings(),
        id="verdicts",
    )


def claim_by_claim(claims: Claims) -> Html:
    """Every claim with what the paper reports, what was measured, and what could have been seen."""
    head = el("tr", [el("th", title, scope="col", class_=kind) for title, kind in _kinds(TITLES)])
    bodies = [_claim(claims, known, len(TITLES)) for known in claims.known]
    grid = el("table", el("thead", head), bodies, class_="fold claims")
    return el(
        "section",
        el("h2", "Claim by claim"),
        el(
            "p",
            "Ours: the measured effect with its 95 % interval, over seeds or timing rounds. "
            "Smallest detectable: the effect that such a run finds in four of five repetitions; "
            "a smaller one may be there and remain unseen. p is adjusted for the number of claims "
            "in the study (Holm).",
        ),
        scroll(grid, "Claim by claim"),
        id="claims",
    )


def anchor(claim: str) -> str:
    """The place of a claim on the page."""
    return f"claim-{claim}"


def _kinds(titles: Sequence[str]) -> list[tuple[str, str]]:
    numbers = ("ours", "smallest detectable", "p (Holm)", "seeds")
    return [(title, "num" if title in numbers else "text") for title in titles]


def _counts(claims: Claims) -> Html:
    """One sentence per setting: how many findings of each verdict."""
    table = counts_table(claims)
    lines = []
    for setting, *counts in table.formatted():
        said = [
            [verdict_mark(column.title), f" {count}"]
            for column, count in zip(table.columns[1:], counts, strict=True)
        ]
        lines.append(el("li", el("span", setting, class_="setting"), _spaced(said)))
    return el("ul", lines, class_="counts")


def _spaced(parts: Sequence[Child]) -> list[Child]:
    return [el("span", part, class_="count") for part in parts]


def _cells(claims: Claims, known: Known) -> list[Html]:
    """A verdict under every setting, or one cell with the reason why there is none at all."""
    if not claims.judged(known.id):
        return [_reason(known, len(claims.labels) + bool(claims.evidence))]
    told = bench_marks(claims.evidence.get(known.id, []))
    cells = [_labelled(BENCH, _marks(told), "text")] if claims.evidence else []
    return cells + [
        _labelled(label, _found(claims, known, setting), "text")
        for setting, label in claims.labels.items()
    ]


def _found(claims: Claims, known: Known, setting: Setting) -> Child:
    """Every verdict of a cell with what was measured beneath it."""
    found = claims.of(known.id, setting)
    if not found:
        return _marks(cell(claims, known.id, setting))
    return [
        el(
            "span",
            verdict_mark(finding.mark),
            None if finding.measured is None else el("span", finding.figure, class_="figure"),
            class_="line",
        )
        for finding in found
    ]


def _marks(words: str) -> Child:
    """The chips of a cell; a dash stays a dash."""
    if words == MISSING:
        return words
    return [el("span", verdict_mark(mark), class_="line") for mark in words.split("; ")]


def _meanings() -> Html:
    parts = [
        [el("dt", verdict_mark(f"{verdict.symbol} {verdict}")), el("dd", meaning)]
        for verdict, meaning in MEANINGS.items()
    ]
    return el("dl", parts, class_="meanings")


def _link(known: Known) -> Html:
    return el("a", known.id, href=f"#{anchor(known.id)}")


def _claim(claims: Claims, known: Known, width: int) -> Html:
    found = claims.findings.get(known.id, [])
    source = el("span", known.source, class_="source") if known.source else None
    head = el(
        "tr",
        el(
            "th",
            el("span", known.id, class_="id"),
            el("span", "paper: ", known.paper, class_="paper"),
            el("span", known.what, class_="what") if known.what else None,
            source,
            el("span", known.note, class_="note") if known.note else None,
            colspan=width,
            scope="rowgroup",
            class_="text",
        ),
        class_="claim",
    )
    lines = [_finding(claims, finding) for finding in found]
    lines += [_evidence(told) for told in claims.evidence.get(known.id, [])]
    lines = lines or [el("tr", _reason(known, width))]
    return el("tbody", head, lines, id=anchor(known.id))


def _finding(claims: Claims, finding: Finding) -> Html:
    return el(
        "tr",
        _labelled("data and size", claims.labels[finding.setting], "text"),
        _labelled("ours", finding.figure, "num"),
        _labelled("verdict", verdict_mark(finding.mark), "text"),
        _labelled("smallest detectable", detectable(finding), "num"),
        _labelled("p (Holm)", holm_text(finding), "num"),
        _labelled("seeds", str(len(finding.study.record.seeds)), "num"),
        _labelled("why", finding.reason, "text long"),
    )


def _evidence(told: Evidence) -> Html:
    """What a bench says, under the same headings."""
    kinds = dict(_kinds(TITLES))
    cells = zip(TITLES, evidence_line(told), strict=True)
    return el(
        "tr",
        [
            _labelled(
                title,
                verdict_mark(text) if title == "verdict" else text,
                f"{kinds[title]} long" if title == "why" else kinds[title],
            )
            for title, text in cells
        ],
    )


def _reason(known: Known, width: int) -> Html:
    """One cell over ``width`` columns for a claim that no record judges."""
    mark = verdict_mark(f"{Verdict.NOT_TESTABLE.symbol} {Verdict.NOT_TESTABLE}")
    reason = el("span", known.reason, class_="reason")
    return el("td", mark, " ", reason, colspan=max(width, 1), class_="text long")


def _labelled(label: str, content: Child, kind: str) -> Html:
    """A cell that carries its heading along for phones, where a row becomes a card."""
    inner = figure_text(content) if isinstance(content, str) and "num" in kind else content
    return el("td", el("span", inner), class_=kind, data_label=label)
