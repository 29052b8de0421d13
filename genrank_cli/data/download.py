"""The raw files of a card: downloaded once, verified, unpacked; optional ones as far as they go."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genrank_cli.data.archive import unpack
from genrank_cli.data.card import Card, Download
from genrank_cli.data.fetch import fetch, mismatch
from genrank_cli.data.progress import Report
from genrank_cli.data.sources.files import find
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.files import write_json
from genrank_cli.paths import download_dir

log = logging.getLogger(__name__)


def download(card: Card, verify: bool, report: Report) -> Path:
    """The folder with the raw files of ``card``; what is absent is downloaded and unpacked.

    Raises `GenrankError` (5): no download on the card, network failure, wrong checksum, a
    required file that no download holds. An optional download that fails is a warning. What was
    received is kept and continued next time; an archive is removed once its files are there.
    """
    folder = download_dir(card.name)
    if not card.downloads:
        _check_by_hand(card, folder)
    elif any(_is_pending(source, card, folder) for source in card.downloads):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _alone(folder):
                for source in card.downloads:
                    _provide(source, card, folder, verify, report)
        except OSError as error:
            hint = "check GENRANK_HOME, its permissions and its free space"
            raise data_error(f"cannot write in {folder}: {error}", hint) from error
    _check_complete(card, folder)
    return folder


def _check_by_hand(card: Card, folder: Path) -> None:
    """Files that the user has put there, or that the card names by absolute paths."""
    try:
        find(card, folder)
    except GenrankError as error:
        raise data_error(f"{card.name} has no download; {error.message}", error.hint) from error


def _provide(source: Download, card: Card, folder: Path, verify: bool, report: Report) -> None:
    """Get ``source`` if one of its files is absent."""
    if not _is_needed(source, card, folder):
        if source.file is None:  # left by a process that was stopped before it could tidy up
            (folder / source.filename).unlink(missing_ok=True)
        return
    try:
        if source.file is not None:
            target = folder / card.files[source.file].path
            target.parent.mkdir(parents=True, exist_ok=True)
            fetch(source, target, verify, report)
        else:
            _fetch_archive(source, card, folder, verify, report)
    except GenrankError as error:
        if not source.optional:
            raise
        log.warning("%s; going on without it, as it is optional", error.message)


def _fetch_archive(
    source: Download, card: Card, folder: Path, verify: bool, report: Report
) -> None:
    archive = folder / source.filename
    # It is there already if the last attempt was stopped while it unpacked.
    if not archive.exists() or (verify and mismatch(archive, source)):
        fetch(source, archive, verify, report)
    absent = unpack(archive, _archived(card), folder, report)
    write_json(_receipt(source, folder), _origin(source) | {"absent": absent})
    archive.unlink()


def _is_pending(source: Download, card: Card, folder: Path) -> bool:
    left = source.file is None and (folder / source.filename).exists()
    return left or _is_needed(source, card, folder)


def _is_needed(source: Download, card: Card, folder: Path) -> bool:
    """Whether a file is missing that ``source`` may hold."""
    if source.file is not None:
        return not (folder / card.files[source.file].path).is_file()
    missing = {path for path in _archived(card) if not _is_there(folder, path)}
    return bool(missing - _known_absent(source, folder))


def _known_absent(source: Download, folder: Path) -> set[str]:
    """The paths that this archive was found not to hold."""
    try:
        receipt = json.loads(_receipt(source, folder).read_text(encoding="utf-8"))
        absent = {str(path) for path in receipt.pop("absent")}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return set()
    return absent if receipt == _origin(source) else set()


def _receipt(source: Download, folder: Path) -> Path:
    """What is left of an archive after unpacking: a note of what it did not hold."""
    return folder / f".{source.filename}.json"


def _origin(source: Download) -> dict[str, Any]:
    return source.model_dump(mode="json", include={"url", "md5", "sha256"})


def _archived(card: Card) -> list[str]:
    """The paths of all files that are not downloads of their own."""
    alone = {source.file for source in card.downloads}
    return [path for key, spec in card.files.items() if key not in alone for path in spec.all_paths]


def _is_there(folder: Path, path: str) -> bool:
    """Whether there is a file at ``path``, which may be a pattern."""
    return (folder / path).is_file() or any(file.is_file() for file in folder.glob(path))


def _check_complete(card: Card, folder: Path) -> None:
    required = (spec for spec in card.files.values() if not spec.optional)
    paths = (path for spec in required for path in spec.all_paths)
    missing = [path for path in paths if card.downloads and not _is_there(folder, path)]
    if missing:
        names = ", ".join(source.filename for source in card.downloads)
        hint = "correct the paths on the card, or give the files with --raw-dir"
        raise data_error(f"{card.name}: {names} holds no {', '.join(missing)}", hint)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process downloads into ``folder``; a killed one counts no more."""
    import fcntl  # not on Windows, where only this fails

    with (folder / ".lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("waiting for another download into %s", folder)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
