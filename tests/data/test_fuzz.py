"""Broken raw files: each builds a valid store or is refused with a reason, and nothing is left."""

from __future__ import annotations

import gzip
import io
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

import polars as pl
import pytest

from genrank_cli.data import workspace
from genrank_cli.data.build import build_store
from genrank_cli.data.card import Card, load_card
from genrank_cli.data.invariants import check
from genrank_cli.data.store import Store
from genrank_cli.errors import ExitCode, GenrankError
from tests.data.kuairand_raw import kuairand_card, write_categories, write_kuairand
from tests.data.mutations import mutate_bytes, mutate_frame, mutate_text
from tests.data.own import CARD, own_card, own_events, write_own
from tests.data.raw import WRITERS, movielens_card

CASES = 160  # mutations of each format; 500 of each have been run
QUICK = 40  # of which so many run with the quick tests
LIMIT_S = 10.0  # for one build of some bytes

Mutate = Callable[[Path, Random], None]


@dataclass(frozen=True)
class Format:
    """Files that build, and a way to break one of them."""

    write: Callable[[Path], object]
    card: Callable[[Path], Card]
    mutate: Mutate


def text_file(separators: dict[str, str]) -> Mutate:
    """Mutations of one of the files, named with what separates its cells."""

    def mutate(folder: Path, random: Random) -> None:
        name = random.choice(sorted(separators))
        file = folder / name
        file.write_bytes(mutate_text(file.read_bytes(), random, separators[name]))

    return mutate


def compressed(name: str, pack: Callable[[bytes], bytes]) -> Mutate:
    """Mutations of the text before it is compressed, or of the compressed bytes."""

    def mutate(folder: Path, random: Random) -> None:
        text = own_events().write_csv().encode()
        if random.random() < 0.4:
            data = mutate_bytes(pack(text), random)
        else:
            data = pack(mutate_text(text, random, ","))
        (folder / name).write_bytes(data)

    return mutate


def zstd(data: bytes) -> bytes:
    """One frame of zstandard with raw blocks: no library is needed to write that."""
    blocks = [data[start : start + 60_000] for start in range(0, len(data), 60_000)] or [b""]
    out = io.BytesIO()
    out.write(b"\x28\xb5\x2f\xfd\x00\x38")  # magic; window of 128 kB
    for number, block in enumerate(blocks):
        header = len(block) << 3 | (number == len(blocks) - 1)
        out.write(header.to_bytes(3, "little") + block)
    return out.getvalue()


def parquet(folder: Path, random: Random) -> None:
    file = folder / "log.parquet"
    if random.random() < 0.5:
        file.write_bytes(mutate_bytes(file.read_bytes(), random))
    else:
        mutate_frame(own_events(), random).write_parquet(file)


def card_file(folder: Path, random: Random) -> None:
    file = folder / "own.toml"
    file.write_bytes(mutate_text(file.read_bytes(), random, random.choice(['"', "=", " = ", "."])))


def _own(suffix: str, separator: str) -> Format:
    separators = {f"log{suffix}": separator, "users.csv": ",", "items.csv": ","}
    return Format(
        lambda folder: write_own(folder, suffix),
        lambda _: own_card(f"log{suffix}"),
        text_file(separators),
    )


def _packed(suffix: str, pack: Callable[[bytes], bytes]) -> Format:
    return Format(
        lambda folder: write_own(folder, ".csv"),
        lambda _: own_card(f"log{suffix}"),
        compressed(f"log{suffix}", pack),
    )


def _movielens(layout: str, separators: dict[str, str]) -> Format:
    return Format(WRITERS[layout], lambda _: movielens_card(layout), text_file(separators))


def _write_kuairand(folder: Path) -> None:
    write_categories(write_kuairand(folder))


def _kuairand(folder: Path, random: Random) -> None:
    files = {file.relative_to(folder).as_posix(): "," for file in folder.rglob("*.csv")}
    text_file(files)(folder, random)


FORMATS = {
    "ml-100k": _movielens("100k", {"u.data": "\t", "u.item": "|", "u.user": "|"}),
    "ml-1m": _movielens("1m", {"ratings.dat": "::", "movies.dat": "::", "users.dat": "::"}),
    "ml-csv": _movielens("csv", {"ratings.csv": ",", "movies.csv": ","}),
    "kuairand": Format(_write_kuairand, lambda _: kuairand_card(), _kuairand),
    "csv": _own(".csv", ","),
    "tsv": _own(".tsv", "\t"),
    "gzip": _packed(".csv.gz", lambda data: gzip.compress(data, mtime=0)),
    "zstd": _packed(".csv.zst", zstd),
    "parquet": Format(
        lambda folder: write_own(folder, ".parquet"), lambda _: own_card("log.parquet"), parquet
    ),
    "card": Format(
        lambda folder: write_own(folder, ".csv", CARD),
        lambda folder: load_card(folder / "own.toml"),
        card_file,
    ),
}


@contextmanager
def time_limit(what: str) -> Iterator[None]:
    """Fail where the work takes longer than `LIMIT_S`."""

    def late(*_: object) -> None:
        raise TimeoutError(f"{what} hangs")

    old = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


def build(format: Format, folder: Path) -> Store | GenrankError:
    try:
        return build_store(format.card(folder), folder).store
    except GenrankError as error:
        return error


def run(name: str, case: int, folder: Path, home: Path) -> str:
    """Break the files as ``case`` says and build them: ``built``, or the reason why not."""
    format = FORMATS[name]
    shutil.rmtree(folder, ignore_errors=True)
    format.write(folder)
    format.mutate(folder, Random(f"{name} {case}"))
    what = f"{name} {case}"
    with time_limit(what):
        store = build(format, folder)
        if isinstance(store, GenrankError):
            assert store.message, what
            assert store.exit_code in (ExitCode.DATA, ExitCode.USAGE), what
            assert not home.exists() or list(home.iterdir()) == [], what
            return store.message.replace(str(folder), "")
        broken = [finding for finding in check(store) if finding.detail]
    assert broken == [], what
    assert [path.name for path in home.iterdir()] == [store.path.name], what
    shutil.rmtree(home)
    return "built"


def run_all(name: str, cases: range, tmp_path: Path, home: Path) -> Counter[str]:
    return Counter(run(name, case, tmp_path / "raw", home) for case in cases)


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing here must survive a power cut."""
    monkeypatch.setattr(workspace, "sync", lambda path: None)


@pytest.mark.parametrize("name", FORMATS)
def test_the_unbroken_files_build(name: str, tmp_path: Path, home: Path) -> None:
    FORMATS[name].write(tmp_path / "raw")
    if name in ("gzip", "zstd"):
        pack = {"gzip": gzip.compress, "zstd": zstd}[name]
        suffix = {"gzip": "gz", "zstd": "zst"}[name]
        data = own_events().write_csv().encode()
        (tmp_path / "raw" / f"log.csv.{suffix}").write_bytes(pack(data))
    assert build_store(FORMATS[name].card(tmp_path / "raw"), tmp_path / "raw").fresh


@pytest.mark.parametrize("name", FORMATS)
def test_broken_files_build_or_are_refused(name: str, tmp_path: Path, home: Path) -> None:
    outcomes = run_all(name, range(QUICK), tmp_path, home)
    assert len(outcomes) > 10  # the mutations are not all of one kind


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_many_broken_files_build_or_are_refused(name: str, tmp_path: Path, home: Path) -> None:
    outcomes = run_all(name, range(QUICK, CASES), tmp_path, home)
    assert outcomes["built"] > 0
    assert sum(outcomes.values()) - outcomes["built"] > CASES / 4


def test_zstd_is_written_as_polars_reads_it(tmp_path: Path) -> None:
    (tmp_path / "x.csv.zst").write_bytes(zstd(b"a\n" + b"1\n" * 100_000))
    assert pl.read_csv(tmp_path / "x.csv.zst")["a"].sum() == 100_000
