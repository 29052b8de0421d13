"""``genrank bench peers``: other implementations on the same tensors, where they are installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from genrank_cli.cli import options as opt
from genrank_cli.cli.bench import arguments as arg
from genrank_cli.cli.bench.following import Following, finish, widest
from genrank_cli.cli.bench.output import check_places, write
from genrank_cli.cli.output import Format, emit
from genrank_cli.cli.progress import progress

if TYPE_CHECKING:
    from genrank_cli.bench.peers.plan import Request
    from genrank_cli.bench.record import BenchRecord
    from genrank_cli.report.table import Table

EPILOG = """\b
Examples:
  genrank bench peers
  genrank bench peers --peer attention/sdpa,layer/torch --seq-len 480,960 -o peers.json --plot peers
  genrank bench peers --device cuda --dtype bfloat16 --batch-size 128
  genrank bench peers --dry-run
"""


def peers(
    peer: Annotated[
        opt.Names | None,
        typer.Option(
            "--peer",
            parser=opt.parse_names,
            metavar="LIST",
            help="Which (default: all that --dry-run lists).",
        ),
    ] = None,
    seq_len: arg.SeqLenOption = arg.Sizes((480,)),  # noqa: B008
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Sequences.")] = 8,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Heads.")] = 8,
    width: Annotated[int, typer.Option("--width", min=1, help="Width of a head.")] = 96,
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="NAME", help="float32, bfloat16 or float16.")
    ] = "float32",
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
    """Time other people's attention and layers beside ours, on the same tensors.

    Meta's generative_recommenders, transformers, PyTorch's own. Each is checked against the plain
    formula; what is not installed or has no kernel here is named with the reason.
    """
    check_places(format, json, output, plot)
    from genrank_cli.bench.peers.plan import Request, checked
    from genrank_cli.training.runtime import resolve_device

    request = checked(
        Request(
            peers=tuple(peer or ()),
            seq_lens=tuple(seq_len),
            batch_size=batch_size,
            heads=heads,
            width=width,
            dtype=dtype,
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
    from genrank_cli.bench.peers.run import run
    from genrank_cli.bench.watch import Watch

    with progress() as shown, Following(shown) as following:
        return run(
            request,
            Watch(
                lambda case, row: following.at(case, 0, warming=row),
                lambda case, done, share: following.at(
                    f"{case}, rounds", done, request.rounds, rounds=str(done), widest=widest(share)
                ),
            ),
        )


def _plan_table(request: Request) -> Table:
    from genrank_cli.bench.peers.registry import PEERS
    from genrank_cli.report.table import Column, Table, Value

    columns = [
        Column("case", "case"),
        Column("row", "row"),
        Column("what", "what"),
        Column("base", "compared with"),
    ]
    rows: list[list[Value]] = [
        [shape.name, name, PEERS[name].what, None if PEERS[name].ours else PEERS[name].base]
        for shape in request.shapes()
        for name in request.chosen()
    ]
    return Table(f"Would time {len(rows)} rows, those that can be imported", columns, rows)
