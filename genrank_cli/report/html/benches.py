"""The part of each bench: its tables, and cost against length."""

from __future__ import annotations

from collections.abc import Sequence

from genrank_cli.report.bench_views import tables
from genrank_cli.report.html.build import Html, el
from genrank_cli.report.html.lengths import lengths
from genrank_cli.report.html.tables import command_text, notes, table
from genrank_cli.report.page_load import Bench, bench_titles


def bench_sections(benches: Sequence[Bench]) -> list[Html]:
    """A section per bench's record."""
    titles = bench_titles(benches)
    return [
        _section(bench, title, number)
        for number, (bench, title) in enumerate(zip(benches, titles, strict=True), start=1)
    ]


def _section(bench: Bench, title: str, number: int) -> Html:
    record = bench.record
    return el(
        "section",
        el("h2", f"Bench: {title}"),
        el("p", el("b", "! interrupted"), ": some rows were not reached.", class_="warning")
        if record.interrupted
        else None,
        [
            [
                el("h3", result.title) if result.title != record.title else None,
                notes(result.header),
                table(result),
            ]
            for result in tables(record)
        ],
        lengths(record),
        el("p", "Made by ", command_text(record.command), class_="command"),
        id=f"bench-{number}",
    )
