"""The last part: on what every record was made, and by which command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from genrank_cli.report.html.build import Html, el
from genrank_cli.report.html.tables import table
from genrank_cli.report.page_load import Records, bench_titles
from genrank_cli.report.page_settings import Setting, setting_of
from genrank_cli.report.table import Column, Kind, Table, Value, record_table

#: What differs between records of one machine, and is said with each of them.
OWN = ("commit", "threads", "device", "command")


def machine_section(records: Records, labels: Mapping[Setting, str]) -> Html:
    """One table a machine, then every record's version and command."""
    made = [
        (
            f"{s.record.study}, {labels[setting_of(s.record)]}",
            s.record.environment,
            s.record.command,
        )
        for s in records.studies
    ]
    made += [
        (title, bench.record.environment, bench.record.command)
        for title, bench in zip(bench_titles(records.benches), records.benches, strict=True)
    ]
    machines: list[dict[str, Any]] = []
    for _, environment, _ in made:
        shared = {key: value for key, value in environment.items() if key not in OWN}
        if shared not in machines:
            machines.append(shared)
    return el(
        "section",
        el("h2", "Machines and commands"),
        [_machine(machine, number) for number, machine in enumerate(machines, start=1)],
        el("h3", "Records"),
        table(_records_table(made, machines)),
        id="machine",
    )


def _machine(machine: Mapping[str, Any], number: int) -> Html:
    result = record_table(machine, kind=Kind.FIGURE)
    return el("article", el("h3", f"Machine {number}"), table(result, caption=""), class_="machine")


def _records_table(
    made: list[tuple[str, dict[str, Any], str]], machines: list[dict[str, Any]]
) -> Table:
    rows: list[list[Value]] = []
    for name, environment, command in made:
        shared = {key: value for key, value in environment.items() if key not in OWN}
        rows.append(
            [
                name,
                machines.index(shared) + 1,
                environment.get("commit"),
                environment.get("threads"),
                command,
            ]
        )
    return Table(
        "Records",
        [
            Column("record", "record"),
            Column("machine", "machine", Kind.COUNT),
            Column("commit", "commit"),
            Column("threads", "threads", Kind.COUNT),
            Column("command", "command"),
        ],
        rows,
    )
