"""Archives: only the card's files come out, whole, and nothing hostile does."""

from __future__ import annotations

import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from genrank_cli.data.archive import unpack
from genrank_cli.data.progress import quiet
from genrank_cli.errors import ExitCode, GenrankError

FILES = {
    "Set/data/a.csv": b"a" * 5000,
    "Set/b.csv": b"",
    "Set/other.csv": b"no",
    "Set/data/c": b"c",
}
KINDS = ["set.zip", "set.tar.gz", "set.tgz"]


def pack(path: Path, files: Mapping[str, bytes]) -> Path:
    """The archive with folders before their files, as the usual tools make it."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("Set/", b"")
            for name, content in files.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz") as tar:
        folder = tarfile.TarInfo("Set")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def everything(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return pack(tmp_path / request.param, FILES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def test_only_the_named_files_come_out(archive: Path, folder: Path) -> None:
    steps: list[float] = []
    paths = ["data/a.csv", "b.csv", "none.csv", "ther.csv", "a/b.csv"]
    absent = unpack(archive, paths, folder, lambda _, done, __: steps.append(done))
    assert absent == ["none.csv", "ther.csv", "a/b.csv"]
    assert everything(folder) == {"data/a.csv", "b.csv"}
    assert (folder / "data" / "a.csv").read_bytes() == FILES["Set/data/a.csv"]
    assert steps[-1] == 5000
    assert archive.exists()


def test_patterns(archive: Path, folder: Path) -> None:
    assert unpack(archive, ["[b-z]*.csv", "data/[a-b].*", "data/x*"], folder, quiet) == ["data/x*"]
    assert everything(folder) == {"data/a.csv", "b.csv", "other.csv"}


def test_earlier_files_are_replaced(archive: Path, folder: Path) -> None:
    (folder / "b.csv").write_text("old")
    unpack(archive, ["b.csv"], folder, quiet)
    assert (folder / "b.csv").read_bytes() == b""


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["../b.csv", "Set/../../b.csv", "/../b.csv"])
def test_entries_outside_are_refused(kind: str, name: str, tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / kind, {"Set/a.csv": b"a", name: b"evil"})
    with pytest.raises(GenrankError, match="is a link or lies outside") as caught:
        unpack(archive, ["a.csv", "*.csv"], folder, quiet)
    assert caught.value.exit_code == ExitCode.DATA
    assert everything(tmp_path) == {kind}


@pytest.mark.parametrize("kind", KINDS)
def test_absolute_entries_stay_inside(kind: str, tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / kind, {f"{tmp_path}/b.csv": b"b"})
    unpack(archive, ["b.csv"], folder, quiet)
    assert everything(tmp_path) == {kind, "out/b.csv"}


@pytest.mark.parametrize("type_", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_in_a_tar_are_refused(type_: bytes, tmp_path: Path, folder: Path) -> None:
    with tarfile.open(tmp_path / "set.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("Set/b.csv")
        info.type, info.linkname = type_, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(GenrankError, match=r"Set/b\.csv is a link"):
        unpack(tmp_path / "set.tar.gz", ["b.csv"], folder, quiet)
    assert everything(folder) == set()


def test_links_in_a_zip_are_refused(tmp_path: Path, folder: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        info = zipfile.ZipInfo("Set/b.csv")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(GenrankError, match=r"Set/b\.csv is a link"):
        unpack(tmp_path / "set.zip", ["b.csv"], folder, quiet)
    assert everything(folder) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_two_entries_for_one_path_are_refused(kind: str, tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / kind, {"new/b.csv": b"1", "old/b.csv": b"2"})
    with pytest.raises(GenrankError, match=r"b\.csv twice: new/b\.csv and old/b\.csv"):
        unpack(archive, ["b.csv"], folder, quiet)
    assert everything(folder) == set()
    assert unpack(archive, ["new/b.csv"], folder, quiet) == []
    assert (folder / "new" / "b.csv").read_bytes() == b"1"


def damaged(archive: Path) -> list[bytes]:
    """Cut at many places, a byte changed at many places, and no archive at all."""
    body = archive.read_bytes()
    places = range(0, len(body), max(1, len(body) // 40))
    cut = [body[:place] for place in places]
    changed = [body[:p] + bytes([body[p] ^ 0xFF]) + body[p + 1 :] for p in places]
    return [b"", b"<html>please log in</html>", gzip.compress(b"no tar"), *cut, *changed]


def test_damaged_archives_leave_nothing_wrong(archive: Path, folder: Path) -> None:
    refused = 0
    for body in damaged(archive):
        archive.write_bytes(body)
        try:
            unpack(archive, ["data/a.csv", "data/c"], folder, quiet)
        except GenrankError as error:
            refused += 1
            if "a damaged one" in error.message:  # else it is of another kind, and it is kept
                assert not archive.exists()
            found = everything(folder)
            assert found == set(), found
        for name in everything(folder):
            assert (folder / name).read_bytes() == FILES[f"Set/{name}"]
        shutil.rmtree(folder)
        folder.mkdir()
    assert refused > 40


def test_password(tmp_path: Path, folder: Path) -> None:
    archive = pack(tmp_path / "set.zip", FILES)
    body = bytearray(archive.read_bytes())
    for signature, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := body.find(signature, at + 1)) >= 0:
            body[at + place] |= 1
    archive.write_bytes(body)
    with pytest.raises(GenrankError, match="encrypted"):
        unpack(archive, ["b.csv"], folder, quiet)


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_space_is_checked_before_writing(
    archive: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 4999))
    with pytest.raises(GenrankError, match=r"unpacking Set/data/a\.csv needs about 5 kB"):
        unpack(archive, ["data/a.csv", "b.csv"], folder, quiet)
    assert everything(folder) == set()
    assert archive.exists()


def test_interrupted_unpacking_leaves_nothing(archive: Path, folder: Path) -> None:
    def interrupt(_what: str, _done: float, _total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        unpack(archive, ["data/a.csv"], folder, interrupt)
    assert list(folder.iterdir()) == []
    assert archive.exists()
