"""``genrank models describe``: a model's configuration, tokens, mask, parameters and FLOPs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrank_cli.cli import options as opt
from genrank_cli.cli.output import (
    STDOUT,
    Format,
    check_output,
    emit,
    say,
    wants_json,
    write_stdout,
)
from genrank_cli.errors import GenrankError

if TYPE_CHECKING:
    from genrank_cli.models.describe import Description
    from genrank_cli.models.schema import Schema
    from genrank_cli.report.table import Table
    from genrank_cli.training.config import ExperimentConfig

EVENTS, CANDIDATES = 240, 10

EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank models describe genrank\n"
    "  genrank models describe hstu --size paper --seq-len 480 --candidates 10 --json\n"
    "  genrank models describe genrank --set model.attention.window=64 --plot mask.svg\n"
    "  genrank models describe hstu --plot mask.png --plot-bias bias.png\n"
    "\n"
    "\b\n"
    "FLOPs are those of matrix products in one sample, a multiply-add as two; n history events,\n"
    "m candidates, T tokens, A visible cells of the attention."
)


def describe(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A preset; see: genrank models list.")
    ],
    size: opt.SizeOption = opt.Size.TINY,
    settings: opt.SetOption = None,
    config: opt.ConfigOption = None,
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="NAME", help="Its fields and sizes (default: made-up)."),
    ] = None,
    events: Annotated[
        int | None, typer.Option(min=1, help=f"History events (default: {EVENTS}).")
    ] = None,
    seq_len: Annotated[
        int | None, typer.Option("--seq-len", min=2, help="The same in HSTU's tokens, 2 an event.")
    ] = None,
    candidates: Annotated[int, typer.Option(min=1, help="Candidates of a sample.")] = CANDIDATES,
    requests: Annotated[
        int, typer.Option(min=1, help="Requests of a sample: 1, or more as in packed ones.")
    ] = 1,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE", help="Draw the mask there: .png, .svg, else both."),
    ] = None,
    plot_bias: Annotated[
        Path | None,
        typer.Option("--plot-bias", metavar="FILE", help="Draw what the bias tells apart."),
    ] = None,
    format: opt.FormatOption = Format.AUTO,
    output: opt.OutputOption = None,
    json: opt.JsonOption = False,
) -> None:
    """Print a model's configuration, token layout, mask, parameters and FLOPs by part."""
    check_output(output)
    check_output(plot, "--plot")
    check_output(plot_bias, "--plot-bias")
    chosen = _events(events, seq_len)
    if requests > min(candidates, chosen):
        raise GenrankError(
            f"--requests {requests}: only {candidates} candidates and {chosen} events",
            "each request has candidates and history of its own",
        )
    from genrank_cli.models.describe import describe as figures
    from genrank_cli.models.example import SENTENCE, Lengths
    from genrank_cli.training.config import layered
    from genrank_cli.training.objective import task_weights

    flags = {"data.dataset": data}
    resolved = layered(name, size.value, *opt.layers(config, settings, flags))
    schema = _schema(resolved, data, chosen)
    task_weights(resolved.training.task_weights, schema.tasks)  # refuses an unknown task
    lengths = Lengths(chosen, candidates, requests, older=resolved.data.samples.long_history)
    found = figures(resolved.model, schema, lengths)
    title = f"{name}, size {size.value}"
    if plot is not None:
        _plot(found, plot, title)
    if plot_bias is not None:
        _plot_bias(resolved, schema, requests, plot_bias, title)
    given = SENTENCE if data is None else f"schema of {data}"
    described = {"model": name, "size": size.value, "data": given}
    configured = resolved.model.model_dump(mode="json")
    if wants_json(format, output, json):
        rest = {} if found is None else found.record()
        emit({**described, "config": configured, **rest}, format, output, json)
    else:
        _emit_tables(found, configured, title, given, format, output)
    say(f"next: genrank train --model {name} --size {size.value}")


def _events(events: int | None, seq_len: int | None) -> int:
    if events is not None and seq_len is not None:
        raise GenrankError(
            "--events and --seq-len say the same", "keep one: --seq-len is 2 an event"
        )
    return seq_len // 2 if seq_len is not None else events or EVENTS


def _schema(resolved: ExperimentConfig, data: str | None, events: int) -> Schema:
    from genrank_cli.models.example import made_up_schema

    longest = max(resolved.data.samples.longest_history, events)
    if data is None:
        return made_up_schema(longest)
    from genrank_cli.data.build import ensure_store
    from genrank_cli.models.schema import Schema
    from genrank_cli.training.prepare import chosen_tasks

    store = ensure_store(data)
    return Schema.of(store, chosen_tasks(store, resolved.data.tasks), longest)


def _plot(found: Description | None, plot: Path, title: str) -> None:
    from genrank_cli.report.mask_plot import plot_mask

    if found is None or found.picture is None:
        raise GenrankError("--plot: this model has no tokens and no mask", "leave --plot out")
    files = plot_mask(found.picture.mask, found.picture.names, plot, title=title)
    say(f"wrote {', '.join(str(file) for file in files)}")


def _plot_bias(
    resolved: ExperimentConfig, schema: Schema, requests: int, plot: Path, title: str
) -> None:
    from genrank_cli.models.bias_picture import bias_picture
    from genrank_cli.models.describe import drawn_batch
    from genrank_cli.models.generative import GenerativeRanker
    from genrank_cli.models.picture import picture
    from genrank_cli.models.trace import shape_model
    from genrank_cli.report.bias_plot import plot_bias

    model = None if resolved.model.kind == "rates" else shape_model(resolved.model, schema)
    batch = drawn_batch(requests, schema)
    found = bias_picture(model, batch) if isinstance(model, GenerativeRanker) else None
    if found is None or not isinstance(model, GenerativeRanker):
        raise GenrankError("--plot-bias: this model has no attention bias", "leave it out")
    names = picture(model, batch).names
    files = plot_bias(found.rule, found.codes, found.mask, names, plot, title=title)
    say(f"wrote {', '.join(str(file) for file in files)}")


def _emit_tables(
    found: Description | None,
    configured: dict[str, Any],
    title: str,
    given: str,
    format: Format,
    output: Path | None,
) -> None:
    """All tables where they can stand below each other, else that of the parts."""
    from genrank_cli.report.model import mask_table, parts_table
    from genrank_cli.report.table import record_table

    tables: list[Table] = [record_table(configured, title)]
    if found is not None:
        tables += [mask_table(found.picture)] if found.picture is not None else []
        tables.append(parts_table(found, given))
    if output in (None, STDOUT) and format in (Format.AUTO, Format.TABLE, Format.MD):
        for number, table in enumerate(tables):
            if number:
                write_stdout("")
            emit(table, format)
    else:
        emit(tables[-1], format, output)
