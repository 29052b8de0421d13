"""``genrank models``: one file per command."""

from __future__ import annotations

from genrank_cli.cli import new_app
from genrank_cli.cli.models import describe, listing

app = new_app("Models: which there are, and what one is made of and costs.")

app.command("list", epilog=listing.EPILOG)(listing.list_models)
app.command("describe", epilog=describe.EPILOG)(describe.describe)
