"""Bench records in the terminal: which there are, and what their checks say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from genrank_cli.bench.checks import Verdict
from genrank_cli.report.bench import checks_table
from genrank_cli.report.page_load import Bench, bench_titles
from genrank_cli.report.table import Column, Kind, Table, Value


def benches_table(benches: Sequence[Bench]) -> Table:
    """One line per record: its cases and rows, and how many checks have each verdict."""
    columns = [
        Column("bench", "bench"),
        Column("title", "title"),
        Column("cases", "cases", Kind.COUNT),
        Column("rows", "rows", Kind.COUNT),
        *(Column(v.name.lower(), f"{v.symbol} {v}", Kind.COUNT) for v in Verdict),
        Column("file", "file"),
    ]
    rows: list[list[Value]] = []
    for bench, title in zip(benches, bench_titles(benches), strict=True):
        record = bench.record
        seen = Counter(check.verdict for check in record.checks)
        timed = sum(len(case.rows) for case in record.cases)
        counts = [seen[verdict] for verdict in Verdict]
        rows.append([record.bench, title, len(record.cases), timed, *counts, bench.file.name])
    return Table("Benches", columns, rows)


def all_checks(benches: Sequence[Bench]) -> list[Table]:
    """The checks of each record that has some."""
    return [
        replace(checks_table(bench.record), title=f"Checks: {title}")
        for bench, title in zip(benches, bench_titles(benches), strict=True)
        if bench.record.checks
    ]
