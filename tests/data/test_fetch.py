"""Files from a server in this process: verified, resumed, never half-written or glued together."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest

from genrank_cli.data.card import Download
from genrank_cli.data.fetch import fetch
from genrank_cli.data.progress import quiet
from tests.data.site import BODY, OTHER, Site, md5, only, source, stop_after


@pytest.fixture(autouse=True)
def _body(site: Site) -> None:
    site.files["a.zip"] = BODY


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


def test_whole_file_with_progress(site: Site, target: Path) -> None:
    seen: list[tuple[str, float, float]] = []
    fetch(source(site, md5=md5(BODY), bytes=len(BODY)), target, True, lambda *s: seen.append(s))
    assert target.read_bytes() == BODY
    assert only(target.parent) == ["a.zip"]
    done = [step[1] for step in seen if step[0] == "downloading a.zip"]
    assert done == sorted(done)
    assert ("downloading a.zip", len(BODY), len(BODY)) in seen


def test_interrupted_download_goes_on_where_it_stopped(site: Site, target: Path) -> None:
    stop_after(site, target, 500_000, source(site))
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    tag = f'"{hashlib.sha256(BODY).hexdigest()[:8]}"'
    assert site.asked == [("a.zip", "bytes=500000-", tag)]


def test_last_modified_will_do(site: Site, target: Path) -> None:
    site.dates, site.weak = True, True
    stop_after(site, target, 1000, source(site))
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.asked == [("a.zip", "bytes=1000-", "Mon, 01 Jan 2024 00:00:00 GMT")]


@pytest.mark.parametrize("weak", [True, False])
def test_without_tag_or_checksum_it_starts_again(weak: bool, site: Site, target: Path) -> None:
    site.tags, site.weak = weak, weak
    stop_after(site, target, 1000, source(site))
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.ranges_asked == [None]


def test_without_tag_a_checksum_allows_to_go_on(site: Site, target: Path) -> None:
    site.tags = False
    stop_after(site, target, 1000, source(site, md5=md5(BODY)))
    fetch(source(site, md5=md5(BODY)), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.asked == [("a.zip", "bytes=1000-", None)]


@pytest.mark.parametrize("length", [len(BODY), len(BODY) + 5, 2000, 1000, 10])
def test_a_changed_file_is_never_glued_to_the_old_part(
    length: int, site: Site, target: Path
) -> None:
    stop_after(site, target, 1000, source(site))
    changed = (OTHER * 2)[:length]
    site.files["a.zip"] = changed
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == changed


def test_not_even_by_a_server_that_ignores_if_range(site: Site, target: Path) -> None:
    site.if_range = False
    for length in (len(BODY), len(BODY) + 5, 10):
        site.files["a.zip"] = BODY
        stop_after(site, target, 1000, source(site))
        changed = (OTHER * 2)[:length]
        site.files["a.zip"] = changed
        fetch(source(site), target, True, quiet)
        assert target.read_bytes() == changed


def test_nor_without_tags_if_there_is_a_checksum(site: Site, target: Path) -> None:
    site.tags = False
    stop_after(site, target, 1000, source(site, sha256=hashlib.sha256(OTHER).hexdigest()))
    site.files["a.zip"] = OTHER
    fetch(source(site, sha256=hashlib.sha256(OTHER).hexdigest()), target, True, quiet)
    assert target.read_bytes() == OTHER
    assert site.ranges_asked == ["bytes=1000-", None]


def test_server_without_ranges_starts_again(site: Site, target: Path) -> None:
    stop_after(site, target, 1000, source(site))
    site.ranges = False
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY


def test_server_that_continues_elsewhere(site: Site, target: Path) -> None:
    stop_after(site, target, 1000, source(site))
    site.wrong_range = True
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.ranges_asked == ["bytes=1000-", None]


@pytest.mark.parametrize("junk", [b"", b"x" * 10, b"x" * len(BODY), b"x" * (len(BODY) + 5)])
@pytest.mark.parametrize("note", [None, "", "{}", "[1]", '{"url": "u", "tag": "t", "total": 9}'])
def test_a_foreign_part_is_not_trusted(
    junk: bytes, note: str | None, site: Site, target: Path
) -> None:
    target.with_name("a.zip.part").write_bytes(junk)
    if note is not None:
        target.with_name("a.zip.part.json").write_text(note)
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert only(target.parent) == ["a.zip"]


def test_a_part_that_is_too_long_is_not_trusted(site: Site, target: Path) -> None:
    stop_after(site, target, 1000, source(site))
    target.with_name("a.zip.part").write_bytes(BODY + b"x")
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.ranges_asked == [None]


def test_a_part_of_another_address_is_not_continued(site: Site, target: Path) -> None:
    stop_after(site, target, 1000, source(site))
    site.files["b.zip"] = BODY
    fetch(Download(url=site.url("b.zip")), target, True, quiet)
    assert site.ranges_asked == [None]


def test_a_part_that_is_complete_needs_no_server(site: Site, target: Path) -> None:
    """Killed between the last byte and the final name."""
    stop_after(site, target, 1000, source(site))
    target.with_name("a.zip.part").write_bytes(BODY)
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.asked == []


def test_killed_in_the_middle_then_resumed(site: Site, target: Path) -> None:
    site.pause = 0.02
    code = (
        "import sys; from pathlib import Path; from genrank_cli.data.card import Download;"
        "from genrank_cli.data.fetch import fetch; from genrank_cli.data.progress import quiet;"
        f"fetch(Download(url={site.url('a.zip')!r}), Path({str(target)!r}), True, quiet)"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    part = target.with_name("a.zip.part")
    try:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    received = part.stat().st_size
    assert 0 < received < len(BODY)
    assert not target.exists()
    site.pause = 0.0
    site.asked.clear()
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.ranges_asked == [f"bytes={received}-"]


def test_interrupted_by_the_user(site: Site, target: Path) -> None:
    def interrupt(what: str, done: float, total: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(source(site), target, True, interrupt)
    received = target.with_name("a.zip.part").stat().st_size
    assert received > 0
    site.asked.clear()
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert site.ranges_asked == [f"bytes={received}-"]


def test_many_files_at_once(site: Site, tmp_path: Path) -> None:
    targets = [tmp_path / f"{number}.zip" for number in range(8)]
    threads = [Thread(target=fetch, args=(source(site), t, True, quiet)) for t in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(t.read_bytes() == BODY for t in targets)
