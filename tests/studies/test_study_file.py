"""Study files: the shipped ones are sound, and a broken one is explained by file and key."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.studies.study import Study, list_studies, load_study
from genrank_cli.training.config import layered, nested

MINIMAL = """
name = "mask"
version = 1
title = "Mask"
question = "Who sees whom?"
base = "isolated"

[[variants]]
name = "isolated"
preset = "genrank"

[[variants]]
name = "visible"
preset = "genrank"
[variants.set]
model.attention.candidates = "visible"

[[variants]]
name = "window"
preset = "genrank"
default = false
[variants.set]
"model.attention.window" = 64

[[references]]
name = "dlrm"
preset = "dlrm"

[[claims]]
id = "mask.visible"
variant = "visible"
metric = "auc"
kind = "difference"
reported = -0.0015
source = "GenRank"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mask.toml"
    path.write_text(MINIMAL)
    return path


def edited(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


@pytest.mark.parametrize("name", list_studies())
def test_shipped_studies_are_sound(name: str) -> None:
    study = load_study(name)
    assert study.name == name
    for variant in study.variants:
        layered(variant.preset, "tiny", nested(study.settings), nested(variant.set))
    for reference in study.references:
        layered(reference.preset, "tiny", nested(study.settings))


def test_the_bias_study_judges_only_the_papers_whole_proposal() -> None:
    study = load_study("bias")
    assert study.base == "rab"
    names = ["rab", "none", "tables", "alibi", "alibi-time", "embeddings", "embeddings+alibi"]
    assert [variant.name for variant in study.select()] == names
    assert [variant.name for variant in study.select(["rab-fused"])] == ["rab", "rab-fused"]
    assert [reference.name for reference in study.references] == ["genrank", "dlrm", "rates"]
    claims = {claim.id: (claim.variant, claim.kind, claim.reported) for claim in study.claims}
    assert claims == {
        "bias.speed": ("embeddings+alibi", "ratio", 1.25),
        "bias.auc": ("embeddings+alibi", "difference", 0.0009),
    }
    base = study.select([])[0]
    assert base.set["model.attention.bias_form"] == "materialized"
    assert {variant.preset for variant in study.variants} == {"hstu"}


def test_the_bias_studys_variants_differ_in_the_bias_only() -> None:
    allowed = {"bias", "bias_form"}
    plain = layered("hstu", "tiny").model_dump()
    for variant in load_study("bias").variants:
        changed = layered(variant.preset, "tiny", nested(variant.set)).model_dump()
        for tree in (plain, changed):
            tree["model"]["attention"] = {
                key: value
                for key, value in tree["model"]["attention"].items()
                if key not in allowed
            }
            tree["model"]["embeddings"] = {}
        assert changed == plain


def test_a_file_is_read_with_both_spellings_of_a_path(file: Path) -> None:
    study = load_study(file)
    assert study.variants[1].set == {"model.attention.candidates": "visible"}
    assert study.variants[2].set == {"model.attention.window": 64}
    assert [variant.name for variant in study.select()] == ["isolated", "visible"]
    assert study.variants[1].title == "visible"


def test_selection_starts_with_the_base_and_names_no_variant_twice(file: Path) -> None:
    study = load_study(file)
    selected = [variant.name for variant in study.select(["window", "isolated", "window"])]
    assert selected == ["isolated", "window"]
    with pytest.raises(GenrankError, match="study 'mask': unknown variant 'visibel'") as caught:
        study.select(["visibel"])
    assert "did you mean 'visible'?" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ('title = "Mask"', 'title = "Other words"', True),
        ('source = "GenRank"', 'source = "GenRank, again"\nnote = "a note"', True),
        ('name = "visible"', '# a comment\nname = "visible"\nlabel = "seen"', True),
        ("reported = -0.0015", "reported = -0.0016", False),
        ("version = 1", "version = 2", False),
        ("= 64", "= 32", False),
    ],
)
def test_the_hash_follows_meaning_not_wording(file: Path, old: str, new: str, same: bool) -> None:
    before = load_study(file).hash
    assert len(before) == 64
    assert (load_study(edited(file, old, new)).hash == before) is same


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("question =", "questoin =", "questoin: unknown key, did you mean 'question'"),
        (
            "default =",
            "defualt =",
            r"variants\[window\].defualt: unknown key, did you mean 'default'",
        ),
        (
            "reported =",
            "zzz = 1\nreported =",
            r"claims\[mask.visible\].zzz: unknown key, allowed: id",
        ),
        (
            'base = "isolated"',
            'base = "isolatd"',
            "base: unknown variant 'isolatd'; allowed: .*; did you mean 'isolated'",
        ),
        (
            'variant = "visible"',
            'variant = "visble"',
            "claim 'mask.visible': unknown variant 'visble'; allowed: .*; did you mean 'visible'",
        ),
        (
            'variant = "visible"',
            'variant = "visible"\nversus = { variant = "window", base = "visible", tims = 2 }',
            r"claims\[mask.visible\].versus.tims: unknown key, did you mean 'times'",
        ),
        (
            'base = "isolated"',
            'base = "isolated"\nfactorial = { first = "visible", second = "window", shar = 1 }',
            "factorial.shar: unknown key, did you mean 'share'",
        ),
        (
            'base = "isolated"',
            'base = "isolated"\nfactorial = { first = "visible", second = "visible", '
            'both = "visible" }',
            "base, first, second and both must be four variants",
        ),
        (
            "= 64",
            '= 64\n"data.split" = "user"',
            r"variants\[window\].set: data.split decides which events are compared",
        ),
        ("= 64", "= 64\ndata.limit = 9", r"variants\[window\].set: data.limit decides"),
        ("= 64", '= 64\ndata.tasks = ["a"]', r"variants\[window\].set: data.tasks decides"),
        ("= 64", '= 64\ndata.dataset = "a"', r"variants\[window\].set: data.dataset decides"),
        ('variant = "visible"', 'variant = "isolated"', "compares the base with itself"),
        ('name = "window"', 'name = "visible"', "variants and references share a name: visible"),
        ('name = "dlrm"', 'name = "visible"', "variants and references share a name: visible"),
        ('name = "window"', 'name = "a,b"', r"variants\[a,b\].name: String should match"),
        ('preset = "dlrm"', "", r"references\[dlrm\].preset: Field required"),
        ("reported = -0.0015", "reported = 0.0", r"claims\[mask.visible\]: .* needs a tolerance"),
        ("version = 1", "version = 0", "version: .*greater than or equal to 1"),
        ("= 64", "= 64\nmodel.attention.window = 32", "model.attention.window is set twice"),
        ("= 64", "= 1979-05-27", r"variants\[window\].set.model.attention.window"),
        ('name = "isolated"', 'name = "isolated"\ndefault = false', "every run needs it"),
        ("version = 1", "version = ", "not a readable study"),
    ],
)
def test_a_broken_file_is_explained(file: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(GenrankError, match=message) as caught:
        load_study(edited(file, old, new))
    assert caught.value.message.startswith(f"{file}: ")
    assert caught.value.exit_code == ExitCode.USAGE
    assert "\n" not in caught.value.message


def test_rows_that_are_no_tables_are_explained(file: Path) -> None:
    file.write_text(
        textwrap.dedent("""
            name = "mask"
            version = 1
            title = "t"
            question = "q"
            base = "a"
            variants = ["a", "b"]
        """)
    )
    with pytest.raises(GenrankError, match=r"variants\[1\]: Input should be"):
        load_study(file)


def test_unknown_names_and_missing_files() -> None:
    with pytest.raises(GenrankError, match=r"unknown study 'bais'; allowed: .*bias") as caught:
        load_study("bais")
    assert caught.value.hint.startswith("did you mean 'bias'?")
    with pytest.raises(GenrankError, match=r"nowhere.toml: no such study"):
        load_study("nowhere.toml")


def test_a_study_is_immutable(file: Path) -> None:
    study: Study = load_study(file)
    with pytest.raises(ValueError, match="frozen"):
        study.version = 2  # type: ignore[misc]


def test_listing_and_loading_studies_needs_no_heavy_import() -> None:
    code = (
        "import sys; from genrank_cli.studies.study import *; load_study(list_studies()[0]); "
        "print({'torch', 'polars', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"
