"""``genrank bench show``: a written record again, as another table or a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrank_cli.cli import options as opt
from genrank_cli.cli.bench import arguments as arg
from genrank_cli.cli.bench.output import check_places, write
from genrank_cli.cli.output import Format

EPILOG = """\b
Examples:
  genrank bench show results/attention.json
  genrank bench show results/attention.json --format latex -o attention.tex
  genrank bench show results/attention.json --plot attention.png
"""


def show(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A record: what -o FILE.json wrote.")
    ],
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
    plot: arg.PlotOption = None,
) -> None:
    """Show a benchmark that was measured before, from its record."""
    check_places(format, json, output, plot)
    from genrank_cli.bench.record import read_record
    from genrank_cli.report.bench_views import readable

    record = read_record(file)
    readable(file, record)
    write(record, format, json, output, plot)
