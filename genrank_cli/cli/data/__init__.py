"""``genrank data``: one file per command; a new one is a file and a line here."""

from __future__ import annotations

from genrank_cli.cli import new_app
from genrank_cli.cli.data import audit, build, describe, init, listing, synthesize, validate

app = new_app("Datasets: what there is, a card for your own log, building, looking, checking.")

app.command("list", epilog=listing.EPILOG)(listing.list_datasets)
app.command("init", epilog=init.EPILOG)(init.init)
app.command("build", epilog=build.EPILOG)(build.build)
app.command("describe", epilog=describe.EPILOG)(describe.describe)
app.command("validate", epilog=validate.EPILOG)(validate.validate)
app.command("synthesize", epilog=synthesize.EPILOG)(synthesize.synthesize)
app.command("audit", epilog=audit.EPILOG)(audit.audit)
