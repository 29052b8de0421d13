"""``genrank train``: train one model on one dataset with one or more seeds."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli import options as opt
from genrank_cli.cli.output import Format, check_output, emit, say
from genrank_cli.cli.progress import Task, progress

if TYPE_CHECKING:
    from genrank_cli.report.table import Table
    from genrank_cli.training.loop import Trainer

app = new_app()

EXAMPLES = """\b
Examples:
  genrank train --model genrank
  genrank train --model hstu --data ml-100k --seeds 0-4 --set training.epochs=6
  genrank train --model dlrm --data ml-100k --show-config
"""


@app.command(epilog=EXAMPLES)
def train(
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help="hstu, genrank, dlrm or rates.")
    ] = "genrank",
    data: opt.DataOption = "synthetic",
    size: opt.SizeOption = opt.Size.TINY,
    seeds: opt.SeedsOption = opt.Seeds((0,)),
    split: opt.SplitOption = None,
    settings: opt.SetOption = None,
    config: opt.ConfigOption = None,
    limit: opt.LimitOption = None,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    runs: opt.RunsOption = Path("results/runs"),
    force: opt.ForceOption = False,
    show_config: opt.ShowConfigOption = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
) -> None:
    """Train a model and test it. An interrupted run goes on where it stopped."""
    check_output(output)
    from genrank_cli.data.build import dataset_name
    from genrank_cli.training.config import layered, overlaid

    flags = {"data.dataset": data, "data.split": split, "data.limit": limit}
    resolved = layered(model, size.value, *opt.layers(config, settings, flags))
    given = resolved.data.dataset  # may be the file of a card; the run is known by its store
    resolved = overlaid(resolved, {"data": {"dataset": dataset_name(given)}})
    if show_config:
        emit(resolved.model_dump(mode="json"), format, output, json)
        return
    from genrank_cli.data.build import ensure_store
    from genrank_cli.training.run import Cell, run_cell
    from genrank_cli.training.runtime import resolve_device

    target = resolve_device(device)
    store = ensure_store(given)
    records = []
    with progress() as shown:
        for seed in seeds:
            task = shown.task(f"{model} on {data}, seed {seed}")
            cell = Cell(resolved, seed, store.manifest.data_hash)
            observe = partial(_show, task)
            records.append(
                run_cell(cell, store, runs, target, threads=threads, force=force, observe=observe)
            )
            task.close()
    if json or format is Format.JSON:
        emit({"runs": records}, format, output, json)
    else:
        emit(_table(model, records), format, output)
    say(f"runs: {', '.join(record['folder'] for record in records)}")
    say(f"next: genrank evaluate {records[0]['folder']}")


def _show(task: Task, trainer: Trainer) -> None:
    state = trainer.progress
    task.update(
        state.epoch * trainer.steps + state.step,
        trainer.config.epochs * trainer.steps,
        loss=f"{state.loss:.4f}",
        AUC=f"{state.best_auc:.4f}",
        events_per_s=f"{state.events_per_s:,.0f}",
    )


def _table(model: str, records: list[dict[str, Any]]) -> Table:
    from genrank_cli.report.table import Column, Kind, Table

    return Table(
        f"{model} on {records[0]['dataset']}, {records[0]['split']} split",
        [
            Column("seed", "seed"),
            Column("task", "task"),
            Column("auc", "AUC", Kind.NUMBER),
            Column("gauc_user", "GAUC", Kind.NUMBER),
            Column("ne", "NE", Kind.NUMBER),
            Column("log_loss", "log loss", Kind.NUMBER),
            Column("calibration", "calibration", Kind.NUMBER),
            Column("lift_share", "lift share", Kind.PERCENT, digits=1),
            Column("rmse", "RMSE", Kind.NUMBER),
            Column("train_s", "training", Kind.NUMBER, digits=1, unit="s"),
        ],
        [
            [
                record["seed"],
                task,
                *(metrics.get(name) for name in _METRICS),
                record["training"]["train_s"],
            ]
            for record in records
            for task, metrics in record["test"].items()
        ],
        notes=["! partial: --limit kept only some of the users"] if records[0]["partial"] else [],
    )


_METRICS = ("auc", "gauc_user", "ne", "log_loss", "calibration", "lift_share", "rmse")
