"""The whole page: one file without a network, the same bytes for the same records."""

from __future__ import annotations

from importlib.resources import files

from genrank_cli.report.html.benches import bench_sections
from genrank_cli.report.html.build import Html, el, join, raw
from genrank_cli.report.html.claims import claim_by_claim, verdicts
from genrank_cli.report.html.machine import machine_section
from genrank_cli.report.html.studies import study_sections
from genrank_cli.report.page_claims import Claims, gather
from genrank_cli.report.page_load import Records, bench_titles

#: Nothing may be loaded from anywhere, whatever a record's text says.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"


def render_page(records: Records) -> str:
    """The report of ``records`` as an HTML document."""
    claims = gather(records.studies, records.benches)
    head = el(
        "head",
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("title", "genrank report"),
        el("link", rel="icon", href="data:,"),
        el("style", raw(style())),
    )
    body = el("body", el("main", _parts(records, claims)))
    return f"<!doctype html>\n{el('html', head, body, lang='en')}\n"


def style() -> str:
    """The style sheet, as it stands in the package."""
    return files(__package__).joinpath("style.css").read_text(encoding="utf-8")


def _parts(records: Records, claims: Claims) -> list[Html | None]:
    return [
        _header(records, claims),
        verdicts(claims),
        claim_by_claim(claims) if claims.known else None,
        join(study_sections(records.studies, claims.labels)),
        join(bench_sections(records.benches)),
        machine_section(records, claims.labels),
    ]


def _header(records: Records, claims: Claims) -> Html:
    return el(
        "header",
        el("h1", "What the runs say"),
        el("p", lede(records, claims), class_="lede"),
        el("nav", el("ul", [el("li", link) for link in _links(records)]), aria_label="Contents"),
    )


def lede(records: Records, claims: Claims) -> str:
    """What the page was made from, in a sentence or two."""
    studies = {study.record.study for study in records.studies}
    parts = [
        _count(len(records.studies), "record") + f" of {_count(len(studies), 'study', 'studies')}",
        _count(len(records.benches), "bench record"),
    ]
    judged = sum(claims.tested(known.id) for known in claims.known)
    sentence = (
        f"Made from {' and '.join(part for part in parts if not part.startswith('0'))}. "
        f"{judged} of {_count(len(claims.known), 'claim')} were tested by at least one record."
    )
    partial = sum(study.record.partial for study in records.studies)
    if partial:
        sentence += f" {_count(partial, 'record')} used only some of the users, marked partial."
    return sentence


def _links(records: Records) -> list[Html]:
    links = [("verdicts", "Verdicts"), ("claims", "Claim by claim")]
    studies = {study.record.study: study.record.title for study in records.studies}
    links += [(f"study-{name}", title) for name, title in studies.items()]
    links += [(f"bench-{n}", t) for n, t in enumerate(bench_titles(records.benches), start=1)]
    links.append(("machine", "Machines and commands"))
    return [el("a", title, href=f"#{place}") for place, title in links]


def _count(number: int, noun: str, many: str = "") -> str:
    return f"{number} {noun if number == 1 else many or noun + 's'}"
