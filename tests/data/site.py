"""A web server in this process that serves a few files and can be told to misbehave."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from genrank_cli.data.card import Download
from genrank_cli.data.fetch import ATTEMPTS, fetch
from genrank_cli.data.progress import quiet
from genrank_cli.errors import GenrankError

BODY = bytes(range(256)) * 4000  # 1 MB
OTHER = BODY[::-1]


@dataclass
class Site:
    """What is served, how badly, and what was asked for."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tags: bool = True  # whether there are ETags; they follow the content
    dates: bool = False  # whether there is a Last-Modified
    weak: bool = False
    ranges: bool = True
    if_range: bool = True  # whether If-Range is respected
    statuses: list[int] = field(default_factory=list)  # answers before it works again
    cuts: list[int] = field(
        default_factory=list
    )  # places in the file at which to hang up, per request
    length: int | None = None  # a Content-Length that is not true
    no_length: bool = False
    wrong_range: bool = False
    pause: float = 0.0  # seconds after every 10 kB
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)

    def url(self, name: str) -> str:
        return f"{self.address}/files/{name}"

    @property
    def ranges_asked(self) -> list[str | None]:
        return [asked[1] for asked in self.asked]


@contextmanager
def serve() -> Iterator[Site]:
    """A `Site` at a free port of this machine."""
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.rpartition("/")[2].partition("?")[0]
            asked = self.headers.get("Range")
            site.asked.append((name, asked, self.headers.get("If-Range")))
            if site.statuses:
                self.send_error(site.statuses.pop(0))
                return
            if name not in site.files:
                self.send_error(404)
                return
            self.answer(site.files[name], asked)

        def answer(self, body: bytes, asked: str | None) -> None:
            tag = f'"{hashlib.sha256(body).hexdigest()[:8]}"'
            cut = site.cuts.pop(0) if site.cuts else len(body)
            date = "Mon, 01 Jan 2024 00:00:00 GMT"
            condition = self.headers.get("If-Range")
            same = condition in (None, tag, date) or not site.if_range
            begin = 0
            if asked and site.ranges and same:
                begin = int(asked.removeprefix("bytes=").rstrip("-"))
                if begin >= len(body):
                    self.send_error(416)
                    return
            self.send_response(206 if begin else 200)
            if begin:
                first = begin + 1 if site.wrong_range else begin
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
            if site.tags:
                self.send_header("ETag", "W/" * site.weak + tag)
            if site.dates:
                self.send_header("Last-Modified", date)
            if not site.no_length:
                self.send_header("Content-Length", str(site.length or len(body) - begin))
            self.end_headers()
            self.send(body[begin : max(begin, cut)])

        def send(self, body: bytes) -> None:
            if not site.pause:
                self.wfile.write(body)
                return
            for place in range(0, len(body), 10_000):
                self.wfile.write(body[place : place + 10_000])
                time.sleep(site.pause)

        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    site.address = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def source(site: Site, **fields: Any) -> Download:
    return Download(url=site.url("a.zip"), **fields)


def md5(body: bytes) -> str:
    return hashlib.md5(body).hexdigest()


def stop_after(site: Site, target: Path, received: int, download: Download) -> None:
    """An attempt that ends when ``received`` bytes are there: the server sends no more."""
    site.cuts = [received] * ATTEMPTS
    with pytest.raises(GenrankError, match=f"{received:,} of {len(BODY):,} bytes received"):
        fetch(download, target, True, quiet)
    assert target.with_name("a.zip.part").stat().st_size == received
    site.asked.clear()


def only(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
