"""``genrank bench``: one file per command; a new one is a file and a line here."""

from __future__ import annotations

from genrank_cli.cli import new_app
from genrank_cli.cli.bench import attention, show

app = new_app("Benchmarks: where the time and the FLOPs go, on this machine.")

app.command("attention", epilog=attention.EPILOG)(attention.attention)
app.command("show", epilog=show.EPILOG)(show.show)
