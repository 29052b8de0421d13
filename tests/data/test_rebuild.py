"""Building again: the same hash, other cards and files, names, checks before the work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from genrank_cli.data.build import build_store, dataset_name, ensure_store
from genrank_cli.data.card import load_card
from genrank_cli.data.invariants import check
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.conftest import BuildTables
from tests.data.own import CARD, write_own
from tests.data.raw import events, movielens_card, plain_card, write_100k


def test_the_same_input_gives_the_same_hash_under_any_name(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    one = build_store(card, raw).store.manifest
    two = build_store(card, raw, "other").store.manifest
    assert one.content_hash == two.content_hash
    again = build_store(card, raw, force=True).store.manifest
    assert again == one
    text = (raw / "u.data").read_text()
    (raw / "u.data").write_text(text.replace("1000000300", "1000000301"))
    assert build_store(card, raw, "third").store.manifest.content_hash != one.content_hash


def test_a_second_build_does_nothing(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    first = build_store(card, raw)
    before = (first.store.path / "manifest.json").stat().st_mtime_ns
    assert first.fresh
    assert not build_store(card, raw).fresh
    assert not build_store(card).fresh  # without the raw files
    assert (first.store.path / "manifest.json").stat().st_mtime_ns == before
    assert build_store(card, raw, force=True).fresh


def test_another_card_or_other_files_need_force_or_a_name(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    build_store(card, raw)
    other = movielens_card("100k", options={"layout": "100k", "like_at": 3})
    with pytest.raises(GenrankError, match="built from another card") as caught:
        build_store(other, raw)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "--force" in caught.value.hint
    assert "--name" in caught.value.hint
    text = (raw / "u.data").read_text()
    (raw / "u.data").write_text(text.replace("1000000300", "1000000301"))
    with pytest.raises(GenrankError, match=r"built from another u\.data"):
        build_store(card, raw)
    assert build_store(other, raw, "other").fresh
    assert build_store(other, raw, force=True).store.manifest.options["like_at"] == 3


def test_a_broken_store_is_built_again(home: Path, tmp_path: Path) -> None:
    raw, card = write_100k(tmp_path / "raw"), movielens_card("100k")
    path = build_store(card, raw).store.path
    (path / "items.arrow").unlink()
    assert build_store(card, raw).fresh
    assert all(not finding.detail for finding in check(Store.open(path)))


def test_a_folder_that_is_no_store_is_never_replaced(home: Path, tmp_path: Path) -> None:
    (home / "thesis").mkdir(parents=True)
    (home / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(GenrankError, match="is not a built dataset") as caught:
        build_store(movielens_card("100k"), write_100k(tmp_path / "raw"), "thesis", force=True)
    assert caught.value.exit_code == ExitCode.USAGE
    assert (home / "thesis" / "chapter.tex").read_text() == "years of work"


@pytest.mark.parametrize("name", ["../up", "/tmp/x", ".hidden", "A", ""])
def test_names_stay_inside_the_home(name: str, home: Path) -> None:
    with pytest.raises(GenrankError, match="is not a name for a dataset"):
        build_store(movielens_card("100k"), home, name or " ")


def test_missing_raw_folder(home: Path, tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match="no such folder") as caught:
        build_store(movielens_card("100k"), tmp_path / "none")
    assert caught.value.exit_code == ExitCode.DATA


def test_wrong_checksum_names_file_expected_and_found(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    raw = write_100k(tmp_path / "raw")
    card = movielens_card("100k")
    files = {key: spec.model_dump() for key, spec in card.files.items()}
    files["items"]["sha256"] = "ab" * 32
    card = movielens_card("100k", files=files)
    with pytest.raises(GenrankError) as caught:
        build_store(card, raw)
    error = caught.value
    assert f"{raw / 'u.item'} is not the official file: expected SHA-256 abab" in error.message
    assert "found " in error.message
    assert "--no-verify" in error.hint
    assert error.exit_code == ExitCode.DATA
    assert build_store(card, raw, verify=False).fresh
    assert "accepted by --no-verify" in caplog.text


def test_full_disk_is_told_before_the_work(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=500)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    with pytest.raises(GenrankError, match=r"needs about .* 500 B are free") as caught:
        build_store(movielens_card("100k"), write_100k(tmp_path / "raw"))
    assert caught.value.exit_code == ExitCode.DATA
    assert not home.exists()


def test_ensure_store(
    home: Path, build_tables: BuildTables, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(GenrankError, match="'ml-100k' is not built") as caught:
        ensure_store("ml-100k")
    assert caught.value.hint == "run: genrank data build ml-100k"
    with pytest.raises(GenrankError, match="unknown dataset 'nothing'"):
        ensure_store("nothing")
    built = build_tables(events())
    assert ensure_store("plain").manifest == built.manifest
    assert caplog.text == ""
    build_tables(events(), card=plain_card("ml-100k"))
    ensure_store("ml-100k")
    assert "built with other settings than those of its card" in caplog.text


@pytest.mark.parametrize("name", ["own.toml", "own", "PATH"])
def test_a_store_older_than_ones_own_card_is_told(
    name: str,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = write_own(tmp_path / "logs", card=CARD)
    build_store(load_card(folder / "own.toml"), folder)
    if name == "PATH":
        name = str(folder / "own.toml")
    else:
        monkeypatch.chdir(folder)
    assert dataset_name(name) == "own"
    assert ensure_store(name).manifest.name == "own"
    assert caplog.text == ""
    text = CARD.replace('name = "temporal"', 'name = "user"')
    (folder / "own.toml").write_text(text)
    assert ensure_store(name).manifest.split.name == "temporal"
    assert f"run: genrank data build {name} --force" in caplog.text


def test_a_card_that_is_not_the_stores_says_nothing_about_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_own(tmp_path / "logs", card=CARD)
    build_store(load_card(folder / "own.toml"), folder, "mine")
    monkeypatch.chdir(folder)
    (folder / "mine.toml").write_text(CARD)  # a card, but of another name
    ensure_store("mine")
    assert caplog.text == ""
    (folder / "mine.toml").write_text("[tool]\n")  # not a card
    ensure_store("mine")
    assert "the store is not compared with mine.toml" in caplog.text
    with pytest.raises(GenrankError, match=r"mine\.toml"):
        ensure_store("mine.toml")


def test_a_card_elsewhere_is_found_by_its_file(home: Path, tmp_path: Path) -> None:
    file = write_own(tmp_path / "logs", card=CARD) / "own.toml"
    with pytest.raises(GenrankError, match="dataset 'own' is not built") as caught:
        ensure_store(str(file))
    assert caught.value.hint == f"run: genrank data build {file}"
