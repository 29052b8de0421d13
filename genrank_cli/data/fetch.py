"""One file over HTTP: resumed where it stopped, verified, whole or absent.

While a file is incomplete it lies beside its target as ``<name>.part``, with ``<name>.part.json``,
which says what the server called that version of the file. Only the rest of the very same version
is appended to it; of a file that changed on the server, all is received again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import ssl
import time
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, NamedTuple

from genrank_cli.data.card import Download
from genrank_cli.data.progress import Report
from genrank_cli.data.workspace import MORE_SPACE, disk_full, require_space, sync
from genrank_cli.errors import GenrankError, data_error
from genrank_cli.files import write_json

log = logging.getLogger(__name__)

CHUNK = 1 << 18
TIMEOUT_S = 60
AGENT = "genrank (https://pypi.org/project/genrank)"
ATTEMPTS = 4  # in a row that bring less than WORTHWHILE bytes each
WORTHWHILE = 1 << 20
PAUSE_S = 1.0  # before the second attempt; doubled before each further one
_PASSING = {408, 425, 429, 500, 502, 503, 504}
_NETWORK = (OSError, HTTPException)


class Version(NamedTuple):
    """What a server says of the file it offers; ``tag`` is an ETag or a date, "" without either."""

    url: str
    tag: str
    total: int | None

    def agrees(self, other: Version) -> bool:
        """Whether both may be the same version: nothing that is known of both differs."""
        known = ((self.tag, other.tag), (self.total, other.total))
        return all(mine == its for mine, its in known if mine and its)


def fetch(source: Download, target: Path, verify: bool, report: Report) -> None:
    """Make ``target`` the file at ``source.url``, continuing an earlier attempt.

    Raises `GenrankError` (5): unreachable, refused, cut off (what was received is kept), of the
    wrong size or checksum (nothing is kept), no space.
    """
    part = target.with_name(f"{target.name}.part")
    continued = part.exists()
    _receive(source, part, verify, report)
    report(f"verifying {target.name}", 0, 0)
    problem = mismatch(part, source)
    if problem and verify and continued:
        log.info("%s: %s; receiving all of it again", target.name, problem)
        discard(part)
        _receive(source, part, verify, report)
        problem = mismatch(part, source)
    if problem and verify:
        discard(part)
        raise data_error(f"{source.url} is not the file on the card: {problem}", by_hand(source))
    if problem:
        log.warning("%s: %s; accepted by --no-verify", target.name, problem)
    if not (source.md5 or source.sha256):
        found = _digest(part, "sha256")
        message = "%s: the card has no checksum to verify it by; its SHA-256 is %s"
        log.warning(message, target.name, found)
    sync(part)
    part.replace(target)
    discard(part)


def mismatch(file: Path, source: Download) -> str:
    """What is wrong with ``file`` according to the card; empty where nothing is."""
    for kind, expected in (("md5", source.md5), ("sha256", source.sha256)):
        if expected and (found := _digest(file, kind)) != expected:
            return f"its {kind.upper()} is {found} instead of {expected}"
    size = file.stat().st_size
    if source.bytes not in (None, size):
        return f"it has {size:,} bytes instead of {source.bytes:,}"
    return ""


def discard(part: Path) -> None:
    """Remove an incomplete file and what is known of it."""
    part.unlink(missing_ok=True)
    _note(part).unlink(missing_ok=True)


def by_hand(source: Download) -> str:
    """What to do where a download cannot help."""
    return f"try again later; or get it by hand from {source.url} and use --raw-dir"


def _digest(file: Path, kind: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, kind).hexdigest()


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _receive(source: Download, part: Path, verify: bool, report: Report) -> None:
    """Complete ``part``; passing failures are tried again a few times."""
    failures = 0
    while True:
        before = _size(part)
        try:
            return _continue(source, part, verify, report)
        except _NETWORK as error:
            failures = 1 if _size(part) - before >= WORTHWHILE else failures + 1
            if failures >= ATTEMPTS or not _is_passing(error):
                raise _failure(source, part, error) from error
            pause = PAUSE_S * 2 ** (failures - 1)
            log.info("%s: %s; trying again in %g s", source.filename, _reason(error), pause)
            time.sleep(pause)


def _is_passing(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in _PASSING
    reason = getattr(error, "reason", error)
    return not isinstance(reason, ssl.SSLCertVerificationError)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(error.reason)
    return str(error) or type(error).__name__


def _failure(source: Download, part: Path, error: Exception) -> GenrankError:
    hint = by_hand(source)
    if _size(part) and _is_passing(error):
        hint = f"run the same command again to continue; {hint.partition('; ')[2]}"
    return data_error(f"{source.url}: download failed: {_reason(error)}", hint)


def _continue(source: Download, part: Path, verify: bool, report: Report) -> None:
    """Append what is missing to ``part``, from one response of the server."""
    known = _known(part, source)
    have = _size(part) if known else 0
    if known and known.total is not None and have >= known.total:
        if have == known.total:
            return None
        have = 0
    try:
        response = _ask(source.url, have, known)
    except urllib.error.HTTPError as error:
        if not have or error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        discard(part)  # it is another, shorter file now
        return _continue(source, part, verify, report)
    with response:
        begin, version = _offered(response, source.url)
        if begin and not (begin == have and known and known.agrees(version)):
            discard(part)
            raise ConnectionError("the server continued another file than it had begun")
        if begin and known and version.total is None:
            version = known
        _check_size(source, version.total, verify)
        total = version.total or source.bytes
        require_space(part.parent, (total or begin) - begin, f"downloading {source.filename}")
        if not begin:
            _write_note(part, version)
        have = _append(response, part, begin, total, report)
    if version.total is not None and have < version.total:
        raise ConnectionError(f"{have:,} of {version.total:,} bytes received")
    return None


def _ask(url: str, have: int, known: Version | None) -> HTTPResponse:
    headers = {"User-Agent": AGENT, "Accept-Encoding": "identity"}
    if have and known:
        headers["Range"] = f"bytes={have}-"
        if known.tag:  # "the rest if it is still that version, else all of it"
            headers["If-Range"] = known.tag
    request = urllib.request.Request(url, headers=headers)
    response: HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)
    return response


def _offered(response: HTTPResponse, url: str) -> tuple[int, Version]:
    """Where the bytes of this response begin in the file, and which version they are of."""
    headers = response.headers
    tag = headers.get("ETag", "")
    if not tag.startswith('"'):  # a weak tag (W/"…") does not promise the same bytes
        tag = headers.get("Last-Modified", "")
    if response.status == HTTPStatus.PARTIAL_CONTENT:
        given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        if given is None:
            raise ConnectionError("the server sent a part of the file without saying which")
        return int(given[1]), Version(url, tag, None if given[2] == "*" else int(given[2]))
    if response.status != HTTPStatus.OK:
        raise ConnectionError(f"unexpected answer {response.status} {response.reason}")
    length = headers.get("Content-Length", "")
    return 0, Version(url, tag, int(length) if length.isdecimal() else None)


def _check_size(source: Download, offered: int | None, verify: bool) -> None:
    if verify and source.bytes is not None and offered not in (None, source.bytes):
        message = f"{source.url} has {offered:,} bytes; the card says {source.bytes:,}"
        raise data_error(message, f"its publisher may have replaced it; {by_hand(source)}")


def _append(
    response: HTTPResponse, part: Path, begin: int, total: int | None, report: Report
) -> int:
    """Write the response behind the first ``begin`` bytes of ``part``; its size then."""
    have = begin
    with _opened(part, "ab" if begin else "wb") as stream:
        # What has arrived, without waiting for more of it: a timeout loses nothing.
        while chunk := response.read1(CHUNK):
            _write(stream, chunk, part)
            have += len(chunk)
            report(f"downloading {part.stem}", have, total or 0)
    return have


def _opened(part: Path, mode: str) -> IO[bytes]:
    try:
        # Unbuffered, so that a full disk is met by `_write` and not while closing.
        stream: IO[bytes] = part.open(mode, buffering=0)
    except OSError as error:
        raise _unwritable(part, error) from error
    return stream


def _write(stream: IO[bytes], chunk: bytes, part: Path) -> None:
    try:
        while chunk:
            chunk = chunk[stream.write(chunk) :]
    except OSError as error:
        raise _unwritable(part, error) from error


def _unwritable(part: Path, error: OSError) -> GenrankError:
    hint = MORE_SPACE if disk_full(error) else "check GENRANK_HOME and its permissions"
    return data_error(f"cannot write {part}: {error.strerror}", hint)


def _known(part: Path, source: Download) -> Version | None:
    """The version that ``part`` is the beginning of; None where that is not certain enough.

    Without a tag of the server it is certain only if the card has a checksum to find out.
    """
    try:
        version = Version(**json.loads(_note(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    checkable = version.tag or source.md5 or source.sha256
    return version if version.url == source.url and checkable else None


def _write_note(part: Path, version: Version) -> None:
    try:
        discard(part)
        write_json(_note(part), version._asdict())
    except OSError as error:
        raise _unwritable(part, error) from error
