"""Building a store from a card: read, stage, sort, code, check, publish."""

from __future__ import annotations

import itertools
import logging
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from genrank_cli.data.card import Card, list_cards, load_card, own_card
from genrank_cli.data.declare import WindowSpec
from genrank_cli.data.download import download
from genrank_cli.data.events import EventSummary, write_events
from genrank_cli.data.invariants import first_problem
from genrank_cli.data.progress import Report, quiet
from genrank_cli.data.sidetables import (
    SideSummary,
    choose_buckets,
    content_record,
    side_hash,
    write_sides,
)
from genrank_cli.data.sources import RawTables, read
from genrank_cli.data.sources.files import checksums, find_all
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
    target = store_path(name or card.name)
    check_replaceable(target)
    resolved_windows(card)  # a wrong task is refused before the long work
    existing = None if force else _existing(target, card)
    if existing is not None and raw_dir is None:
        return Built(existing, fresh=False)
    sources: dict[str, str] = {}
    if card.files:
        raw_dir = download(card, verify, report) if raw_dir is None else _folder(raw_dir)
        sources = checksums(card, raw_dir, verify)
        files = itertools.chain.from_iterable(find_all(card, raw_dir).values())
        raw_bytes = sum(file.stat().st_size for file in files)
        require_space(target.parent, STAGED_TO_RAW * raw_bytes, "building")
    if existing is not None:
        _check_same_sources(existing, sources)
        return Built(existing, fresh=False)
    tables = read(card, raw_dir)
    with workspace(target) as folder:
        _write(folder, target.name, card, tables, raw_dir, sources, report)
        publish(folder, target)
    return Built(Store.open(target), fresh=True)


def dataset_name(name: str) -> str:
    """The store that ``name`` means: itself, or where it is a card's file, the card's name."""
    return load_card(name).name if name.endswith(".toml") else name


def ensure_store(name: str, raw_dir: Path | None = None, report: Report = quiet) -> Store:
    """The built store ``name``, or that of a card's file; a synthetic one is built when absent.

    A warning tells that its card says something else by now. Raises `GenrankError`: 2 for an
    unknown name, 5 when the store must be built by hand first.
    """
    path = store_path(dataset_name(name))
    if path.exists():
        return _opened(path, name)
    card = load_card(name)
    if card.source != "synthetic" and raw_dir is None:
        raise data_error(f"dataset {card.name!r} is not built", f"run: genrank data build {name}")
    return build_store(card, raw_dir, report=report).store


def _opened(path: Path, name: str) -> Store:
    store = Store.open(path)
    card = _card_of(name)
    if card is not None and card.hash != store.manifest.card_hash:
        found = f"dataset {path.name} was built with other settings than those of its card"
        log.warning("%s; to follow the card run: genrank data build %s --force", found, name)
    return store


def _card_of(name: str) -> Card | None:
    """The card that the store ``name`` goes by, shipped or the user's own; None without one."""
    own = own_card(name)
    if own is None:
        return next((card for card in list_cards() if card.name == name), None)
    try:
        card = load_card(own)
    except GenrankError as error:
        if name.endswith(".toml"):
            raise
        log.warning("the store is not compared with %s: %s", own, error.message)
        return None
    return card if card.name == dataset_name(name) else None


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
    raw_dir: Path | None,
    sources: dict[str, str],
    report: Report,
) -> None:
    runs = folder / "runs"
    staged = stage(tables, card, runs, report)
    require_space(folder, staged.events * staged.row_bytes, "writing the events")
    with ThreadPoolExecutor(1, "genrank-side") as pool:
        sides = pool.submit(write_sides, card, tables, raw_dir, staged, folder)
        events = write_events(staged, card, folder, report)
    shutil.rmtree(runs)
    users, items = sides.result()
    quirks = Counter(staged.quirks)
    quirks.update(tables.quirks)
    manifest = _manifest(name, card, staged, events, users, items)
    manifest = manifest.model_copy(update={"sources": sources, "quirks": dict(quirks)})
    manifest = _with_windows(manifest, folder, report)
    manifest = _with_side_files(manifest, folder)
    manifest.write(folder)
    report("checking", 0, 0)
    problem = first_problem(Store.open(folder))
    if problem is not None:
        raise data_error(f"{card.name}: {problem.invariant}: {problem.detail}")


def resolved_windows(card: Card) -> WindowSpec | None:
    """The card's window statistics with the tasks that they mean: all binary ones by default."""
    spec = card.windows
    if spec is None:
        return None
    binary = tuple(task.name for task in card.tasks if task.kind == "binary")
    unknown = [name for name in spec.tasks if name not in binary]
    if unknown:
        allowed = ", ".join(binary) or "none"
        message = f"windows.tasks names {unknown[0]!r}; the binary tasks are: {allowed}"
        raise GenrankError(f"{card.name}: {message}")
    return spec.model_copy(update={"tasks": spec.tasks or binary})


def _with_windows(manifest: Manifest, folder: Path, report: Report) -> Manifest:
    """``manifest`` with the columns of the window statistics, which are written here."""
    if manifest.windows is None:
        return manifest
    from genrank_cli.data.windows import write_windows

    written = write_windows(Store(folder, manifest), manifest.windows, folder, report)
    return manifest.model_copy(update={"files": manifest.files | written})


def _manifest(
    name: str,
    card: Card,
    staged: Stage,
    events: EventSummary,
    users: SideSummary,
    items: SideSummary,
) -> Manifest:
    """The manifest, but for raw files, quirks, later files and the content hash."""
    buckets = card.numbers.get("event", {})
    return Manifest(
        name=name,
        dataset_version=card.version,
        build_version=BUILD_VERSION,
        card_hash=card.hash,
        content_hash="",
        counts=_counts(staged, events, users, items),
        actions=staged.actions,
        tasks=list(card.tasks),
        context={name: vocabulary.size for name, vocabulary in staged.contexts.items()},
        user_fields=users.fields,
        item_fields=items.fields,
        event_numbers=choose_buckets(staged.numbers, buckets, "event"),
        user_numbers=users.numbers,
        item_numbers=items.numbers,
        content_width=items.content_width,
        windows=resolved_windows(card),
        apart=staged.apart,
        truth=bool(staged.truths),
        request_rule=str(card.requests),
        split=card.split,
        time=events.time,
        quirks={},
        sources={},
        options=card.options,
        files=events.files,
    )


def _counts(staged: Stage, events: EventSummary, users: SideSummary, items: SideSummary) -> Counts:
    return Counts(
        events=events.events,
        users=len(staged.users),
        items=len(staged.items),
        requests=events.requests,
        dropped_duplicates=events.duplicates,
        dropped_users=users.dropped,
        dropped_items=items.dropped,
        unlisted_users=users.unlisted,
        unlisted_items=items.unlisted,
    )


def _with_side_files(manifest: Manifest, folder: Path) -> Manifest:
    """``manifest`` with the files of the side tables and the content hash filled in."""
    files = dict(manifest.files)
    for file in ("users.arrow", "items.arrow"):
        size = (folder / file).stat().st_size
        files[file] = FileRecord(bytes=size, sha256=side_hash(folder, file, manifest))
    if manifest.content_width:
        files[CONTENT] = content_record(folder)
    complete = manifest.model_copy(update={"files": files})
    return complete.model_copy(update={"content_hash": complete.hash_content()})
