"""Downloads that fail: repeated a little, given up with a reason, nothing wrong is kept."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from genrank_cli.data import fetch as fetching
from genrank_cli.data.card import Download
from genrank_cli.data.fetch import ATTEMPTS, fetch
from genrank_cli.data.progress import quiet
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.site import BODY, Site, md5, only, source, stop_after


@pytest.fixture(autouse=True)
def _body(site: Site) -> None:
    site.files["a.zip"] = BODY


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a.zip"


@pytest.mark.parametrize("received", [0, 700])
def test_cut_connection_is_tried_again_at_once(received: int, site: Site, target: Path) -> None:
    site.cuts = [received] * (ATTEMPTS - 1)
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert len(site.asked) == ATTEMPTS


def test_a_long_download_may_be_cut_more_often(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(fetching, "WORTHWHILE", 100_000)
    monkeypatch.setattr(fetching, "PAUSE_S", 1.0)
    monkeypatch.setattr(time, "sleep", waited.append)
    site.cuts = [100_000 * place for place in range(1, 10)]
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY
    assert waited == [1.0] * 9


def test_attempts_are_bounded_and_wait_longer_each_time(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(fetching, "PAUSE_S", 1.0)
    monkeypatch.setattr(time, "sleep", waited.append)
    site.statuses = [503] * 99
    with pytest.raises(GenrankError, match=r"a.zip: download failed: .*503") as caught:
        fetch(source(site), target, True, quiet)
    assert waited == [1, 2, 4]
    assert len(site.asked) == ATTEMPTS
    assert caught.value.exit_code == ExitCode.DATA
    assert only(target.parent) == []


@pytest.mark.parametrize("status", [500, 502, 429])
def test_a_passing_error_passes(status: int, site: Site, target: Path) -> None:
    site.statuses = [status] * (ATTEMPTS - 1)
    fetch(source(site), target, True, quiet)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 416])
def test_a_lasting_error_is_not_repeated(status: int, site: Site, target: Path) -> None:
    site.statuses = [status] * 9
    with pytest.raises(GenrankError, match=f"download failed: .*{status}") as caught:
        fetch(source(site), target, True, quiet)
    assert len(site.asked) == 1
    assert "again to continue" not in caught.value.hint
    assert "--raw-dir" in caught.value.hint


def test_unreachable(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "PAUSE_S", 0.0)
    nowhere = Download(url="http://127.0.0.1:9/a.zip")
    with pytest.raises(GenrankError, match=r"a\.zip: download failed: .*refused") as caught:
        fetch(nowhere, target, True, quiet)
    assert "get it by hand" in caught.value.hint
    assert "again to continue" not in caught.value.hint  # there is nothing to continue


def test_a_silent_server_is_given_up(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT_S", 0.2)
    site.pause = 1.0
    with pytest.raises(GenrankError, match=r"download failed: .*timed out") as caught:
        fetch(source(site), target, True, quiet)
    assert "run the same command again to continue" in caught.value.hint


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_tampered_file_leaves_nothing(kind: str, site: Site, target: Path) -> None:
    expected = hashlib.new(kind, BODY).hexdigest()
    site.files["a.zip"] = BODY[:-1] + b"!"
    found = hashlib.new(kind, site.files["a.zip"]).hexdigest()
    with pytest.raises(GenrankError, match="is not the file on the card") as caught:
        fetch(source(site, **{kind: expected}), target, True, quiet)
    for part in (site.url("a.zip"), found, expected):
        assert part in caught.value.message
    assert "--raw-dir" in caught.value.hint
    assert caught.value.exit_code == ExitCode.DATA
    assert only(target.parent) == []
    assert len(site.asked) == 1


def test_no_verify_accepts_and_says_so(
    site: Site, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(source(site, md5="00" * 16, bytes=7), target, False, quiet)
    assert target.read_bytes() == BODY
    assert "accepted by --no-verify" in caplog.text


def test_without_checksum_the_hash_is_told(
    site: Site, target: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fetch(source(site), target, True, quiet)
    assert "the card has no checksum" in caplog.text
    assert hashlib.sha256(BODY).hexdigest() in caplog.text


@pytest.mark.parametrize("length", [len(BODY) - 7, len(BODY) + 7])
def test_wrong_content_length(length: int, site: Site, target: Path) -> None:
    site.length = length
    with pytest.raises(GenrankError):
        fetch(source(site, md5=md5(BODY)), target, True, quiet)
    assert not target.exists()


def test_no_content_length(site: Site, target: Path) -> None:
    site.no_length = True
    fetch(source(site, md5=md5(BODY)), target, True, quiet)
    assert target.read_bytes() == BODY
    site.cuts = [500] * 2
    with pytest.raises(GenrankError, match="is not the file on the card"):
        fetch(source(site, md5=md5(BODY)), target, True, quiet)
    with pytest.raises(GenrankError, match="500 bytes instead of 1,024,000"):
        fetch(source(site, bytes=len(BODY)), target, True, quiet)


def test_another_size_than_the_cards_is_not_downloaded(site: Site, target: Path) -> None:
    with pytest.raises(GenrankError, match="has 1,024,000 bytes; the card says 1,024,001"):
        fetch(source(site, bytes=len(BODY) + 1), target, True, quiet)
    assert only(target.parent) == []


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_full_disk_is_met_before_the_download(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, len(BODY) - 1))
    with pytest.raises(GenrankError, match=r"downloading a.zip needs about 1.02 MB") as caught:
        fetch(source(site), target, True, quiet)
    assert "GENRANK_HOME" in caught.value.hint
    assert only(target.parent) == []
    # What is there already needs no space again.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, len(BODY)))
    stop_after(site, target, 1000, source(site))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, len(BODY) - 1000))
    fetch(source(site), target, True, quiet)


def test_disk_that_fills_up_on_the_way(site: Site, target: Path) -> None:
    part = target.with_name("a.zip.part")
    Path(part).symlink_to("/dev/full")
    with pytest.raises(GenrankError, match=r"cannot write .*a.zip.part: No space left"):
        fetching._append(fetching._ask(site.url("a.zip"), 0, None), part, 0, None, quiet)


def test_a_part_that_cannot_be_written(site: Site, target: Path) -> None:
    target.with_name("a.zip.part").mkdir()
    with pytest.raises(GenrankError, match=r"cannot write .*a\.zip\.part"):
        fetch(source(site), target, True, quiet)
    assert len(site.asked) == 1
    response = fetching._ask(site.url("a.zip"), 0, None)
    with pytest.raises(GenrankError, match="cannot write"):
        fetching._append(response, target / "none" / "part", 0, None, quiet)
