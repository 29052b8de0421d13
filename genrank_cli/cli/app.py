"""The application ``genrank``: global options, and its subcommands imported when they are named."""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from genrank_cli import __version__
from genrank_cli.cli import HELP_NAMES
from genrank_cli.cli.output import configure_logging

COMMANDS = (
    "ablate",
    "report",
    "bench",
    "check",
    "calibrate",
    "train",
    "evaluate",
    "models",
    "data",
    "environment",
)
"""Subcommands in the order of the help; ``genrank_cli.cli.<name>`` exposes each one's ``app``."""


class LazyGroup(TyperGroup):
    """A group that imports the module of a subcommand when that subcommand is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        if cmd_name not in COMMANDS:
            return None
        if self.commands[cmd_name] is None:
            module = import_module(f"genrank_cli.cli.{cmd_name}")
            self.commands[cmd_name] = typer.main.get_command(cast(typer.Typer, module.app))
        return self.commands[cmd_name]


app = typer.Typer(
    name="genrank",
    cls=LazyGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings=HELP_NAMES,
    epilog="\b\nExamples:\n"
    "  genrank ablate --component bias --data synthetic --size tiny --seeds 0-2\n"
    "  genrank data list\n"
    "\n"
    "--debug, -q and -v work before and after the command.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"genrank {__version__}")
        raise typer.Exit


@app.callback()
def genrank(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print errors and the result only.")
    ] = False,
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose", "-v", count=True, show_default=False, help="Print more about the work."
        ),
    ] = 0,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error.")
    ] = False,
) -> None:
    """What does generative ranking buy, on your data and your hardware, and which part of it?"""
    configure_logging(-1 if quiet else verbose + debug)
