"""The files of a card: several downloads, optional ones, and what a second build does again."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card
from genrank_cli.data.download import download
from genrank_cli.data.progress import quiet
from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.paths import download_dir
from tests.data.raw import movielens_card, write_100k
from tests.data.site import Site, md5


@pytest.fixture(autouse=True)
def _archive(site: Site, tmp_path: Path) -> None:
    """A zip archive of the 100k layout, in a folder as GroupLens has it."""
    raw = write_100k(tmp_path / "ml-tiny")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in (*sorted(raw.iterdir()), raw):
            archive.write(file, file.relative_to(tmp_path))
    site.files["tiny.zip"] = packed.getvalue()
    for file in raw.iterdir():
        site.files[file.name] = file.read_bytes()


def card_of(site: Site, *downloads: dict[str, Any], **fields: Any) -> Card:
    given = [d | {"url": site.url(d["url"])} for d in downloads or ({"url": "tiny.zip"},)]
    return movielens_card("100k", downloads=given, **fields)


def names(card: Card) -> list[str]:
    """What a user sees in the folder."""
    found = download_dir(card.name).iterdir()
    return sorted(path.name for path in found if not path.name.startswith("."))


def test_download_build_and_no_second_download(home: Path, site: Site) -> None:
    card = card_of(site, {"url": "tiny.zip", "md5": md5(site.files["tiny.zip"])})
    assert build_store(card).store.manifest.counts.events == 8
    assert names(card) == ["u.data", "u.item", "u.user"]
    build_store(card, force=True)
    assert len(site.asked) == 1


def test_url_with_a_query(home: Path, site: Site) -> None:
    card = card_of(site, {"url": "tiny.zip?download=1"})
    assert (download(card, True, quiet) / "u.data").is_file()


def test_tar_gz(home: Path, site: Site, tmp_path: Path) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tmp_path / "ml-tiny", "ml-tiny")
    site.files["tiny.tar.gz"] = packed.getvalue()
    assert build_store(card_of(site, {"url": "tiny.tar.gz"})).fresh


def test_plain_files_beside_an_archive(home: Path, site: Site) -> None:
    files = {
        "ratings": {"path": "u.data"},
        "items": {"path": "u.item"},
        "users": {"path": "extra/people.csv"},
    }
    site.files["people"] = site.files["u.user"]
    plain = {"url": "people", "file": "users", "md5": md5(site.files["people"])}
    card = card_of(site, {"url": "tiny.zip"}, plain, files=files)
    assert build_store(card).store.manifest.counts.users == 3
    assert names(card) == ["extra", "u.data", "u.item"]
    # Only what is missing is downloaded again.
    site.asked.clear()
    (download_dir(card.name) / "extra" / "people.csv").unlink()
    download(card, True, quiet)
    assert [name for name, _, _ in site.asked] == ["people"]
    site.asked.clear()
    (download_dir(card.name) / "u.item").unlink()
    download(card, True, quiet)
    assert [name for name, _, _ in site.asked] == ["tiny.zip"]


def test_a_plain_file_is_not_taken_from_an_archive(home: Path, site: Site) -> None:
    """The archive holds an old edition of it, too."""
    site.files["u.user"] += b"1000|20|M|other|00000\n"
    card = card_of(site, {"url": "tiny.zip"}, {"url": "u.user", "file": "users"})
    assert (download(card, True, quiet) / "u.user").read_bytes() == site.files["u.user"]


def test_only_plain_files(home: Path, site: Site) -> None:
    given = [
        {"url": "u.data", "file": "ratings"},
        {"url": "u.item", "file": "items"},
        {"url": "u.user", "file": "users"},
    ]
    assert build_store(card_of(site, *given)).fresh


def split_archives(site: Site, tmp_path: Path) -> None:
    for name in ("u.data", "u.item", "u.user"):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.write(tmp_path / "ml-tiny" / name, name)
        site.files[f"{name}.zip"] = packed.getvalue()


def test_several_archives(home: Path, site: Site, tmp_path: Path) -> None:
    split_archives(site, tmp_path)
    given = [{"url": f"{name}.zip"} for name in ("u.data", "u.item", "u.user", "more")]
    site.files["more.zip"] = site.files["tiny.zip"]
    card = card_of(site, *given[:2], {"url": "u.user.zip"}, {"url": "more.zip"})
    assert build_store(card).fresh
    # All was there after the third: the fourth is not needed.
    assert [name for name, _, _ in site.asked] == ["u.data.zip", "u.item.zip", "u.user.zip"]


def test_optional_download_may_fail(
    home: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    files = {
        "ratings": {"path": "u.data"},
        "items": {"path": "u.item"},
        "users": {"path": "u.user", "optional": True},
    }
    given = [{"url": "u.data", "file": "ratings"}, {"url": "u.item", "file": "items"}]
    card = card_of(
        site, *given, {"url": "none.csv", "file": "users", "optional": True}, files=files
    )
    assert list(build_store(card).store.manifest.sources) == ["u.data", "u.item"]
    assert "none.csv: download failed" in caplog.text
    assert "going on without it, as it is optional" in caplog.text
    # It is asked for again, in case it can be had now.
    site.files["none.csv"] = site.files["u.user"]
    assert (download(card, True, quiet) / "u.user").is_file()


def test_optional_download_of_a_required_file(home: Path, site: Site) -> None:
    card = card_of(site, {"url": "none.zip", "optional": True})
    with pytest.raises(GenrankError, match=r"tiny-100k: none\.zip holds no u\.data"):
        download(card, True, quiet)


def test_optional_file_may_be_absent_from_the_archive(home: Path, site: Site) -> None:
    files = {"ratings": {"path": "u.data"}, "users": {"path": "no.user", "optional": True}}
    card = card_of(site, files=files)
    store = build_store(card).store
    assert store.manifest.counts.events == 8
    assert list(store.manifest.sources) == ["u.data"]
    build_store(card, force=True)
    assert len(site.asked) == 1  # the archive is not downloaded again to look once more


def test_a_changed_card_looks_again(home: Path, site: Site) -> None:
    files: dict[str, Any] = {"ratings": {"path": "u.data"}, "more": {"path": "more.csv"}}
    card = card_of(site, files=files)
    with pytest.raises(GenrankError, match=r"tiny\.zip holds no more\.csv"):
        download(card, True, quiet)
    with pytest.raises(GenrankError, match=r"tiny\.zip holds no more\.csv"):
        download(card, True, quiet)
    assert len(site.asked) == 1
    edition = {"url": "tiny.zip", "md5": md5(site.files["tiny.zip"])}
    with pytest.raises(GenrankError, match="holds no"):
        download(card_of(site, edition, files=files), True, quiet)
    assert len(site.asked) == 2
    files["more"] = {"path": "u.user"}
    assert (download(card_of(site, edition, files=files), True, quiet) / "u.user").is_file()
    assert len(site.asked) == 3


def test_failed_download_builds_nothing(home: Path, site: Site) -> None:
    card = card_of(site, {"url": "tiny.zip", "md5": "00" * 16})
    with pytest.raises(GenrankError, match="is not the file on the card"):
        build_store(card)
    assert not (home / card.name).exists()
    assert names(card) == []
    assert (download(card, False, quiet) / "u.data").is_file()


def test_archive_that_is_none(home: Path, site: Site) -> None:
    site.files["tiny.zip"] = b"<html>please log in</html>"
    card = card_of(site)
    with pytest.raises(GenrankError, match="is not a zip archive") as caught:
        download(card, True, quiet)
    assert caught.value.exit_code == ExitCode.DATA
    assert names(card) == []


def test_no_download_on_the_card(home: Path) -> None:
    card = movielens_card("100k")
    with pytest.raises(
        GenrankError, match=r"tiny-100k has no download; .*no file u.data"
    ) as caught:
        build_store(card)
    assert "--raw-dir" in caught.value.hint
    write_100k(download_dir(card.name))
    assert build_store(card).fresh


def test_stopped_while_unpacking(home: Path, site: Site) -> None:
    card = card_of(site, {"url": "tiny.zip", "md5": md5(site.files["tiny.zip"])})

    def stop(what: str, _done: float, _total: float) -> None:
        if what.startswith("unpacking"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(card, True, stop)
    assert names(card) == ["tiny.zip"]
    download(card, True, quiet)
    assert len(site.asked) == 1
    # A damaged one is not unpacked.
    folder = download_dir(card.name)
    (folder / "u.data").unlink()
    (folder / "tiny.zip").write_bytes(b"PK")
    download(card, True, quiet)
    assert len(site.asked) == 2
    # One that was left behind is tidied up.
    (folder / "tiny.zip").write_bytes(b"PK")
    download(card, True, quiet)
    assert names(card) == ["u.data", "u.item", "u.user"]
    assert len(site.asked) == 2


def test_two_builds_at_once_download_once(home: Path, site: Site) -> None:
    site.pause = 0.2
    card = card_of(site, {"url": "tiny.zip", "md5": md5(site.files["tiny.zip"])})
    errors: list[Exception] = []

    def fetch_it() -> None:
        try:
            assert (download(card, True, quiet) / "u.data").is_file()
        except Exception as error:
            errors.append(error)

    threads = [Thread(target=fetch_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(site.asked) == 1


def running_build(card: Card, tmp_path: Path) -> subprocess.Popen[bytes]:
    (tmp_path / "card.json").write_text(card.model_dump_json())
    code = (
        "import sys, pathlib; from genrank_cli.data.card import Card;"
        "from genrank_cli.data.download import download;"
        "from genrank_cli.data.progress import quiet;"
        "card = Card.model_validate_json(pathlib.Path(sys.argv[1]).read_text());"
        "download(card, True, quiet)"
    )
    return subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "card.json")])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_killed_download_blocks_nobody(home: Path, site: Site, tmp_path: Path) -> None:
    site.files["tiny.zip"] += b"\0" * 60_000  # zip files may have a tail
    site.pause = 0.05
    card = card_of(site, {"url": "tiny.zip", "md5": md5(site.files["tiny.zip"])})
    part = download_dir(card.name) / "tiny.zip.part"
    process = running_build(card, tmp_path)
    wait_for(lambda: part.exists() and part.stat().st_size > 0)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    received = part.stat().st_size
    assert 0 < received < len(site.files["tiny.zip"])
    site.asked.clear()
    assert (download(card, True, quiet) / "u.data").is_file()
    assert site.ranges_asked == [f"bytes={received}-"]
