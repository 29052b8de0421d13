"""The C++ kernels are compiled once; what happens where they cannot be."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from genrank_cli.attention import resolve_backend
from genrank_cli.attention.native import compiled
from genrank_cli.errors import GenrankError
from tests.attention.native_cases import needs_compiler

pytestmark = needs_compiler


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Nothing compiled yet, in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = (compiled.kernels, compiled.compiler, compiled.available)
    for function in cached:
        function.cache_clear()
    yield tmp_path / "genrank"
    for function in cached:
        function.cache_clear()


def test_compiled_once_and_found_again(fresh: Path) -> None:
    compiled.kernels()
    (made,) = fresh.iterdir()
    stamp = made.stat().st_mtime_ns
    compiled.kernels.cache_clear()
    compiled.kernels()
    assert [(path, path.stat().st_mtime_ns) for path in fresh.iterdir()] == [(made, stamp)]


def test_no_compiler_and_a_broken_one(
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(GenrankError, match="no C\\+\\+ compiler") as caught:
        compiled.kernels()
    assert resolve_backend("auto") == "blockwise"
    assert not caplog.records
    assert "blockwise" in (caught.value.hint or "")
    (tmp_path / "bin").mkdir()
    broken = tmp_path / "bin" / "c++"
    broken.write_text("#!/bin/sh\necho 'kernel.cpp:1: error: no such flag' >&2\nexit 1\n")
    broken.chmod(0o755)
    compiled.compiler.cache_clear()
    with pytest.raises(GenrankError, match=r"failed: kernel\.cpp:1: error: no such flag"):
        compiled.kernels()
    compiled.available.cache_clear()
    assert [resolve_backend("auto") for _ in range(2)] == ["blockwise"] * 2
    assert [record.message for record in caplog.records] == [
        f"attention backend native: {broken} failed: kernel.cpp:1: error: no such flag; "
        "using blockwise"
    ]
    assert list(fresh.glob("*")) == []


def test_a_file_that_cannot_be_loaded(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled.kernels()
    (made,) = fresh.iterdir()
    broken = tmp_path / "other" / "genrank" / made.name
    broken.parent.mkdir(parents=True)
    broken.write_bytes(b"not a library")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    compiled.kernels.cache_clear()
    with pytest.raises(GenrankError, match=r"attention-.*\.so: ") as caught:
        compiled.kernels()
    assert "XDG_CACHE_HOME" in (caught.value.hint or "")
