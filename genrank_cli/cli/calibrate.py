"""``genrank calibrate``: are the verdicts right as often as they say? Measured, not assumed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli import options as opt
from genrank_cli.cli.bench.arguments import Seconds, parse_seconds
from genrank_cli.cli.output import Format, check_output, emit, say, wants_json
from genrank_cli.cli.progress import progress
from genrank_cli.errors import ExitCode, GenrankError

app = new_app()

EXAMPLES = """\b
Examples:
  genrank calibrate
  genrank calibrate --budget 5m
  genrank calibrate --repetitions 400 --per-study 8 --out calibration

Exit codes: 0 no promise is broken, 3 one is, 6 the time of --budget was over before the end.
"""


@app.command(epilog=EXAMPLES)
def calibrate(
    repetitions: Annotated[
        int, typer.Option("--repetitions", min=4, help="Independent studies of each kind.")
    ] = 200,
    per_study: Annotated[int, typer.Option("--per-study", min=2, help="Seeds of a study.")] = 5,
    pilots: Annotated[
        int, typer.Option("--pilots", min=10, help="Runs per dose tried for the planted effect.")
    ] = 120,
    budget: Annotated[
        Seconds | None,
        typer.Option(
            "--budget",
            parser=parse_seconds,
            metavar="TIME",
            help="Begin no run after this time; the same command goes on.",
        ),
    ] = None,
    runs: opt.RunsOption = Path("results/runs"),
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Write calibration.json and .md.")
    ] = None,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
) -> None:
    """Measure how often the statistics are right, by repeating small studies with known answers.

    Trains thousands of very small models on a synthetic feed: about ten minutes on one core.
    """
    check_output(output)
    wanted = wants_json(format, output, json)
    for folder, option in ((runs, "--runs"), (out, "--out")):
        _check_folder(folder, option)
    import time

    from genrank_cli.studies.calibration import TUNING_STEPS, Plan
    from genrank_cli.studies.calibration_record import calibrate as run
    from genrank_cli.studies.calibration_runs import Workshop

    plan = Plan(repetitions, per_study, pilots)
    deadline = None if budget is None else time.monotonic() + budget
    total = 3 * repetitions * per_study + (TUNING_STEPS + 2) * pilots
    with progress() as shown:
        task = shown.task("calibration", total)
        record = run(plan, Workshop(), runs / "calibration", deadline, task.update)
        task.close()
    from genrank_cli.report.calibration import calibration_table, write_calibration

    if wanted:
        emit(record.model_dump(mode="json"), format, output, json)
    else:
        emit(calibration_table(record), format, output)
    if out is not None:
        say(f"wrote {', '.join(str(file) for file in write_calibration(record, out))}")
    broken = [
        f"{rate.question} ({rate.truth})" for rate in record.rates if rate.verdict == "broken"
    ]
    if broken:
        hint = "a promise is broken where the 95 % interval of its rate excludes it: see the table"
        raise GenrankError(f"broken promises: {'; '.join(broken)}", hint, ExitCode.REGRESSION)


def _check_folder(folder: Path | None, option: str) -> None:
    """Refuse a folder that cannot be made or written, before thousands of models are trained."""
    if folder is None:
        return
    if folder.exists() and not folder.is_dir():
        raise GenrankError(f"{option} {folder} is a file", "name a folder")
    place = folder / "probe"
    while not place.parent.exists():
        place = place.parent
    check_output(place, option)
