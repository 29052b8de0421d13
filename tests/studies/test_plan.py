"""Rows of a study: who gets which settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.studies.plan import plan_rows
from genrank_cli.studies.study import list_studies, load_study
from tests.data.own import CARD, write_own
from tests.factory import make_store
from tests.studies.cases import rows, small, study


def test_base_comes_first_then_variants_then_references() -> None:
    planned = rows()
    assert [(row.name, row.role) for row in planned] == [
        ("rab", "variant"),
        ("none", "variant"),
        ("alibi", "variant"),
        ("dlrm", "reference"),
        ("rates", "reference"),
    ]
    assert [row.label for row in planned][3:] == ["DLRM", "rates"]
    assert planned[1].changes == {"model.attention.bias": "none"}


def test_picked_variants_keep_the_base_and_the_references() -> None:
    assert [row.name for row in rows(variants=["alibi"])] == ["rab", "alibi", "dlrm", "rates"]


def test_unknown_variant_is_named() -> None:
    with pytest.raises(GenrankError, match=r"study 'small': unknown variant 'alib'") as caught:
        rows(variants=["alib"])
    assert "alibi" in caught.value.hint


def test_a_variant_differs_from_the_base_in_its_changes_only() -> None:
    base, none, *_ = (row.config.model_dump() for row in rows())
    assert base["model"]["attention"].pop("bias") == "rab"
    assert none["model"]["attention"].pop("bias") == "none"
    assert base == none


def test_training_and_data_settings_reach_every_row() -> None:
    planned = rows({"training": {"epochs": 3}}, {"training": {"epochs": 5}})
    assert {row.config.training.epochs for row in planned} == {5}
    assert len({row.config.training.model_dump_json() for row in planned}) == 1
    assert len({row.config.data for row in planned}) == 1
    assert planned[0].config.data.dataset == "memory"


def test_model_settings_reach_the_rows_that_have_them() -> None:
    settings: dict[str, Any] = {
        "model": {"recent": 7, "attention": {"scale": "rsqrt"}, "features": {"content": True}}
    }
    models = {row.name: row.config.model.model_dump() for row in rows(settings)}
    assert models["dlrm"]["recent"] == 7
    assert "recent" not in models["rab"]
    assert {models[name]["attention"]["scale"] for name in ("rab", "none", "alibi")} == {"rsqrt"}
    assert "attention" not in models["dlrm"]
    assert all(models[name]["features"]["content"] for name in ("rab", "dlrm"))
    assert models["rates"] == {"kind": "rates", "prior_events": 10.0}


def test_a_variants_own_change_wins_over_common_settings() -> None:
    settings = {"model": {"attention": {"bias": "tables"}}}
    biases = [row.config.model.model_dump()["attention"]["bias"] for row in rows(settings)[:3]]
    assert biases == ["tables", "none", "alibi"]


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"model": {"blcks": 2}}, "model.blcks"),
        ({"model": {"attention": {"bais": "none"}}}, "model.attention.bais"),
        ({"training": {"epohcs": 2}}, "training.epohcs"),
        ({"dta": {"split": "user"}}, "dta"),
    ],
)
def test_unknown_fields_are_refused(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(GenrankError, match=named):
        rows(settings)


def test_cells_carry_the_data_and_the_seed() -> None:
    store, other = make_store(seed=0), make_store(seed=1)
    row = rows()[0]
    keys = {row.cell(seed, s).key for seed in (0, 1) for s in (store, other)}
    assert len(keys) == 4
    assert row.cell(1, other).data_hash == other.manifest.data_hash


@pytest.mark.parametrize("size", ["tiny", "base", "paper"])
@pytest.mark.parametrize("name", list_studies())
def test_shipped_studies_can_be_planned(name: str, size: str) -> None:
    shipped = load_study(name)
    names = [variant.name for variant in shipped.variants]
    planned = plan_rows(shipped, "synthetic", size, variants=names)
    assert [row.name for row in planned] == names + [r.name for r in shipped.references]
    variants = [row for row in planned if row.role == "variant"]
    assert len({row.config.model_dump_json() for row in variants}) == len(variants)


def test_a_variants_own_change_stays_its_own() -> None:
    """Data and training, too: it must not reach the rows planned after it."""
    variants = [
        {"name": "rab", "preset": "hstu"},
        {
            "name": "pointwise",
            "preset": "hstu",
            "set": {"data.samples.organization": "pointwise", "training.clip": 3.0},
        },
        {"name": "none", "preset": "hstu", "set": {"model.attention.bias": "none"}},
    ]
    common = small()
    planned = plan_rows(study(variants=variants), "memory", "tiny", settings=[common])
    organizations = {row.name: row.config.data.samples.organization for row in planned}
    assert organizations.pop("pointwise") == "pointwise"
    assert set(organizations.values()) == {"packed"}
    assert [row.config.training.clip for row in planned] == [1.0, 3.0, 1.0, 1.0, 1.0]
    assert common == small()


def test_a_cards_file_stands_for_its_dataset(tmp_path: Path) -> None:
    file = write_own(tmp_path, card=CARD) / "own.toml"
    assert {row.config.data.dataset for row in plan_rows(study(), str(file), "tiny")} == {"own"}
