"""Arguments that several commands on datasets share."""

from __future__ import annotations

from typing import Annotated

import typer

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A built dataset; see: genrank data list.")
]
