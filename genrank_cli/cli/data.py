"""``genrank data``: which datasets there are, building them, what is in them, are they intact."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrank_cli.cli import new_app
from genrank_cli.cli.options import (
    ForceOption,
    FormatOption,
    JsonOption,
    OutputOption,
    SetOption,
    ShowConfigOption,
    parse_overrides,
)
from genrank_cli.cli.output import Format, check_output, emit, say
from genrank_cli.cli.progress import Progress, Task, progress
from genrank_cli.errors import data_error

if TYPE_CHECKING:
    from genrank_cli.data.card import Card

app = new_app("Datasets: list, build, describe, validate.")

NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A built dataset; see: genrank data list.")
]


@app.command(
    "list", epilog="\b\nExamples:\n  genrank data list\n  genrank data list --json -o datasets.json"
)
def list_datasets(
    format: FormatOption = Format.AUTO, output: OutputOption = None, json: JsonOption = False
) -> None:
    """List the datasets that can be built, and those that are."""
    check_output(output)
    from genrank_cli.data.catalogue import catalogue

    emit(catalogue(), format, output, json)
    say("next: genrank data build NAME")


@app.command(
    epilog="\b\nExamples:\n"
    "  genrank data build synthetic --users 5000 --seed 1 --name synthetic-5k\n"
    "  genrank data build ml-100k --raw-dir ~/downloads/ml-100k\n"
    "  genrank data build ml-1m --set requests.gap_seconds=60 --force"
)
def build(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A dataset, or a card of your own (FILE.toml).")
    ],
    raw_dir: Annotated[
        Path | None,
        typer.Option("--raw-dir", metavar="DIR", help="Use the raw files there; no download."),
    ] = None,
    store_name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Build under another name.")
    ] = None,
    users: Annotated[int | None, typer.Option(min=1, help="Synthetic data: users.")] = None,
    items: Annotated[int | None, typer.Option(min=1, help="Synthetic data: items.")] = None,
    requests: Annotated[
        float | None, typer.Option(min=0, help="Synthetic data: mean requests of a user.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Synthetic data: random seed.")] = None,
    settings: SetOption = None,
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Insist on the official checksums.")
    ] = True,
    force: ForceOption = False,
    show_config: ShowConfigOption = False,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Build a dataset: download or read its files, check them, write the store."""
    check_output(output)
    feed = {"users": users, "items": items, "requests": requests, "seed": seed}
    card = _card(name, settings, {key: value for key, value in feed.items() if value is not None})
    if show_config:
        emit(card.model_dump(mode="json"), format, output, json)
        return
    from genrank_cli.data.build import build_store

    with progress() as shown:
        report = TaskReport(shown)
        built = build_store(card, raw_dir, store_name, force=force, verify=verify, report=report)
        report.close()
    manifest = built.store.manifest
    result = {
        "name": manifest.name,
        "path": str(built.store.path),
        "built": "now" if built.fresh else "already",
        **manifest.counts.model_dump(),
        "content_hash": manifest.content_hash,
    }
    if not built.fresh:
        say("already built from the same card and files; --force builds it again")
    emit(result, format, output, json)
    say(f"{built.store.path} · next: genrank data describe {manifest.name}")


@app.command(
    epilog="\b\nExamples:\n  genrank data describe ml-100k\n"
    "  genrank data describe ml-100k --split temporal --json"
)
def describe(
    name: NameArgument,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="NAME", help="Describe this split, not the store's own."),
    ] = None,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Print sizes, rates, lengths, and the parts of the split with what they let through."""
    check_output(output)
    from genrank_cli.data.describe import describe as figures
    from genrank_cli.data.store import Store
    from genrank_cli.paths import store_path

    store = Store.open(store_path(name))
    spec = store.manifest.split.model_copy(update={"name": split}) if split else None
    emit(figures(store, spec), format, output, json)
    say("next: genrank data validate " + name)


@app.command(
    epilog="\b\nExamples:\n  genrank data validate ml-100k\n  genrank data validate ml-1m --json"
)
def validate(
    name: NameArgument,
    format: FormatOption = Format.AUTO,
    output: OutputOption = None,
    json: JsonOption = False,
) -> None:
    """Check every invariant and every hash of a built dataset; exit code 5 if one is broken."""
    check_output(output)
    from genrank_cli.data.invariants import check
    from genrank_cli.data.store import Store, rebuild_hint
    from genrank_cli.paths import store_path
    from genrank_cli.report.table import Column, Table

    findings = list(check(Store.open(store_path(name))))
    columns = (
        Column("invariant", "invariant"),
        Column("state", "state"),
        Column("detail", "detail"),
    )
    rows = [(f.invariant, "broken" if f.detail else "holds", f.detail or None) for f in findings]
    emit(Table(f"Invariants of {name}", columns, rows), format, output, json)
    broken = [finding.invariant for finding in findings if finding.detail]
    if broken:
        raise data_error(f"dataset {name} is broken: {', '.join(broken)}", rebuild_hint(name))
    say(f"{name} is intact")


class TaskReport:
    """Shows the steps of a build one after the other."""

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._label = ""
        self._task: Task | None = None

    def __call__(self, what: str, done: float, total: float) -> None:
        if self._task is None or what != self._label:
            self.close()
            self._label, self._task = what, self._shown.task(what, total or None)
        self._task.update(done, total or None)

    def close(self) -> None:
        """End the step that is shown."""
        if self._task is not None:
            self._task.close()
            self._task = None


def _card(name: str, settings: list[str] | None, feed: dict[str, Any]) -> Card:
    from genrank_cli.data.card import load_card, override

    tree = parse_overrides(settings or [])
    if feed:
        tree["options"] = {**tree.get("options", {}), **feed}
    return override(load_card(name), tree)
