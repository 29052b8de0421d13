"""The command line: one short file per subcommand, which parses, calls and prints.

Importing this package imports typer and nothing heavier. A subcommand's module exposes
``app = new_app(...)`` and imports torch, polars, matplotlib or scipy inside its functions only.
"""

from __future__ import annotations

import typer

HELP_NAMES = {"help_option_names": ["-h", "--help"]}


def new_app(help: str | None = None) -> typer.Typer:
    """A typer application in the house form: plain help, ``-h``, our own error messages.

    With one ``@app.command()`` it is a single command; with several, a group of them.
    """
    return typer.Typer(
        help=help,
        add_completion=False,
        no_args_is_help=help is not None,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=HELP_NAMES,
    )
