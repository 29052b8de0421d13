"""``genrank ablate``: run a study, compare its variants with the base, judge the claims."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli import options as opt
from genrank_cli.cli.output import STDOUT, Format, check_output, emit, say, write_stdout
from genrank_cli.cli.progress import Task, progress
from genrank_cli.errors import ExitCode, GenrankError

if TYPE_CHECKING:
    from genrank_cli.report.table import Table
    from genrank_cli.studies.ablate import Planned
    from genrank_cli.studies.cells import Outcome, Status
    from genrank_cli.studies.record import StudyRecord
    from genrank_cli.studies.study import Study

app = new_app()

# In the others a second table would break the file.
_READABLE = (Format.AUTO, Format.TABLE, Format.MD)

EXAMPLES = """\b
Examples:
  genrank ablate --component bias
  genrank ablate --component bias --data ml-100k --seeds 0-4 --jobs 2
  genrank ablate --component bias --variants rab,embeddings+alibi --dry-run
  genrank ablate --list
"""


@app.command(epilog=EXAMPLES)
def ablate(
    component: Annotated[
        str | None,
        typer.Option("--component", metavar="NAME", help="Study: a shipped name or a TOML file."),
    ] = None,
    data: opt.DataOption = "synthetic",
    size: opt.SizeOption = opt.Size.TINY,
    seeds: opt.SeedsOption = opt.Seeds(range(3)),
    variants: Annotated[
        opt.Names | None,
        typer.Option(
            "--variants",
            parser=opt.parse_names,
            metavar="LIST",
            help="Variants to run; the base always runs.",
        ),
    ] = None,
    split: opt.SplitOption = None,
    settings: opt.SetOption = None,
    config: opt.ConfigOption = None,
    limit: opt.LimitOption = None,
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, help="Rounds of the speed measurement; 0: none.")
    ] = 12,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    jobs: opt.JobsOption = 1,
    runs: opt.RunsOption = Path("results/runs"),
    force: opt.ForceOption = False,
    dry_run: opt.DryRunOption = False,
    list_: Annotated[bool, typer.Option("--list", help="List the shipped studies.")] = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
) -> None:
    """Run a study: its variants on the same events and seeds, paired, with verdicts.

    Finished runs are reused, interrupted ones go on where they stopped.
    """
    if list_:
        emit(_studies(), format, output, json)
        return
    check_output(output)
    from genrank_cli.studies.ablate import Request, plan

    planned = plan(
        Request(
            study=_study(component),
            dataset=data,
            size=size.value,
            seeds=seeds,
            variants=variants,
            settings=opt.layers(config, settings, {"data.split": split, "data.limit": limit}),
            rounds=rounds,
            device=device,
            threads=threads,
            jobs=jobs,
            runs=runs,
            force=force,
        )
    )
    if dry_run:
        emit(_plan_table(planned), format, output, json)
        return
    record = _run(planned)
    from genrank_cli.report.study import claims_table, study_table, write_study

    files = write_study(record, runs / f"{record.study}-{record.dataset}-{record.size}")
    if json or format is Format.JSON:
        emit(record.model_dump(mode="json"), format, output, json)
    else:
        emit(study_table(record), format, output)
        if record.claims and output in (None, STDOUT) and format in _READABLE:
            write_stdout("")
            emit(claims_table(record), format)
    say(f"wrote {', '.join(str(file) for file in files)}")
    if record.failures:
        raise GenrankError(
            f"{len(record.failures)} runs failed: {record.failures[0].error}",
            "the others are kept; the same command runs only what is missing",
            ExitCode.PARTIAL,
        )


def _study(component: str | None) -> Study:
    from genrank_cli.studies.study import list_studies, load_study

    if component is None:
        raise GenrankError(
            f"--component is missing; studies: {', '.join(list_studies())}",
            "genrank ablate --component bias",
        )
    return load_study(component)


def _studies() -> Table:
    from genrank_cli.report.table import Column, Table
    from genrank_cli.studies.study import list_studies, load_study

    studies = [load_study(name) for name in list_studies()]
    return Table(
        "Studies",
        [Column("name", "name"), Column("question", "question"), Column("variants", "variants")],
        [[s.name, s.question, ", ".join(v.name for v in s.variants)] for s in studies],
    )


def _plan_table(planned: Planned) -> Table:
    from genrank_cli.report.table import Column, Kind, Table

    left = [row.name for row, _ in planned.remaining()]
    seeds = len(planned.request.seeds)
    return Table(
        f"Would run {len(left)} of {len(planned.rows) * seeds} cells",
        [
            Column("row", "row"),
            Column("preset", "preset"),
            Column("changes", "changes"),
            Column("finished", "finished", Kind.COUNT),
            Column("missing", "missing", Kind.COUNT),
        ],
        [
            [
                row.name,
                row.preset,
                ", ".join(f"{path}={value}" for path, value in row.changes.items()) or None,
                seeds - left.count(row.name),
                left.count(row.name),
            ]
            for row in planned.rows
        ],
    )


def _run(planned: Planned) -> StudyRecord:
    """Run the study, showing the whole's progress and each running cell's."""
    from genrank_cli.studies.ablate import run_study

    cells = len(planned.rows) * len(planned.request.seeds)
    with progress() as shown:
        whole = shown.task(f"{planned.request.study.name} on {planned.request.dataset}", cells)
        running: dict[str, Task] = {}
        done = 0

        def on_status(status: Status) -> None:
            name = f"{status.row}, seed {status.seed}"
            if name not in running:
                running[name] = shown.task(name, status.total)
            running[name].update(
                status.done,
                loss=f"{status.loss:.4f}",
                AUC=f"{status.valid_auc:.4f}",
                events_per_s=f"{status.events_per_s:,.0f}",
            )

        def on_outcome(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            whole.update(done)
            task = running.pop(f"{outcome.row}, seed {outcome.seed}", None)
            if task is not None:
                task.close()
            if outcome.error:
                say(f"failed: {outcome.row}, seed {outcome.seed}: {outcome.error}")

        timing: list[Task] = []

        def on_round(number: int) -> None:
            if not timing:
                timing.append(shown.task("training speed, rounds", planned.request.rounds))
            timing[0].update(number)

        record = run_study(planned, on_status, on_outcome, on_round)
        for task in (*timing, whole):
            task.close()
    return record
