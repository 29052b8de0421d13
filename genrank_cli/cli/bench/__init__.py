"""``genrank bench``: one file per command; a new one is a file and a line here."""

from __future__ import annotations

from genrank_cli.cli import new_app
from genrank_cli.cli.bench import attention, compare, model, peers, serve, show, sweep

app = new_app("Benchmarks: where the time and the FLOPs go, on this machine.")

app.callback(invoke_without_command=True, epilog=model.EPILOG)(model.bench)
app.command("attention", epilog=attention.EPILOG)(attention.attention)
app.command("compare", epilog=compare.EPILOG)(compare.compare)
app.command("peers", epilog=peers.EPILOG)(peers.peers)
app.command("serve", epilog=serve.EPILOG)(serve.serve)
app.command("sweep", epilog=sweep.EPILOG)(sweep.sweep)
app.command("show", epilog=show.EPILOG)(show.show)
