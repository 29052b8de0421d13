"""What is shipped: the wheel's data files, its licence, and a constraints file that is complete."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import REPOSITORY

SHIPPED = ("genrank_cli", "ablations", "datasets")
FILES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the checkout, in which a store has been built."""
    source = tmp_path_factory.mktemp("source")
    ignored = shutil.ignore_patterns("__pycache__", ".built")
    for name in SHIPPED:
        shutil.copytree(REPOSITORY / name, source / name, ignore=ignored)
    for name in FILES:
        shutil.copy(REPOSITORY / name, source / name)
    for name in ("datasets/.built/store.toml", "datasets/.built/ml/manifest.json"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("built")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "out"]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    [built] = (source / "out").glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_carries_declarations_and_nothing_built(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for kind in ("ablations", "datasets"):
        expected = {
            f"genrank_cli/{kind}/{file.name}" for file in (REPOSITORY / kind).glob("*.toml")
        }
        assert expected
        assert {name for name in names if name.startswith(f"genrank_cli/{kind}/")} == expected
    for name in (
        "report/genrank.mplstyle",
        "report/html/style.css",
        "attention/native/kernel.cpp",
        "gate/suite.toml",
    ):
        assert f"genrank_cli/{name}" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    roots = {name.split("/")[0] for name in names}
    assert roots == {"genrank_cli", next(root for root in roots if root.endswith(".dist-info"))}


@pytest.mark.slow
def test_wheel_and_checkout_find_their_declarations(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = "from genrank_cli.paths import packaged; print(packaged('{}'))"
    for kind in ("ablations", "datasets"):
        for root, expected in (
            (tmp_path, tmp_path / "genrank_cli" / kind),
            (REPOSITORY, REPOSITORY / kind),
        ):
            command = [sys.executable, "-c", code.format(kind)]
            found = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
            assert Path(found.stdout.strip()) == expected
            assert list(expected.glob("*.toml"))


def test_licence_is_the_whole_apache_text() -> None:
    text = (REPOSITORY / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert len(text.split()) == 1581


def test_constraints_pin_every_dependency_of_every_dependency() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    direct = project["dependencies"] + project["optional-dependencies"]["dev"]
    missing = sorted(_closure(direct) - pins.keys())
    assert missing == []
    assert list(pins) == sorted(pins)
    assert not [name for name in pins if name.startswith(("nvidia", "cuda"))]


def _closure(requirements: list[str]) -> set[str]:
    """Names of all installed packages that the requirements lead to on this machine."""
    found: set[str] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        skipped = requirement.marker and not requirement.marker.evaluate({"extra": extra})
        if skipped or name in found or name.startswith(("nvidia", "cuda")):
            continue
        found.add(name)
        for text in metadata.requires(name) or []:
            todo += [(Requirement(text), extra) for extra in ("", *requirement.extras)]
    return found
