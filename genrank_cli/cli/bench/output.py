"""How a bench's record is printed, written and drawn."""

from __future__ import annotations

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

PLOT_SUFFIXES = (".png", ".svg")

#: In the others a second table would break the file.
READABLE = ("table", "md")


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
    """The record as JSON, or its tables: all of them where a file can hold several."""
    from genrank_cli.report.bench_views import tables

    if wants_json(format, output, json):
        emit(record.model_dump(mode="json"), format, output, json)
    elif output in (None, STDOUT):
        first, *others = tables(record)
        emit(first, format)
        for table in others if format in (Format.AUTO, *READABLE) else ():
            write_stdout("")
            emit(table, format)
    else:
        _write_tables(record, format, output)
    if plot is not None:
        _draw(record, plot)


def _write_tables(record: BenchRecord, format: Format, output: Path) -> None:
    from genrank_cli.files import write_text
    from genrank_cli.report import render
    from genrank_cli.report.bench_views import tables

    chosen = SUFFIXES.get(output.suffix, "md") if format is Format.AUTO else format.value
    if chosen in READABLE:
        write_text(output, "\n".join(render(table, chosen) for table in tables(record)))
        say(f"wrote {output}")
    else:
        emit(tables(record)[0], format, output)


def _draw(record: BenchRecord, plot: Path) -> None:
    from genrank_cli.report.bench_views import plot as drawn

    say(f"wrote {', '.join(str(file) for file in drawn(record, plot))}")
