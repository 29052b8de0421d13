"""How a bench's record is printed, written and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from genrank_cli.cli.output import (
    STDOUT,
    SUFFIXES,
    Format,
    check_output,
    emit,
    say,
    wants_json,
    write_stdout,
)
from genrank_cli.errors import unknown_name

if TYPE_CHECKING:
    from genrank_cli.bench.record import BenchRecord
    from genrank_cli.report.table import Table

PLOT_SUFFIXES = (".png", ".svg")


def check_places(format: Format, json: bool, output: Path | None, plot: Path | None) -> None:
    """Refuse what cannot be written in the first second, before the long work."""
    wants_json(format, output, json)  # raises for flags that contradict each other
    check_output(output)
    check_output(plot, "--plot")
    if plot is not None and plot.suffix and plot.suffix not in PLOT_SUFFIXES:
        raise unknown_name("--plot suffix", plot.suffix, PLOT_SUFFIXES)


def write(
    record: BenchRecord, format: Format, json: bool, output: Path | None, plot: Path | None
) -> None:
    """The record as JSON, or its tables: all of them, but as CSV the first one."""
    from genrank_cli.report.bench_views import tables

    if wants_json(format, output, json):
        emit(record.model_dump(mode="json"), format, output, json)
    elif output in (None, STDOUT):
        first, *others = tables(record)
        emit(first, format)
        for table in _shown(others, format.value):
            write_stdout("")
            emit(table, format)
    else:
        _write_tables(record, format, output)
    if plot is not None:
        _draw(record, plot)


def _shown(others: Sequence[Table], format: str) -> Sequence[Table]:
    """The tables after the first, or none where they do not fit, which is said."""
    if format != Format.CSV or not others:
        return others
    left_out = ", ".join(table.title for table in others)
    say(f"CSV holds one table; left out: {left_out} (--json and --format md hold all)")
    return ()


def _write_tables(record: BenchRecord, format: Format, output: Path) -> None:
    from genrank_cli.files import write_text
    from genrank_cli.report import render
    from genrank_cli.report.bench_views import tables

    chosen = SUFFIXES.get(output.suffix, "md") if format is Format.AUTO else format.value
    first, *others = tables(record)
    written = [first, *_shown(others, chosen)]
    write_text(output, "\n".join(render(table, chosen) for table in written))
    say(f"wrote {output}")


def _draw(record: BenchRecord, plot: Path) -> None:
    from genrank_cli.report.bench_views import plot as drawn

    say(f"wrote {', '.join(str(file) for file in drawn(record, plot))}")
