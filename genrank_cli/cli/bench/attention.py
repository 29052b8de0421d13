"""``genrank bench attention``: kernels and biases, timed beside the reference and PyTorch's own."""

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
    from genrank_cli.bench.attention.plan import Request
    from genrank_cli.bench.record import BenchRecord
    from genrank_cli.report.table import Table

EPILOG = """\b
Examples:
  genrank bench attention
  genrank bench attention --seq-len 480,960 --memory --threads 2 -o attention.json --plot attention
  genrank bench attention --bias none,rab,alibi --backend native,sdpa --dtype float32 --budget 20s
  genrank bench attention --device cuda --seq-len 480,960,2048,4096 --width 96,128 --batch-size 128
  genrank bench attention --seq-len 960 --dry-run
"""


class Activation(StrEnum):
    """What turns scores into weights."""

    SILU = "silu"
    SOFTMAX = "softmax"


def attention(
    seq_len: arg.SeqLenOption = arg.Sizes((480,)),  # noqa: B008
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", min=1, help="Sequences (default: 8; on CUDA 128)."),
    ] = None,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Heads.")] = 8,
    width: Annotated[
        arg.Sizes,
        typer.Option("--width", parser=arg.parse_sizes, metavar="LIST", help="Width of a head."),
    ] = arg.Sizes((96,)),  # noqa: B008
    candidates: Annotated[
        int, typer.Option("--candidates", min=0, help="Tokens at the end that are candidates.")
    ] = 10,
    dtype: Annotated[
        opt.Names | None,
        typer.Option(
            "--dtype",
            parser=opt.parse_names,
            metavar="LIST",
            help="float32, bfloat16, float16 (default: the first two; on CUDA bfloat16).",
        ),
    ] = None,
    bias: Annotated[
        opt.Names | None,
        typer.Option(
            "--bias",
            parser=opt.parse_names,
            metavar="LIST",
            help="none, rab, rab-materialized, tables, alibi, alibi-time (default: all but "
            "tables, whose kernel is rab's).",
        ),
    ] = None,
    backend: Annotated[
        opt.Names | None,
        typer.Option(
            "--backend",
            parser=opt.parse_names,
            metavar="LIST",
            help="Ours (reference, blockwise, native, triton), PyTorch's (sdpa, flash, flex); "
            "default: what belongs to the device.",
        ),
    ] = None,
    activation: Annotated[
        Activation, typer.Option("--activation", help="Of our rows; PyTorch's are softmax.")
    ] = Activation.SILU,
    rounds: arg.RoundsOption = None,
    precision: arg.PrecisionOption = arg.Share(0.03),  # noqa: B008
    budget: arg.BudgetOption = arg.Seconds(60),  # noqa: B008
    memory: Annotated[
        bool,
        typer.Option("--memory/--no-memory", help="Also the peak memory of one long sequence."),
    ] = False,
    memory_len: Annotated[
        int, typer.Option("--memory-len", min=1, help="Tokens of that sequence.")
    ] = 4_096,
    device: opt.DeviceOption = "auto",
    threads: opt.ThreadsOption = None,
    dry_run: opt.DryRunOption = False,
    format: opt.FormatOption = Format.AUTO,
    json: opt.JsonOption = False,
    output: opt.OutputOption = None,
    plot: arg.PlotOption = None,
) -> None:
    """Time attention, forward and backward: every backend and bias, in alternating rounds.

    Beside them the reference and PyTorch's softmax kernel, the machine's matrix products, and
    whether the promised ratios are met. Missed checks change no exit code.
    """
    check_places(format, json, output, plot)
    from genrank_cli.bench.attention.defaults import request_for

    request = request_for(
        device,
        seq_lens=seq_len,
        batch_size=batch_size,
        heads=heads,
        widths=width,
        candidates=candidates,
        dtypes=dtype,
        biases=bias,
        backends=backend,
        activation=activation.value,
        threads=threads,
        rounds=rounds,
        precision=float(precision),
        budget_s=float(budget),
        memory=memory,
        memory_len=memory_len,
    )
    if dry_run:
        emit(_plan_table(request), format, output, json)
        return
    record = _run(request)
    write(record, format, json, output, plot)
    finish(record, output)


def _plan_table(request: Request) -> Table:
    from genrank_cli.report.table import Column, Kind, Table

    return Table(
        f"Would time {len(request.specs())} rows; number of shapes: {len(request.shapes())}",
        [
            Column("case", "case"),
            Column("row", "row"),
            Column("activation", "activation"),
            Column("base", "base"),
            Column("model_gflops", "model", Kind.NUMBER, digits=1, unit="GFLOP"),
        ],
        [
            [
                shape.name,
                row.name,
                row.activation,
                next(iter(row.bases), None),
                sum(row.flops(shape).parts().values()) / 1e9,
            ]
            for shape in request.shapes()
            for row in request.specs()
        ],
        notes=[f"Peak memory: {request.memory_shape().name}"] if request.memory else [],
    )


def _run(request: Request) -> BenchRecord:
    """Measure, showing the case and the row that it is at."""
    from genrank_cli.bench.attention.run import run
    from genrank_cli.bench.watch import Watch

    with progress() as shown, Following(shown) as following:
        return run(
            request,
            Watch(
                lambda case, row: following.at(case, 0, warming=row),
                lambda case, done, share: following.at(
                    f"{case}, rounds", done, request.rounds, rounds=str(done), widest=widest(share)
                ),
                lambda row: following.at("memory", 0, row=row),
            ),
        )
