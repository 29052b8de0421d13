"""``genrank bench``: whole models, where the time and the FLOPs of a training step go."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import options as opt
from genrank_cli.cli.bench import arguments as arg
from genrank_cli.cli.bench.following import Following, finish, widest
from genrank_cli.cli.bench.output import check_places, write
from genrank_cli.cli.output import Format, emit
from genrank_cli.cli.progress import progress
from genrank_cli.errors import GenrankError

if TYPE_CHECKING:
    from genrank_cli.bench.model.plan import Request
    from genrank_cli.bench.record import BenchRecord
    from genrank_cli.report.table import Table

EPILOG = """\b
Examples:
  genrank bench --seq-len 480
  genrank bench --seq-len 480 --size base --threads 2 -o bench.json --plot bench
  genrank bench --seq-len 480,960 --model hstu,genrank,dlrm --batch-size 8 --budget 3m
  genrank bench --seq-len 480 --samples packed --lengths zipf
  genrank bench --seq-len 256 --lengths real:ml-100k --size tiny
  genrank bench --seq-len 480 --device cuda --dtype bfloat16 --batch-size 128
  genrank bench attention --seq-len 480,960
"""


class Samples(StrEnum):
    """How events are cut into samples."""

    GROUPED = "grouped"
    PACKED = "packed"


def bench(
    context: typer.Context,
    seq_len: Annotated[
        arg.Sizes,
        typer.Option(
            "--seq-len",
            parser=arg.parse_sizes,
            metavar="LIST",
            help="HSTU tokens of history, two an event: 480 or 480,960.",
        ),
    ] = arg.Sizes((480,)),  # noqa: B008
    model: Annotated[
        opt.Names | None,
        typer.Option(
            "--model",
            parser=opt.parse_names,
            metavar="LIST",
            help="Presets, hstu-materialized, hstu+embeddings+alibi, action-materialized "
            "(default: organisation × bias, as the paper compares them).",
        ),
    ] = None,
    size: Annotated[opt.Size, typer.Option("--size", help="Size of the models.")] = opt.Size.PAPER,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Samples.")] = 4,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Of a sample; packed: of a request.")
    ] = 10,
    lengths: Annotated[
        str,
        typer.Option("--lengths", metavar="KIND", help="fixed, zipf, or real:DATASET."),
    ] = "fixed",
    samples: Annotated[
        Samples, typer.Option("--samples", help="One request a sample, or all of a user's.")
    ] = Samples.GROUPED,
    dtype: Annotated[
        str,
        typer.Option("--dtype", metavar="NAME", help="float32, or mixed precision in bfloat16."),
    ] = "float32",
    rounds: arg.RoundsOption = None,
    precision: arg.PrecisionOption = arg.Share(0.03),  # noqa: B008
    budget: arg.BudgetOption = arg.Seconds(120),  # noqa: B008
    memory: Annotated[
        bool, typer.Option("--memory/--no-memory", help="Also the peak memory of a step.")
    ] = True,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    dry_run: opt.DryRunOption = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
    plot: arg.PlotOption = None,
) -> None:
    """Time training steps of whole models, and say where time and FLOPs go.

    What do half the tokens and another bias buy on this machine, how far is each from the limit,
    and what of the paper's numbers holds here? The commands below time single parts.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context)
        return
    check_places(format, json, output, plot)
    from genrank_cli.bench.model.plan import MODELS, Request, checked
    from genrank_cli.training.runtime import resolve_device

    request = checked(
        Request(
            models=tuple(model or MODELS),
            size=size.value,
            seq_lens=tuple(seq_len),
            batch_size=batch_size,
            candidates=candidates,
            lengths=lengths,
            samples=samples.value,
            dtype=dtype,
            device=str(resolve_device(device)),
            threads=threads,
            rounds=rounds,
            precision=float(precision),
            budget_s=float(budget),
            memory=memory,
        )
    )
    if dry_run:
        emit(_plan_table(request), format, output, json)
        return
    record = _run(request)
    write(record, format, json, output, plot)
    finish(record, output)


def _refuse_options(context: typer.Context) -> None:
    """Options before a subcommand would be lost silently."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            raise GenrankError(
                f"{parameter.opts[0]} stands before {context.invoked_subcommand!r}",
                f"genrank bench {context.invoked_subcommand} --help lists its own options",
            )


def _run(request: Request) -> BenchRecord:
    from genrank_cli.bench.model.run import run
    from genrank_cli.bench.watch import Watch

    with progress() as shown, Following(shown) as following:
        return run(
            request,
            Watch(
                lambda case, row: following.at(f"{case}: prepare and warm up", 0, row=row),
                lambda case, done, share: following.at(
                    f"{case}, rounds", done, request.rounds, rounds=str(done), widest=widest(share)
                ),
                lambda row: following.at("memory", 0, row=row),
            ),
        )


def _plan_table(request: Request) -> Table:
    from genrank_cli.bench.model.batch import make_input
    from genrank_cli.bench.model.plan import described
    from genrank_cli.bench.model.work import work_of
    from genrank_cli.report.table import Column, Kind, Table, Value

    columns = [
        Column("seq_len", "--seq-len", Kind.COUNT),
        Column("model", "model"),
        Column("title", "what it is"),
        Column("events", "events", Kind.COUNT),
        Column("tokens", "tokens", Kind.COUNT),
        Column("gflops", "a step", Kind.FIGURE, 4, unit="GFLOP"),
    ]
    cells: list[list[Value]] = []
    for seq_len in request.seq_lens:
        made = make_input(request, seq_len)
        for model in request.models:
            work = work_of(request, model, seq_len, made)
            load, flops = work.load, sum(work.flops.values()) / 1e9
            title = described(model).title
            cells.append([seq_len, model, title, load.history, load.tokens or None, flops])
    return Table(f"Would time {len(cells)} models", columns, cells)
