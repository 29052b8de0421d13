"""Taking a card's files, and nothing else, out of an archive."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Literal, NamedTuple

from genrank_cli.data.progress import Report
from genrank_cli.data.workspace import MORE_SPACE, disk_full, require_space
from genrank_cli.errors import data_error

CHUNK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression that Python cannot undo
    RuntimeError,  # a password
)


class Member(NamedTuple):
    """One entry of an archive; ``open`` works until the next entry is asked for."""

    name: str
    size: int
    kind: Literal["file", "folder", "other"]
    open: Callable[[], IO[bytes]]


def unpack(archive: Path, paths: Sequence[str], folder: Path, report: Report) -> list[str]:
    """Extract the files at ``paths`` into ``folder``, all of them or none; the absent paths.

    A path (or pattern) is looked for in every folder of the archive and keeps its own folders:
    ``data/log.csv`` is found as ``Set-1/data/log.csv``. Raises `GenrankError` (5): no archive or a
    damaged one (it is removed), an entry that is a link or lies outside, two entries for one
    path, no space.
    """
    waiting = folder / f".{archive.name}.unpacked"
    shutil.rmtree(waiting, ignore_errors=True)
    try:
        entries = _extract(archive, paths, waiting, report)
        for tail in entries:
            (folder / tail).parent.mkdir(parents=True, exist_ok=True)
            (waiting / tail).replace(folder / tail)
    except _DAMAGED as error:
        archive.unlink()
        kind = "zip" if archive.suffix.lower() == ".zip" else "tar.gz"
        message = f"{archive} is not a {kind} archive, or a damaged one: {error}"
        raise data_error(message, "build again to download it again") from error
    except OSError as error:
        hint = MORE_SPACE if disk_full(error) else "check GENRANK_HOME and its permissions"
        raise data_error(f"cannot unpack {archive}: {error}", hint) from error
    finally:
        shutil.rmtree(waiting, ignore_errors=True)
    return [path for path in paths if not any(_tail(tail, path) for tail in entries)]


def _extract(
    archive: Path, paths: Sequence[str], folder: Path, report: Report
) -> dict[PurePosixPath, str]:
    """Write the entries that match into ``folder``; where they went → their name."""
    entries: dict[PurePosixPath, str] = {}
    written = 0
    with contextlib.closing(_members(archive)) as members:
        for member in members:
            tail = next(filter(None, (_tail(member.name, path) for path in paths)), None)
            if tail is None or member.kind == "folder":
                continue
            if member.kind == "other" or ".." in PurePosixPath(member.name).parts:
                message = f"{archive}: {member.name} is a link or lies outside the archive's folder"
                raise data_error(message, "this is not the official archive; do not use it")
            if entries.get(tail, member.name) != member.name:
                message = f"{archive} holds {tail} twice: {entries[tail]} and {member.name}"
                raise data_error(message, "name the folder of the right one in the card's path")
            entries[tail] = member.name
            require_space(folder, member.size, f"unpacking {member.name}")
            (folder / tail).parent.mkdir(parents=True, exist_ok=True)
            with member.open() as stream, (folder / tail).open("wb") as out:
                while chunk := stream.read(CHUNK):
                    out.write(chunk)
                    written += len(chunk)
                    report(f"unpacking {archive.name}", written, 0)
    return entries


def _tail(name: str | PurePosixPath, path: str) -> PurePosixPath | None:
    """The last parts of ``name`` if they match ``path``, which may be a pattern."""
    wanted = PurePosixPath(path).parts
    found = PurePosixPath(name).parts[-len(wanted) :]
    same = len(found) == len(wanted) and all(map(fnmatchcase, found, wanted))
    return PurePosixPath(*found) if same or found == wanted else None


def _members(archive: Path) -> Generator[Member, None, None]:
    """The entries in their order; a tar is read once from its beginning to its end."""
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                mode = stat.S_IFMT(info.external_attr >> 16)  # 0 where made without Unix modes
                plain: Literal["file", "other"] = "file" if mode in (0, stat.S_IFREG) else "other"
                kind = "folder" if info.is_dir() else plain
                yield Member(info.filename, info.file_size, kind, partial(opened.open, info))
        return
    # tarfile's own way to read gzip never looks at the checksum, which stands at the very end.
    with gzip.open(archive) as unzipped, tarfile.open(fileobj=unzipped, mode="r|") as stream:
        for entry in stream:
            kind = "file" if entry.isreg() else "folder" if entry.isdir() else "other"
            yield Member(entry.name, entry.size, kind, partial(_content, stream, entry))
        while unzipped.read(CHUNK):
            pass


def _content(stream: tarfile.TarFile, entry: tarfile.TarInfo) -> IO[bytes]:
    content = stream.extractfile(entry)
    if content is None:
        raise tarfile.ExtractError(f"{entry.name} has no content")
    return content
