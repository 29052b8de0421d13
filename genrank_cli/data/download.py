"""Official archives: downloaded once, resumed where they stopped, verified, unpacked."""

from __future__ import annotations

import logging
import shutil
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import IO, Any

from genrank_cli.data.card import Card, Download
from genrank_cli.data.progress import Report
from genrank_cli.data.sources.files import find
from genrank_cli.data.workspace import require_space
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.paths import download_dir

log = logging.getLogger(__name__)

CHUNK = 1 << 18
TIMEOUT_S = 60
AGENT = "genrank (https://pypi.org/project/genrank)"


def download(card: Card, verify: bool, report: Report) -> Path:
    """The folder with the raw files of ``card``, downloaded and unpacked where they are absent.

    Raises `GenrankError` (5): no download on the card, network failure, wrong checksum, an
    archive without one of the files. What was received is kept and continued next time.
    """
    folder = download_dir(card.name)
    with suppress(GenrankError):
        find(card, folder)
        return folder
    if not card.downloads:
        raise data_error(f"{card.name} has no download", "give its files with --raw-dir")
    folder.mkdir(parents=True, exist_ok=True)
    archive = _retrieve(card.downloads[0], folder, verify, report)
    _unpack(archive, card, folder)
    archive.unlink()
    return folder


def _retrieve(source: Download, folder: Path, verify: bool, report: Report) -> Path:
    """The verified archive in ``folder``; pooch moves it there only when its hash is right."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)
    name = source.url.rpartition("/")[2]
    known = _known_hash(source)
    try:
        path = pooch.retrieve(
            source.url,
            known_hash=known if verify else None,
            fname=name,
            path=folder,
            downloader=_resuming(folder / f"{name}.part", source, report),
        )
    except ValueError as error:
        hint = f"try again later; or get the archive by hand from {source.url} and use --raw-dir"
        raise data_error(f"{source.url}: {error}", hint) from error
    if known is None:
        found = pooch.file_hash(path, alg="sha256")
        log.warning("%s: the card has no checksum to verify it by; its SHA-256 is %s", name, found)
    return Path(path)


def _known_hash(source: Download) -> str | None:
    if source.sha256:
        return f"sha256:{source.sha256}"
    return f"md5:{source.md5}" if source.md5 else None


def _resuming(
    part: Path, source: Download, report: Report
) -> Callable[[str, str | IO[bytes], Any], None]:
    """A downloader for pooch that collects the bytes in ``part`` and continues what is there."""

    def fetch(url: str, output: str | IO[bytes], _pooch: Any) -> None:
        try:
            _receive(url, part, source.bytes, report)
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            hint = (
                "run the same command again to continue; "
                "or get the archive by hand, unpack it and use --raw-dir"
            )
            raise data_error(f"{url}: download failed: {error}", hint) from error
        part.replace(str(output))

    return fetch


def _receive(url: str, part: Path, expected: int | None, report: Report) -> None:
    """Append what is missing of ``url`` to ``part``."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"User-Agent": AGENT} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S
        )
    except urllib.error.HTTPError as error:
        if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        part.unlink()  # nothing is missing, or too much is there: start again
        return _receive(url, part, expected, report)
    with response:
        continues = response.status == HTTPStatus.PARTIAL_CONTENT
        have = have if continues else 0
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else expected or 0
        require_space(part.parent, total - have, f"downloading {url}")
        with part.open("ab" if continues else "wb") as stream:
            while chunk := response.read(CHUNK):
                stream.write(chunk)
                have += len(chunk)
                report(f"downloading {part.stem}", have, total)
    if total and have < total:
        raise ConnectionError(f"{have:,} of {total:,} bytes received")
    return None


def _unpack(archive: Path, card: Card, folder: Path) -> None:
    """Extract the files of the card, each whole or not at all."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for spec in card.files.values():
                member = _member(opened.namelist(), spec.path)
                if member is not None:
                    target = folder / spec.path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    part = target.with_name(f"{target.name}.part")
                    with opened.open(member) as stream, part.open("wb") as out:
                        shutil.copyfileobj(stream, out)
                    part.replace(target)
                elif not spec.optional:
                    raise data_error(f"{archive} holds no {spec.path}")
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise data_error(f"{archive} is not a zip archive: {error}", "build again") from error


def _member(names: list[str], path: str) -> str | None:
    """The archive's name of the file ``path``, which may lie in a folder of the archive."""
    return next((name for name in names if f"/{name}".endswith(f"/{path}")), None)
