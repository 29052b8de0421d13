"""``genrank models list``: which presets there are, without loading torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say

EPILOG = "\b\nExamples:\n  genrank models list\n  genrank models list --json -o models.json"


def list_models(
    format: FormatOption = Format.AUTO, output: OutputOption = None, json: JsonOption = False
) -> None:
    """List the presets, and what each changes in the defaults of its kind."""
    check_output(output)
    from genrank_cli.models.presets import PRESETS, SIZES
    from genrank_cli.report.table import Column, Table

    columns = (Column("name", "name"), Column("kind", "kind"), Column("changes", "changes"))
    rows = [
        (name, chosen["kind"], ", ".join(_changes(chosen)) or None)
        for name, chosen in PRESETS.items()
    ]
    notes = [f"sizes: {', '.join(SIZES)}"]
    emit(Table("Models", columns, rows, notes=notes), format, output, json)
    say("next: genrank models describe NAME")


def _changes(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _changes(value, f"{prefix}{key}.")
        elif prefix + key != "kind":
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield f"{prefix}{key}={text}"
