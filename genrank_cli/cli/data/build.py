"""``genrank data build``: from raw files to a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genrank_cli.cli.data.steps import TaskReport
from genrank_cli.cli.options import (
    ForceOption,
    FormatOption,
    JsonOption,
    OutputOption,
    SetOption,
    ShowConfigOption,
    parse_overrides,
)
from genrank_cli.cli.output import Format, check_output, emit, say, wants_json
from genrank_cli.cli.progress import progress

if TYPE_CHECKING:
    from genrank_cli.data.card import Card


EPILOG = (
    "\b\n"
    "Examples:\n"
    "  genrank data build synthetic --users 5000 --seed 1 --name synthetic-5k\n"
    "  genrank data build ml-100k --raw-dir ~/downloads/ml-100k\n"
    "  genrank data build ml-1m --set requests.gap_seconds=60 --force"
)


def build(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A dataset, or a card of your own: FILE.toml.")
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
    from genrank_cli.report.table import Kind, record_table

    with progress() as shown:
        report = TaskReport(shown)
        place = raw_dir or _folder_of_own_files(card, name)
        built = build_store(card, place, store_name, force=force, verify=verify, report=report)
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
    as_json = wants_json(format, output, json)
    emit(result if as_json else record_table(result, kind=Kind.FIGURE), format, output, json)
    say(f"{built.store.path} · next: genrank data describe {manifest.name}")


def _card(name: str, settings: list[str] | None, feed: dict[str, Any]) -> Card:
    from genrank_cli.data.card import load_card, override

    tree = parse_overrides(settings or [])
    if feed:
        tree["options"] = {**tree.get("options", {}), **feed}
    return override(load_card(name), tree)


def _folder_of_own_files(card: Card, name: str) -> Path | None:
    """Folder of the user's own card: its files lie beside it, unless it says how to get them."""
    from genrank_cli.data.card import own_card

    own = own_card(name)
    return own.parent if own is not None and card.files and not card.downloads else None
