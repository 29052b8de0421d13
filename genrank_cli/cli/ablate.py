"""``genrank ablate``: run studies, compare their variants with the base, judge the claims."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli import options as opt
from genrank_cli.cli.output import Format, check_output, emit, emit_all, say, wants_json
from genrank_cli.cli.progress import Task, progress
from genrank_cli.errors import ExitCode, GenrankError

if TYPE_CHECKING:
    from genrank_cli.studies.ablate import Planned
    from genrank_cli.studies.cells import Outcome, Status
    from genrank_cli.studies.record import StudyRecord
    from genrank_cli.studies.study import Study

app = new_app()

EXAMPLES = """\b
Examples:
  genrank ablate --component bias
  genrank ablate --component bias --data ml-100k --seeds 0-4 --jobs 2
  genrank ablate --component bias --variants rab,embeddings+alibi --dry-run
  genrank ablate --component loss,mask --seeds 0-9 --budget 30m
  genrank ablate --component all
  genrank ablate --list
"""


def _parse_budget(text: str | float) -> float:
    """Seconds from ``90s``, ``30m`` or ``2h``; raises `GenrankError` (usage)."""
    if isinstance(text, float):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh])\s*", text)
    if match is None:
        raise GenrankError(f"--budget {text!r} is no time", "write 90s, 30m or 2h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


@app.command(epilog=EXAMPLES)
def ablate(
    component: Annotated[
        opt.Names | None,
        typer.Option(
            "--component",
            parser=opt.parse_names,
            metavar="LIST",
            help="Studies: shipped names, TOML files, or all.",
        ),
    ] = None,
    data: opt.DataOption = "synthetic",
    size: opt.SizeOption = opt.Size.TINY,
    seeds: opt.SeedsOption = opt.Seeds(range(3)),
    budget: Annotated[
        float | None,
        typer.Option(
            "--budget",
            parser=_parse_budget,
            metavar="TIME",
            help="As many of the seeds as fit into 90s, 30m or 2h; the first always runs.",
        ),
    ] = None,
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
        int | None,
        typer.Option(
            "--rounds",
            min=0,
            help="Rounds of the speed measurement; 0: none. Default: 12, of several studies only "
            "for those with a claim about speed.",
        ),
    ] = None,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            min=1,
            help="Runs at the same time. Default: 1; several studies at size tiny on a CPU: one "
            "for each core, with one thread.",
        ),
    ] = None,
    runs: opt.RunsOption = Path("results/runs"),
    force: opt.ForceOption = False,
    dry_run: opt.DryRunOption = False,
    list_: Annotated[bool, typer.Option("--list", help="List the shipped studies.")] = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
) -> None:
    """Run studies: their variants on the same events and seeds, paired, with verdicts.

    Finished runs are reused, interrupted ones go on where they stopped; a run that several studies
    need is made once.
    """
    check_output(output)
    as_json = wants_json(format, output, json)  # a form that does not exist is refused now
    if list_:
        from genrank_cli.report.study_plan import studies_table

        emit(studies_table(), format, output, json)
        return
    studies = _studies(component)
    if variants is not None and len(studies) > 1:
        raise GenrankError("--variants belongs to one study", "name one with --component")
    from genrank_cli.studies.ablate import Request, default_jobs, default_rounds, plan

    at_once, threads = default_jobs(jobs, threads, len(studies), size.value, device)
    plans = [
        plan(
            Request(
                study=study,
                dataset=data,
                size=size.value,
                seeds=seeds,
                variants=variants,
                settings=opt.layers(config, settings, {"data.split": split, "data.limit": limit}),
                rounds=default_rounds(rounds, study, len(studies)),
                device=device,
                threads=threads,
                jobs=at_once,
                runs=runs,
                force=force,
            )
        )
        for study in studies
    ]
    if dry_run:
        from genrank_cli.report.study_plan import plan_table

        emit(plan_table(plans), format, output, json)
        return
    records = _run(plans, budget)
    files = _write(records, runs)
    _show(records, format, as_json, output)
    say(f"wrote {', '.join(str(file) for file in files)}")
    failures = [failure for record in records for failure in record.failures]
    if failures:
        raise GenrankError(
            f"{len(failures)} runs failed: {failures[0].error}",
            "the others are kept; the same command runs only what is missing",
            ExitCode.PARTIAL,
        )


def _studies(component: opt.Names | None) -> list[Study]:
    from genrank_cli.studies.study import list_studies, load_study

    if component is None:
        raise GenrankError(
            f"--component is missing; studies: all, {', '.join(list_studies())}",
            "genrank ablate --component bias",
        )
    if component == ("all",):
        return [study for study in map(load_study, list_studies()) if not study.extra]
    return [load_study(name) for name in component]


def _write(records: Sequence[StudyRecord], runs: Path) -> list[Path]:
    """The files of every study; of several, those that are looked at first."""
    from genrank_cli.report.study import write_study

    written = [
        write_study(record, runs / f"{record.study}-{record.dataset}-{record.size}")
        for record in records
    ]
    return written[0] if len(records) == 1 else [files[0].parent for files in written]


def _show(
    records: Sequence[StudyRecord], format: Format, as_json: bool, output: Path | None
) -> None:
    """One study: its table and its claims; several: the claims of all; as JSON the records."""
    from genrank_cli.report.study import claims_table, study_table

    if as_json:
        trees = [record.model_dump(mode="json") for record in records]
        emit(trees[0] if len(trees) == 1 else {"studies": trees}, Format.JSON, output)
    elif len(records) > 1:
        emit(claims_table(*records), format, output)
    else:
        claims = [claims_table(records[0])] if records[0].claims else []
        emit_all([study_table(records[0]), *claims], format, output)


def _run(plans: Sequence[Planned], budget_s: float | None) -> list[StudyRecord]:
    """Run the studies, showing the whole's progress and each running cell's."""
    from genrank_cli.studies.ablate import Watch, distinct, run_studies

    request = plans[0].request
    seeds = len(request.seeds)
    title = request.study.name if len(plans) == 1 else f"{len(plans)} studies"
    with progress() as shown:
        whole = shown.task(f"{title} on {request.dataset}", len(distinct(plans)) * seeds)
        running: dict[str, Task] = {}
        done = 0

        def on_status(status: Status) -> None:
            name = f"{status.row}, seed {status.seed}"
            if name not in running:
                running[name] = shown.task(name, status.total)
            figures = {"loss": f"{status.loss:.4f}"}
            if status.valid_auc > 0:  # nothing has been validated before the first epoch ends
                figures["AUC"] = f"{status.valid_auc:.4f}"
            figures["events_per_s"] = f"{status.events_per_s:,.0f}"
            running[name].update(status.done, None, **figures)

        def on_outcome(outcome: Outcome) -> None:
            nonlocal done
            done += 1
            whole.update(done)
            task = running.pop(f"{outcome.row}, seed {outcome.seed}", None)
            if task is not None:
                task.close()
            if outcome.error:
                say(f"failed: {outcome.row}, seed {outcome.seed}: {outcome.error}")

        timing: dict[str, Task] = {}

        def on_round(study: str, number: int) -> None:
            if study not in timing:
                timing[study] = shown.task(f"{study}: training speed, rounds")
            timing[study].update(number)

        def on_stop(count: int) -> None:
            say(f"the budget was enough for {count} of {seeds} seeds")

        watch = Watch(on_status, on_outcome, on_round, on_stop)
        records = run_studies(plans, watch, budget_s)
        for task in (*timing.values(), whole):
            task.close()
    return records
