"""``genrank bench compare``: what changed between two records of one bench."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from genrank_cli.cli import options as opt
from genrank_cli.cli.bench import arguments as arg
from genrank_cli.cli.bench.output import check_places
from genrank_cli.cli.output import Format, emit, say, wants_json

EPILOG = """\b
Examples:
  genrank bench compare before.json after.json
  genrank bench compare before.json after.json --format csv -o changes.csv --plot changes.png
  genrank bench compare laptop.json server.json --anyway
"""


def compare(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A record: what -o wrote.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="A later one of the same bench.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare runs of different machines all the same.")
    ] = False,
    dry_run: opt.DryRunOption = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
    plot: arg.PlotOption = None,
) -> None:
    """Say what changed between two benchmarks: row by row, with intervals.

    Runs on different hardware, PyTorch or numbers of threads are refused (exit code 4) unless
    --anyway is given. Changes alter no exit code: the gate is genrank check.
    """
    check_places(format, json, output, plot)
    from genrank_cli.bench.compare.compare import compare as compared
    from genrank_cli.bench.record import read_record
    from genrank_cli.training.environment import command_line

    names, command = (old.name, new.name), command_line(sys.argv)
    found = compared(read_record(old), read_record(new), names, command, anyway=anyway)
    if dry_run:
        say(f"would compare {len(found.changes)} quantities of {old} and {new}")
        return
    from genrank_cli.report.bench_compare import plot as drawn
    from genrank_cli.report.bench_compare import table

    if wants_json(format, output, json):
        emit(found.model_dump(mode="json"), format, output, json)
    else:
        emit(table(found), format, output)
    if plot is not None:
        say(f"wrote {', '.join(str(file) for file in drawn(found, plot))}")
