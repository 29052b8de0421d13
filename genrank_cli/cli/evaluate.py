"""``genrank evaluate``: score a finished run's model again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli import options as opt
from genrank_cli.cli.output import Format, check_output, emit, say

app = new_app()

EXAMPLES = """\b
Examples:
  genrank evaluate results/runs/synthetic-generative-0123456789ab-s0
  genrank evaluate RUN --part valid --json
  genrank evaluate RUN --part random      # the randomly exposed events of the test period
  genrank evaluate RUN --predictions scores.parquet
"""


@app.command(epilog=EXAMPLES)
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished run.")],
    part: Annotated[
        str,
        typer.Option("--part", metavar="NAME", help="train, valid, test, or random: events apart."),
    ] = "test",
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="NAME",
            help="Cut the data by this split, not the run's own; what the run was trained on "
            "is left out.",
        ),
    ] = None,
    settings: opt.SetOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option("--predictions", metavar="FILE", help="Write labels and scores (Parquet)."),
    ] = None,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
) -> None:
    """Score the model of a finished run on a part of its data and print every metric."""
    check_output(output)
    check_output(predictions)
    from genrank_cli.files import replace_file
    from genrank_cli.training.evaluate import evaluate_run

    record, table = evaluate_run(
        run,
        part=part,
        settings=opt.layers(None, settings, {"data.split": split}),
        device=device,
        threads=threads,
    )
    if predictions is not None:
        replace_file(predictions, table.write_parquet)
        say(f"wrote {predictions}")
    emit(record, format, output, json)
