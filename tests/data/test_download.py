"""Downloads from a server in this process: verified, resumed, never half-written."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
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


@dataclass
class Site:
    """One file on a server that can be told to misbehave."""

    address: str = ""
    body: bytes = b""
    status: int = 200
    ranges: bool = True
    cut_at: int | None = None  # close the connection after that many bytes of the file
    requests: list[str | None] = field(default_factory=list)  # the Range header of each request

    @property
    def url(self) -> str:
        return f"{self.address}/tiny.zip"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A server of a zip archive of the 100k layout, in a folder as GroupLens has it."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            site.requests.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and site.ranges else 0
            if site.status != 200 or start >= len(site.body):
                self.send_error(416 if start else site.status)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(site.body) - start))
            self.end_headers()
            self.wfile.write(site.body[start : site.cut_at])

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    raw = write_100k(tmp_path / "ml-tiny")
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for file in (*sorted(raw.iterdir()), tmp_path / "ml-tiny"):
            archive.write(file, file.relative_to(tmp_path))
    site.body = (tmp_path / "tiny.zip").read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


def card_of(site: Site, **checksum: str) -> Card:
    return movielens_card("100k", downloads=[{"url": site.url, **checksum}])


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def test_download_build_and_no_second_download(home: Path, site: Site) -> None:
    card = card_of(site, md5=md5(site.body))
    assert build_store(card).store.manifest.counts.events == 8
    assert sorted(path.name for path in download_dir(card.name).iterdir()) == [
        "u.data",
        "u.item",
        "u.user",
    ]
    build_store(card, force=True)
    assert site.requests == [None]


def test_progress_reaches_the_total(home: Path, site: Site) -> None:
    seen: list[tuple[str, float, float]] = []
    download(card_of(site, md5=md5(site.body)), True, lambda *step: seen.append(step))
    assert seen[-1] == ("downloading tiny.zip", len(site.body), len(site.body))


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_wrong_checksum(kind: str, home: Path, site: Site) -> None:
    card = card_of(site, **{kind: "00" * (16 if kind == "md5" else 32)})
    with pytest.raises(GenrankError) as caught:
        download(card, True, quiet)
    found = hashlib.new(kind, site.body).hexdigest()
    assert site.url in caught.value.message
    assert found in caught.value.message
    assert "0000" in caught.value.message
    assert "--raw-dir" in caught.value.hint
    assert caught.value.exit_code == ExitCode.DATA
    assert list(download_dir(card.name).iterdir()) == []
    assert (download(card, False, quiet) / "u.data").is_file()


def test_without_checksum_the_hash_is_told(
    home: Path, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    download(card_of(site), True, quiet)
    assert "the card has no checksum" in caplog.text
    assert hashlib.sha256(site.body).hexdigest() in caplog.text


def test_broken_connection_is_resumed(home: Path, site: Site) -> None:
    card = card_of(site, md5=md5(site.body))
    site.cut_at = 500
    with pytest.raises(GenrankError, match="download failed: 500 of") as caught:
        download(card, True, quiet)
    assert "run the same command again to continue" in caught.value.hint
    assert [path.name for path in download_dir(card.name).iterdir()] == ["tiny.zip.part"]
    site.cut_at = None
    assert (download(card, True, quiet) / "u.data").is_file()
    assert site.requests == [None, "bytes=500-"]


def test_server_without_ranges_starts_again(home: Path, site: Site) -> None:
    card = card_of(site, md5=md5(site.body))
    site.cut_at, site.ranges = 500, False
    with pytest.raises(GenrankError):
        download(card, True, quiet)
    site.cut_at = None
    assert (download(card, True, quiet) / "u.data").is_file()


def test_part_that_is_too_long_starts_again(home: Path, site: Site) -> None:
    card = card_of(site, md5=md5(site.body))
    folder = download_dir(card.name)
    folder.mkdir(parents=True)
    (folder / "tiny.zip.part").write_bytes(b"x" * (len(site.body) + 5))
    assert (download(card, True, quiet) / "u.data").is_file()
    assert len(site.requests) == 2


@pytest.mark.parametrize("status", [404, 503])
def test_server_error(status: int, home: Path, site: Site) -> None:
    site.status = status
    with pytest.raises(GenrankError, match=f"tiny.zip: download failed: .*{status}") as caught:
        download(card_of(site), True, quiet)
    assert caught.value.exit_code == ExitCode.DATA


def test_no_server(home: Path) -> None:
    card = movielens_card("100k", downloads=[{"url": "http://127.0.0.1:9/tiny.zip"}])
    with pytest.raises(GenrankError, match="download failed"):
        build_store(card)
    assert not (home / card.name).exists()


def test_no_download_on_the_card(home: Path) -> None:
    with pytest.raises(GenrankError, match="tiny-100k has no download") as caught:
        build_store(movielens_card("100k"))
    assert "--raw-dir" in caught.value.hint


def test_archive_that_is_none(home: Path, site: Site) -> None:
    site.body = b"<html>please log in</html>"
    card = card_of(site)
    with pytest.raises(GenrankError, match="is not a zip archive"):
        download(card, True, quiet)
    assert list(download_dir(card.name).iterdir()) == []


def test_archive_without_a_file(home: Path, site: Site) -> None:
    files = {"ratings": {"path": "u.data"}, "more": {"path": "more.csv"}}
    card = movielens_card("100k", files=files, downloads=[{"url": site.url}])
    with pytest.raises(GenrankError, match=r"tiny\.zip holds no more\.csv"):
        download(card, True, quiet)


def test_optional_file_may_be_absent_from_the_archive(home: Path, site: Site) -> None:
    files = {"ratings": {"path": "u.data"}, "users": {"path": "no.user", "optional": True}}
    card = movielens_card("100k", files=files, downloads=[{"url": site.url}])
    store = build_store(card).store
    assert store.manifest.counts.events == 8
    assert list(store.manifest.sources) == ["u.data"]
