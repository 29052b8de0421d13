"""Building a store from a card: read, stage, sort, code, check, publish."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple

from genrank_cli.data.card import Card, list_cards, load_card
from genrank_cli.data.download import download
from genrank_cli.data.events import EventSummary, write_events
from genrank_cli.data.invariants import first_problem
from genrank_cli.data.progress import Report, quiet
from genrank_cli.data.sidetables import SideSummary, content_record, hash_side, write_side
from genrank_cli.data.sources import RawTables, read
from genrank_cli.data.sources.files import checksums, find
from genrank_cli.data.staging import Stage, stage
from genrank_cli.data.store import BUILD_VERSION, CONTENT, Counts, FileRecord, Manifest, Store
from genrank_cli.data.workspace import check_replaceable, publish, require_space, workspace
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.paths import store_path

log = logging.getLogger(__name__)

# A staged event is up to this many times as large as its line in a text file.
STAGED_TO_RAW = 2


class Built(NamedTuple):
    """A store, and whether it was built now or found."""

    store: Store
    fresh: bool


def build_store(
    card: Card,
    raw_dir: Path | None = None,
    name: str | None = None,
    *,
    force: bool = False,
    verify: bool = True,
    report: Report = quiet,
) -> Built:
    """Build the dataset of ``card`` as store ``name`` (default: the card's name).

    Raw files are taken from ``raw_dir``, else downloaded. A store that was built from the same
    card and files is left as it is unless ``force``. The folder appears whole or not at all.
    Raises `GenrankError`: 2 when a store of another card or other files has that name, 5 when
    the data are missing, corrupt or contradictory, or the disk is too small.
    """
    target = store_path(_checked_name(name or card.name))
    check_replaceable(target)
    existing = None if force else _existing(target, card)
    if existing is not None and raw_dir is None:
        return Built(existing, fresh=False)
    sources: dict[str, str] = {}
    if card.files:
        raw_dir = download(card, verify, report) if raw_dir is None else _folder(raw_dir)
        sources = checksums(card, raw_dir, verify)
        raw_bytes = sum(file.stat().st_size for file in find(card, raw_dir).values())
        require_space(target.parent, STAGED_TO_RAW * raw_bytes, "building")
    if existing is not None:
        _check_same_sources(existing, sources)
        return Built(existing, fresh=False)
    report("reading events", 0, 0)
    tables = read(card, raw_dir)
    with workspace(target) as folder:
        _write(folder, target.name, card, tables, sources, report)
        publish(folder, target)
    return Built(Store.open(target), fresh=True)


def ensure_store(name: str, raw_dir: Path | None = None, report: Report = quiet) -> Store:
    """The built store ``name``; a synthetic dataset is built when it is absent.

    Raises `GenrankError`: 2 for an unknown name, 5 when the store must be built by hand first.
    """
    path = store_path(_checked_name(name))
    if path.exists():
        return _opened(path)
    card = load_card(name)
    if card.source != "synthetic" and raw_dir is None:
        raise data_error(f"dataset {name!r} is not built", f"run: genrank data build {name}")
    return build_store(card, raw_dir, report=report).store


def _opened(path: Path) -> Store:
    """The store at ``path``; a warning tells that the card of its name says something else."""
    store = Store.open(path)
    hashes = {card.name: card.hash for card in list_cards()}
    if hashes.get(path.name, store.manifest.card_hash) != store.manifest.card_hash:
        log.warning(
            "dataset %s was built with other settings than those of its card; "
            "to follow the card run: genrank data build %s --force",
            path.name,
            path.name,
        )
    return store


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        hint = "use lower-case letters, digits, dots, dashes and underscores"
        raise GenrankError(f"{name!r} is not a name for a dataset", hint)
    return name


def _folder(raw_dir: Path) -> Path:
    if not raw_dir.is_dir():
        raise data_error(f"--raw-dir {raw_dir}: no such folder")
    return raw_dir


def _existing(target: Path, card: Card) -> Store | None:
    """The store at ``target``; None where there is none or a broken one."""
    if not target.exists():
        return None
    try:
        store = Store.open(target)
    except GenrankError as error:
        log.warning("%s; building it again", error.message)
        return None
    if store.manifest.card_hash != card.hash:
        raise GenrankError(
            f"{target} was built from another card or with other settings",
            "replace it with --force, or build beside it with --name",
        )
    return store


def _check_same_sources(store: Store, sources: dict[str, str]) -> None:
    old = store.manifest.sources
    changed = sorted(file for file in old | sources if old.get(file) != sources.get(file))
    if changed:
        raise GenrankError(
            f"{store.path} was built from another {changed[0]}",
            "replace it with --force, or build beside it with --name",
        )


def _write(
    folder: Path,
    name: str,
    card: Card,
    tables: RawTables,
    sources: dict[str, str],
    report: Report,
) -> None:
    staged = stage(tables.events, card, folder / "stage.arrow")
    require_space(folder, staged.events * staged.row_bytes, "writing the events")
    events = write_events(staged, card, folder, report)
    staged.path.unlink()
    users = write_side(tables.users, "user", staged.users, folder)
    items = write_side(tables.items, "item", staged.items, folder)
    manifest = _manifest(name, card, staged, events, users, items, sources)
    manifest = _with_side_files(manifest, folder)
    manifest.write(folder)
    report("checking", 0, 0)
    problem = first_problem(Store.open(folder))
    if problem is not None:
        raise data_error(f"{card.name}: {problem.invariant}: {problem.detail}")


def _manifest(
    name: str,
    card: Card,
    staged: Stage,
    events: EventSummary,
    users: SideSummary,
    items: SideSummary,
    sources: dict[str, str],
) -> Manifest:
    """The manifest, but for the side tables' files and the content hash."""
    return Manifest(
        name=name,
        dataset_version=card.version,
        build_version=BUILD_VERSION,
        card_hash=card.hash,
        content_hash="",
        counts=Counts(
            events=events.events,
            users=len(staged.users),
            items=len(staged.items),
            requests=events.requests,
            dropped_duplicates=events.duplicates,
            dropped_users=users.dropped,
            dropped_items=items.dropped,
            unlisted_users=users.unlisted,
            unlisted_items=items.unlisted,
        ),
        actions=staged.actions,
        tasks=list(card.tasks),
        context={name: vocabulary.size for name, vocabulary in staged.contexts.items()},
        user_fields=users.fields,
        item_fields=items.fields,
        content_width=items.content_width,
        truth=bool(staged.truths),
        request_rule=str(card.requests),
        split=card.split,
        time=events.time,
        sources=sources,
        options=card.options,
        files=events.files,
    )


def _with_side_files(manifest: Manifest, folder: Path) -> Manifest:
    """``manifest`` with the files of the side tables and the content hash filled in."""
    store = Store(folder, manifest)
    files = dict(manifest.files)
    for file, table in (("users.arrow", store.users), ("items.arrow", store.items)):
        size = (folder / file).stat().st_size
        files[file] = FileRecord(bytes=size, sha256=hash_side(table))
    if manifest.content_width:
        files[CONTENT] = content_record(folder)
    complete = manifest.model_copy(update={"files": files})
    return complete.model_copy(update={"content_hash": complete.hash_content()})
