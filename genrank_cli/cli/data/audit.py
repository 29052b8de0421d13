"""``genrank data audit``: what a split leaks, and how cold it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genrank_cli.cli.data.arguments import NameArgument, StoreSplitOption, open_split
from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say, wants_json

if TYPE_CHECKING:
    from genrank_cli.data.audit import Audit
    from genrank_cli.report.table import Table

EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank data audit ml-100k\n"
    "  genrank data audit ml-100k --split user --json\n"
    "\n"
    "\b\n"
    "leak: a model could know what no served model could. note: figures may not compare.\n"
    "The exit code is 0 whatever is found."
)


def audit(
    name: NameArgument,
    split: StoreSplitOption = None,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Examine a split: what it leaks, how cold its users and items are, whether labels drift."""
    check_output(output)
    from genrank_cli.data.audit import audit as examine

    found = examine(*open_split(name, split))
    result = found.record() if wants_json(format, output, json) else _table(found)
    emit(result, format, output, json)
    leaks = found.record()["leaks"]
    say(f"{leaks} leak{'s' * (leaks != 1)} · next: genrank train --data {name}")


def _table(found: Audit) -> Table:
    from genrank_cli.report.table import Column, Table

    columns = (
        Column("level", "level"),
        Column("check", "check"),
        Column("found", "found"),
        Column("meaning", "meaning → remedy"),
    )
    rows = [
        (f.level, f.check, f.found, f.meaning + (f" → {f.remedy}" if f.remedy else ""))
        for f in found.findings
    ]
    levels = [row[0] for row in rows]
    breaks = frozenset(i for i in range(1, len(rows)) if levels[i] != levels[i - 1])
    header = [
        f"{name:<6} {size['events']:>11,} events ({100 * size['share']:.1f} %)  "
        f"{size['first'][:16]} to {size['last'][:16]} UTC"
        for name, size in found.parts.items()
    ]
    return Table(f"{found.dataset}, split {_described(found)}", columns, rows, header, (), breaks)


def _described(found: Audit) -> str:
    spec = found.split.model_dump(exclude_none=True)
    name = spec.pop("name")
    keys = (f"{k} {v:g}" if isinstance(v, float) else f"{k} {v}" for k, v in spec.items())
    return f"{name} ({', '.join(keys)})" if spec else name
