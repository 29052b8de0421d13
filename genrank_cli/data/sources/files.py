"""Raw files: where they are, and whether they are the right ones."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from genrank_cli.data.card import Card, FileSpec
from genrank_cli.errors import data_error

log = logging.getLogger(__name__)

HASHERS = 4  # files hashed at a time

PATTERN = frozenset("*?[")


def find(card: Card, raw_dir: Path) -> dict[str, Path]:
    """Key on the card → file, in ``raw_dir`` itself or in a folder there named like the dataset.

    Optional files may be absent; of a key with several files it is the first. Raises
    `GenrankError` (5) naming the first missing one.
    """
    return {key: files[0] for key, files in find_all(card, raw_dir).items()}


def find_all(card: Card, raw_dir: Path) -> dict[str, list[Path]]:
    """Like `find`, with all files of a key: those listed, or those that match a pattern."""
    found = {}
    for key, spec in card.files.items():
        files = [file for path in spec.all_paths for file in _matches(card, raw_dir, path, spec)]
        if files:
            found[key] = files
    return found


def _matches(card: Card, raw_dir: Path, path: str, spec: FileSpec) -> list[Path]:
    places = [raw_dir, raw_dir / card.name]
    for place in places:
        if _is_file(place / path):
            return [place / path]
        if PATTERN & set(path) and (files := _glob(place, path)):
            return files
    if spec.optional:
        return []
    what = f"no file that matches {path!r}" if PATTERN & set(path) else f"no file {path}"
    message = f"{card.name}: {what} in {raw_dir} or {raw_dir / card.name}"
    raise data_error(message, _where_to_get(card))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


def _glob(place: Path, pattern: str) -> list[Path]:
    """Files that match, by name; an absolute pattern starts at its own root."""
    root = Path(pattern).anchor
    folder = Path(root) if root else place
    try:
        return sorted(file for file in folder.glob(pattern[len(root) :]) if file.is_file())
    except (ValueError, OSError):  # such as `**` inside a name
        return []


def checksums(card: Card, raw_dir: Path, verify: bool = True) -> dict[str, str]:
    """Path on the card (of several files: their key and path in ``raw_dir``) → SHA-256 found.

    Raises `GenrankError` (5) where the card knows another one, unless ``verify`` is off: then it
    is a warning.
    """
    sums = {}
    all_files = find_all(card, raw_dir)
    flat = [file for files in all_files.values() for file in files]
    with ThreadPoolExecutor(HASHERS, "genrank-hash") as pool:
        hashes = dict(zip(flat, pool.map(_sha256, flat), strict=True))
    for key, files in all_files.items():
        spec = card.files[key]
        for file in files:
            found = hashes[file]
            # Not the name alone: day-1/part-0.csv and day-2/part-0.csv are two files.
            several = f"{key}: {_relative(file, raw_dir)}"
            sums[spec.path if len(files) == 1 and spec.path else several] = found
            if spec.sha256 in (None, found):
                continue
            message = (
                f"{file} is not the official file: expected SHA-256 {spec.sha256}, found {found}"
            )
            if verify:
                hint = f"{_where_to_get(card)}; or accept this file with --no-verify"
                raise data_error(message, hint)
            log.warning("%s; accepted by --no-verify", message)
    return sums


def _relative(file: Path, folder: Path) -> str:
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def _sha256(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise data_error(f"{file} cannot be read: {error.strerror}") from error


def _where_to_get(card: Card) -> str:
    if not card.downloads:
        return "correct the path on the card, or give the folder of the files with --raw-dir"
    return (
        "build without --raw-dir to download it, or get it from "
        f"{card.homepage or card.downloads[0].url} and name its folder with --raw-dir"
    )
