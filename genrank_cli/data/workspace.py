"""Folders that appear whole or not at all, and the disk space they need."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil

from genrank_cli.data.store import MANIFEST
from genrank_cli.errors import GenrankError, data_error

ABANDONED_S = 24 * 3600.0
CLOCK_S = 60.0  # by which the clocks of processes and of files may differ
MORE_SPACE = "free some space, or set GENRANK_HOME to a larger disk"
_FULL = re.compile(r"no space left|quota exceeded", re.IGNORECASE)


@contextlib.contextmanager
def workspace(target: Path, hint: str = MORE_SPACE) -> Iterator[Path]:
    """A temporary folder beside ``target``, removed whatever happens.

    Leftovers of killed builds of the same target are removed first. Raises `GenrankError` (5)
    when the disk is full, with ``hint``, or the folder cannot be written.
    """
    home = target.parent
    try:
        home.mkdir(parents=True, exist_ok=True)
        remove_leftovers(target)
        folder = home / f".{target.name}.{_owner()}.{uuid.uuid4().hex[:8]}"
        folder.mkdir()
    except OSError as error:
        hint = "check GENRANK_HOME, its permissions and its free space"
        raise data_error(f"cannot write in {home}: {error}", hint) from error
    try:
        yield folder
    except Exception as error:
        if not disk_full(error):
            raise
        message = f"no space left in {home} after {_size(_bytes(folder))}"
        raise data_error(message, hint) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, target: Path) -> None:
    """Force ``folder`` to disk and give it its final name, replacing an older store."""
    check_replaceable(target)
    for file in folder.rglob("*"):
        sync(file)
    sync(folder)
    old = folder.with_name(folder.name + ".old")
    while not _renamed(folder, target):  # another build may publish between the two renames
        with contextlib.suppress(FileNotFoundError):
            target.rename(old)
    sync(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def _renamed(folder: Path, target: Path) -> bool:
    try:
        folder.rename(target)
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise
        return False
    return True


def check_replaceable(target: Path) -> None:
    """Refuse to replace a folder that is not a store."""
    if target.exists() and not (target / MANIFEST).is_file():
        message = f"{target} exists and is not a built dataset (no {MANIFEST})"
        raise GenrankError(message, "move it away, or build under another name with --name")


def sync(path: Path) -> None:
    """Force a file or folder to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def disk_full(error: BaseException) -> bool:
    """Whether a write failed for lack of space; polars tells by the message only."""
    return bool(_FULL.search(str(error)))


def require_space(folder: Path, needed: int, what: str, hint: str = MORE_SPACE) -> None:
    """Raise `GenrankError` (5) unless ``needed`` bytes are free where ``folder`` is."""
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        message = f"{what} needs about {_size(needed)} in {folder}; {_size(free)} are free"
        raise data_error(message, hint)


def remove_leftovers(target: Path) -> None:
    """Remove temporary folders of builds of ``target`` that no longer run."""
    for folder in target.parent.glob(f".{target.name}.*"):
        if _abandoned(folder, target.name):
            shutil.rmtree(folder, ignore_errors=True)


def _owner() -> str:
    host = socket.gethostname().replace(".", "-") or "host"
    return f"{host}.{os.getpid()}"


def _abandoned(folder: Path, name: str) -> bool:
    """Whether the process that made ``folder`` has gone; on another machine, judged by age.

    A process of that id may be another one by now, as in containers, where ids are small: then it
    has started after the folder was made.
    """
    parts = folder.name.removeprefix(f".{name}.").removesuffix(".old").split(".")
    if len(parts) != 3 or not parts[1].isdigit():
        return False  # the folder of a dataset whose name starts with ours
    host, pid = parts[0], int(parts[1])
    if host == _owner().split(".")[0]:
        return pid == os.getpid() or not _made_by(pid, folder)
    with contextlib.suppress(FileNotFoundError):
        return time.time() - folder.stat().st_mtime > ABANDONED_S
    return False


def _made_by(pid: int, folder: Path) -> bool:
    """Whether the process ``pid`` runs and is older than ``folder``."""
    try:
        started = psutil.Process(pid).create_time()
        return started <= folder.stat().st_mtime + CLOCK_S
    except psutil.NoSuchProcess:
        return False
    except (psutil.AccessDenied, FileNotFoundError):
        return True


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _size(count: float) -> str:
    """``1234567`` as ``1.2 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
