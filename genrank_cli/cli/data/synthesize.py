"""``genrank data synthesize``: raw files of any size, to measure with."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrank_cli.cli.data.steps import TaskReport
from genrank_cli.cli.options import FormatOption, JsonOption, OutputOption
from genrank_cli.cli.output import Format, check_output, emit, say
from genrank_cli.cli.progress import progress
from genrank_cli.errors import GenrankError, unknown_name

if TYPE_CHECKING:
    from genrank_cli.simulate.kuairand import Shape

EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank data synthesize --like kuairand --events 1e7 --out logs\n"
    "  genrank data build kuairand-pure --raw-dir logs --no-verify --name kuairand-10m"
)
SHAPES = ("kuairand",)


def synthesize(
    events: Annotated[
        float, typer.Option("--events", metavar="N", help="Rows of the standard logs, as 1e8.")
    ],
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="A folder that does not exist yet.")
    ],
    like: Annotated[
        str, typer.Option("--like", metavar="NAME", help="The layout: kuairand.")
    ] = "kuairand",
    users: Annotated[
        int | None, typer.Option(min=1, help="Users (default: by the real sizes).")
    ] = None,
    items: Annotated[
        int | None, typer.Option(min=1, help="Items (default: by the real sizes).")
    ] = None,
    days: Annotated[int, typer.Option(min=2, help="Days that the log covers.")] = 31,
    random_share: Annotated[
        float,
        typer.Option("--random-share", min=0, max=1, help="Rows at random, per standard row."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Write raw logs in the layout and with the quirks of KuaiRand, of any size."""
    check_output(output)
    if like not in SHAPES:
        raise unknown_name("layout", like, SHAPES)
    sizes = {"users": users, "items": items, "days": days, "seed": seed}
    shape = _shape(events, {**sizes, "random_share": random_share})
    from genrank_cli.simulate.kuairand_files import synthesize as write

    with progress() as shown:
        report = TaskReport(shown)
        written = write(shape, out, report)
        report.close()
    emit(written, format, output, json)
    say(f"{out} · next: genrank data build kuairand-pure --raw-dir {out} --no-verify")


def _shape(events: float, given: dict[str, Any]) -> Shape:
    from pydantic import ValidationError

    from genrank_cli.data.card import problems
    from genrank_cli.simulate.kuairand import FEWEST, Shape

    if not events.is_integer():
        raise GenrankError(f"--events {events:g} is not a whole number", "write 1e8 or 1000000")
    if not events >= FEWEST:
        raise GenrankError(f"--events {events:g} is fewer than {FEWEST:,}", "write 1e8 or 1000000")
    try:
        return Shape.of_events(
            int(events), **{name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        raise GenrankError(f"no such log: {problems(error)}") from error
