"""``genrank bench serve``: latency of requests, with and without cached histories, and costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import options as opt
from genrank_cli.cli.bench import arguments as arg
from genrank_cli.cli.bench.following import Following, finish
from genrank_cli.cli.bench.output import check_places, write
from genrank_cli.cli.output import Format, emit
from genrank_cli.cli.progress import progress

if TYPE_CHECKING:
    from genrank_cli.bench.record import BenchRecord
    from genrank_cli.bench.serve.plan import Request
    from genrank_cli.report.table import Table

EPILOG = """\b
Examples:
  genrank bench serve
  genrank bench serve --size paper --candidates 100,1000 --history 240 -o serve.json --plot serve
  genrank bench serve --model dlrm,genrank --micro-batch 128,512 --requests 1000 --budget 5m
  genrank bench serve --dry-run
"""


def serve(
    model: Annotated[
        opt.Names,
        typer.Option(
            "--model", parser=opt.parse_names, metavar="LIST", help="See: genrank models list."
        ),
    ] = opt.Names(("dlrm", "hstu", "genrank")),  # noqa: B008
    size: Annotated[opt.Size, typer.Option("--size", help="Size of the models.")] = opt.Size.BASE,
    history: Annotated[int, typer.Option("--history", min=1, help="Events of each user.")] = 240,
    candidates: Annotated[
        arg.Sizes,
        typer.Option(
            "--candidates", parser=arg.parse_sizes, metavar="LIST", help="Of a request: 100,1000."
        ),
    ] = arg.Sizes((100, 1_000)),  # noqa: B008
    micro_batch: Annotated[
        arg.Sizes,
        typer.Option(
            "--micro-batch",
            parser=arg.parse_sizes,
            metavar="LIST",
            help="Candidates that are scored together on a cached history.",
        ),
    ] = arg.Sizes((64, 256, 1_024)),  # noqa: B008
    requests: Annotated[
        int,
        typer.Option("--requests", min=1, help="Of each row; a P99 needs 368, a ratio of two 437."),
    ] = 450,
    budget: Annotated[
        arg.Seconds,
        typer.Option(
            "--budget",
            parser=arg.parse_seconds,
            metavar="TIME",
            help="Requests of a case end after this time; 20 are always made.",
        ),
    ] = arg.Seconds(120),  # noqa: B008
    users: Annotated[
        int, typer.Option("--users", min=1, help="Different users that are served in turn.")
    ] = 8,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    dry_run: opt.DryRunOption = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
    plot: arg.PlotOption = None,
) -> None:
    """Serve requests of one user and many candidates: latency, throughput, resources.

    Cached and uncached scores are compared first: more than 1e-5 apart, nothing is timed. The
    costs that the paper compares with a DLRM are judged; missed checks change no exit code.
    """
    check_places(format, json, output, plot)
    from genrank_cli.bench.serve.plan import Request, checked
    from genrank_cli.training.runtime import resolve_device

    request = checked(
        Request(
            models=tuple(model),
            size=size.value,
            history=history,
            candidates=tuple(candidates),
            micro_batches=tuple(micro_batch),
            requests=requests,
            budget_s=float(budget),
            users=users,
            device=str(resolve_device(device)),
            threads=threads,
        )
    )
    if dry_run:
        emit(_plan_table(request), format, output, json)
        return
    record = _run(request)
    write(record, format, json, output, plot)
    finish(record, output)


def _run(request: Request) -> BenchRecord:
    from genrank_cli.bench.serve.run import Watch, run

    with progress() as shown, Following(shown) as following:
        return run(
            request,
            Watch(
                lambda case: following.at(f"{case}: prepare", 0),
                lambda case, done: following.at(case, done, request.requests),
            ),
        )


def _plan_table(request: Request) -> Table:
    from genrank_cli.bench.serve.work import Work
    from genrank_cli.report.table import Column, Kind, Table, Value

    works = {name: Work(request.config(name), request.history) for name in request.models}
    rows: list[list[Value]] = [
        [
            request.case_name(count),
            path.name,
            sum(works[path.model].flops(path.path, count).values()) / 1e9,
        ]
        for count in request.candidates
        for path in request.paths(count)
    ]
    columns = [
        Column("case", "case"),
        Column("row", "row"),
        Column("gflops", "a request", Kind.NUMBER, digits=2, unit="GFLOP"),
    ]
    title = f"Would time {len(rows)} rows, up to {request.requests} requests each"
    return Table(title, columns, rows)
