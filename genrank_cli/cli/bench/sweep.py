"""``genrank bench sweep``: time and FLOPs of training as one dimension grows."""

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

if TYPE_CHECKING:
    from genrank_cli.bench.record import BenchRecord
    from genrank_cli.bench.sweep.plan import Request
    from genrank_cli.report.table import Table

EPILOG = """\b
Examples:
  genrank bench sweep --over length
  genrank bench sweep --over length --values 240,480,960 --size paper -o sweep.json --plot sweep
  genrank bench sweep --over width --model hstu,genrank,softmax
  genrank bench sweep --over candidates --batch-size 2 --budget 2m
  genrank bench sweep --over depth --dry-run
"""


class Over(StrEnum):
    """The dimension that is swept."""

    LENGTH = "length"
    WIDTH = "width"
    DEPTH = "depth"
    BATCH = "batch"
    CANDIDATES = "candidates"


def sweep(
    over: Annotated[
        Over, typer.Option("--over", help="What grows; length counts HSTU's tokens.")
    ] = Over.LENGTH,
    values: Annotated[
        arg.Sizes | None,
        typer.Option(
            "--values",
            parser=arg.parse_sizes,
            metavar="LIST",
            help="Its values (default: four that belong to it).",
        ),
    ] = None,
    model: Annotated[
        opt.Names,
        typer.Option(
            "--model", parser=opt.parse_names, metavar="LIST", help="See: genrank models list."
        ),
    ] = opt.Names(("hstu", "genrank")),  # noqa: B008
    size: Annotated[opt.Size, typer.Option("--size", help="Size of the models.")] = opt.Size.BASE,
    seq_len: Annotated[
        int, typer.Option("--seq-len", min=2, help="HSTU tokens of history: two an event.")
    ] = 480,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Sequences.")] = 4,
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="Candidates of a sequence.")
    ] = 10,
    rounds: arg.RoundsOption = None,
    precision: arg.PrecisionOption = arg.Share(0.03),  # noqa: B008
    budget: arg.BudgetOption = arg.Seconds(60),  # noqa: B008
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    dry_run: opt.DryRunOption = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
    plot: arg.PlotOption = None,
) -> None:
    """Time training at several lengths, widths, depths, batches or numbers of candidates.

    Shows with which power time and FLOPs grow, from which length on attention takes more than
    everything else in a block, and how far each part is from what the machine can do.
    """
    check_places(format, json, output, plot)
    from genrank_cli.bench.sweep.plan import Request, checked
    from genrank_cli.training.runtime import resolve_device

    request = checked(
        Request(
            over=over.value,
            values=tuple(values or ()),
            models=tuple(model),
            size=size.value,
            seq_len=seq_len,
            batch_size=batch_size,
            candidates=candidates,
            device=str(resolve_device(device)),
            threads=threads,
            rounds=rounds,
            precision=float(precision),
            budget_s=float(budget),
        )
    )
    if dry_run:
        emit(_plan_table(request), format, output, json)
        return
    record = _run(request)
    write(record, format, json, output, plot)
    finish(record, output)


def _run(request: Request) -> BenchRecord:
    from genrank_cli.bench.sweep.run import Watch, run

    with progress() as shown, Following(shown) as following:
        return run(
            request,
            Watch(
                lambda row: following.at("prepare and warm up", 0, row=row),
                lambda done, share: following.at(
                    "rounds", done, request.rounds, rounds=str(done), widest=widest(share)
                ),
            ),
        )


def _plan_table(request: Request) -> Table:
    from genrank_cli.bench.sweep.run import specs
    from genrank_cli.report.table import Column, Kind, Table, Value

    rows = specs(request)
    columns = [
        Column("row", "row"),
        Column("tokens", "tokens a batch", Kind.COUNT),
        Column("gflops", "work", Kind.FIGURE, 3, unit="GFLOP"),
    ]
    cells: list[list[Value]] = [
        [row.name, row.figures["tokens"], sum(row.flops.values()) / 1e9] for row in rows
    ]
    return Table(f"Would time {len(rows)} rows over {request.over}", columns, cells)
