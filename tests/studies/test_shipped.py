"""The shipped studies: every published claim has its place, and rows differ in what is studied."""

from __future__ import annotations

from typing import Any

import pytest

from genrank_cli.data.store import Manifest
from genrank_cli.studies.catalogue import claim_catalogue
from genrank_cli.studies.plan import Row, plan_rows, unmet
from genrank_cli.studies.study import list_studies, load_study
from genrank_cli.training.prepare import prepare
from tests.factory import MemoryStore, make_store

#: The claim ids of the papers' tables, with what is published: the size, or the direction.
PUBLISHED: dict[str, float | str] = {
    "org.speed": 1.787,
    "org.auc": -0.0003,
    "org.attention_cost": 0.25,
    "org.projection_cost": 0.5,
    "bias.speed": 1.25,
    "bias.auc": 0.0009,
    "both.speed": 1.948,
    "both.auc": 0.0006,
    "loss.history": -0.01,
    "mask.visible": -0.0015,
    "grouping.pointwise": 0.0,
    "module.sim": 0.0,
    "module.ppnet": 0.0,
    "module.ple": 0.0,
    "module.content": "up",
    "feature.most": 0.0,
    "feature.window": "down",
    "prod.main": 0.002,
    "prod.other": 0.001,
    "cold_start": "up",
    "online.time_spent": "needs an A/B test on live traffic",
    "online.reads": "needs an A/B test on live traffic",
    "online.engagements": "needs an A/B test on live traffic",
    "online.lt7": "needs an A/B test on live traffic",
    "cost.p99": "needs both models behind a serving system: see genrank bench serve",
    "cost.training": "down",
    "cost.inference": "needs the production DLRM and its features: see genrank bench serve",
    "cost.storage": "needs the production DLRM, whose features are what is stored",
}

#: Other readings of a published claim.
READINGS = {
    "loss.history.few",
    "mask.visible.candidates",
    "prod.main.gauc",
    "prod.other.gauc",
    "org.attention_cost.undoubled",
    "org.projection_cost.undoubled",
}

#: Claims that say "by more than", "above".
BOUNDS = {"loss.history", "loss.history.few", "mask.visible", "mask.visible.candidates"}
BOUNDS |= {"prod.main", "prod.main.gauc"}

STUDIES = {name: load_study(name) for name in list_studies()}
IN_ALL = {name: study for name, study in STUDIES.items() if not study.extra}


def planned(name: str, *settings: dict[str, Any]) -> dict[str, Row]:
    study = STUDIES[name]
    names = [variant.name for variant in study.variants]
    return {
        row.name: row for row in plan_rows(study, "d", "tiny", variants=names, settings=settings)
    }


def test_every_published_claim_is_judged_once() -> None:
    entries = claim_catalogue()
    assert sorted(entry.id for entry in entries) == sorted({*PUBLISHED, *READINGS})
    assert {entry.study for entry in entries} <= set(IN_ALL)
    assert all(entry.source and entry.paper for entry in entries)


def test_claims_say_what_was_published() -> None:
    claims = {claim.id: claim for study in IN_ALL.values() for claim in study.claims}
    for name, published in PUBLISHED.items():
        claim = claims[name]
        assert published == (
            claim.untestable or claim.direction if claim.reported is None else claim.reported
        ), name


def test_bounds_are_judged_as_bounds() -> None:
    claims = [claim for study in IN_ALL.values() for claim in study.claims]
    assert {claim.id for claim in claims if claim.bound == "at_least"} == BOUNDS
    words = ("more than", "above", "below")
    assert {c.id for c in claims if c.reported and any(w in c.paper for w in words)} <= BOUNDS


@pytest.mark.parametrize("name", list(STUDIES))
def test_rows_train_alike_but_for_what_they_are_about(name: str) -> None:
    """Equal budgets: only studies of sample organisations may batch their rows differently.

    Those of `modules` differ too, but each is batched like the row that it is compared with.
    """
    rows = planned(name).values()
    own = {"batch_events"} if name in ("grouping", "packing", "modules") else set()
    training = {
        row.config.training.model_dump_json(exclude=own) for row in rows if row.preset != "rates"
    }
    assert len(training) == 1


@pytest.mark.parametrize("name", ["loss", "mask"])
def test_studies_of_the_history_are_on_grouped_samples(name: str) -> None:
    for row in planned(name).values():
        assert row.config.data.samples.organization == "grouped"
        assert row.config.training.batch_events == 4096


def test_the_users_settings_win_over_the_studys_and_lose_to_a_variants() -> None:
    settings = {"training": {"epochs": 9}, "data": {"samples": {"history": 40}}}
    rows = planned("mask", settings)
    assert {row.config.training.epochs for row in rows.values()} == {9}
    assert {row.config.data.samples.history for row in rows.values()} == {40}
    assert {row.config.training.epochs for row in planned("mask").values()} == {3}
    short = planned("modules", settings)["genrank-short"]
    assert short.config.data.samples.history == 16


def test_both_changes_of_hstu_are_genrank() -> None:
    factorial = STUDIES["organization-x-bias"].factorial
    assert factorial is not None
    rows = planned("organization-x-bias")
    _, first, second, both = (v.set for v in STUDIES["organization-x-bias"].variants)
    assert both == {}
    combined = rows["hstu"].config.model.model_dump()
    for path, value in (first | second).items():
        *parents, last = path.removeprefix("model.").split(".")
        node = combined
        for parent in parents:
            node = node[parent]
        node[last] = value
    combined["attention"]["bias_form"] = "fused"  # ALiBi has no other
    assert combined == rows["genrank"].config.model.model_dump()


@pytest.mark.parametrize("module", ["sim", "ppnet", "ple", "content"])
def test_modules_are_compared_with_the_same_model_without_them(module: str) -> None:
    claims = {claim.id: claim for claim in STUDIES["modules"].claims}
    rows = planned("modules")
    claim = claims[f"module.{module}"]
    assert claim.versus is not None
    for variant, base in (
        (claim.variant, claim.base),
        (claim.versus.variant, claim.versus.base),
    ):
        with_it, without = (rows[name].config.model.model_dump() for name in (variant, base))
        for tree in (with_it, without):
            tree["modules"].pop(module, None)
            if module == "content":
                tree["features"].pop("content")
        assert with_it == without
        same = [rows[name].config.data.samples for name in (variant, base)]
        assert same[0].model_copy(update={"long_history": 0}) == same[1]
        assert rows[variant].config.training == rows[base].config.training
    assert [rows[name].preset for name in claim.rows("genrank")] == ["genrank"] * 2 + ["dlrm"] * 2


def test_what_a_dataset_lacks_is_named() -> None:
    store = make_store()
    left = {
        variant.name: reason
        for study in STUDIES.values()
        for variant in study.variants
        if (reason := unmet(variant, store))
    }
    assert left["no-windows"] == f"{store.manifest.name} has no window statistics"
    assert store.manifest.windows is None
    assert "genrank" not in left


def with_manifest(store: MemoryStore, manifest: Manifest) -> MemoryStore:
    return MemoryStore(manifest, {}, store.users, store.items)


def test_rows_that_would_test_nothing_are_left_out() -> None:
    """MovieLens has no context, and requests of one event have no candidates beside each other."""
    store = make_store(per_request=7)
    fields = store.manifest.model_copy(update={"user_fields": {"segment": None}})
    store = with_manifest(store, fields)
    counts = store.manifest.counts.model_copy(update={"requests": store.manifest.counts.events})
    poor = store.manifest.model_copy(update={"context": {}, "event_numbers": {}, "counts": counts})
    bare = with_manifest(store, poor)
    left = {
        f"{study.name}/{variant.name}": reason
        for study in STUDIES.values()
        for variant in study.variants
        if (reason := unmet(variant, bare)) and not unmet(variant, store)
    }
    few = f"{poor.name} has no requests of 2 events or more on average"
    assert left == {
        "mask/visible": few,
        "grouping/pointwise": few,
        "grouping/shuffled": few,
        "features/few": f"{poor.name} has no context columns",
        "features/no-context": f"{poor.name} has no context columns",
    }
    nobody = poor.model_copy(update={"user_fields": {}, "user_numbers": {}})
    few_row = next(v for v in STUDIES["features"].variants if v.name == "few")
    assert unmet(few_row, with_manifest(store, nobody)).endswith(
        "has no fields of users and no context columns"
    )


def test_samples_are_organised_on_equal_budgets() -> None:
    """Requests of 8 events, as the note of the study says: as many steps an epoch, within 10 %."""
    store = make_store(lengths=(400,) * 60, per_request=15)
    steps = {
        name: len(prepare(store, row.config).train.in_order())
        for name, row in planned("grouping").items()
    }
    assert min(steps.values()) > 10
    assert max(steps.values()) <= 1.1 * min(steps.values())


def test_both_sides_of_the_search_see_the_same_events() -> None:
    rows = planned("modules")
    short = rows["genrank-short"].config.data.samples
    for name in ("dlrm-short", "dlrm-short+sim"):
        config = rows[name].config
        assert config.model.model_dump()["recent"] == short.longest_history == 48
    long = planned("paradigm")["dlrm-long"].config
    assert long.model.model_dump()["recent"] == long.data.samples.history


def test_a_cell_of_several_studies_is_the_same_cell() -> None:
    store = make_store()
    genrank = {
        planned(study)[row].cell(0, store).key
        for study, row in (
            ("organization-x-bias", "genrank"),
            ("embeddings", "all"),
            ("attention", "silu"),
            ("scaling", "base"),
            ("cold-start", "genrank"),
            ("paradigm", "genrank"),
            ("modules", "genrank"),
            ("features", "all"),
            ("bias", "genrank"),
        )
    }
    assert len(genrank) == 1
    assert planned("mask")["causal"].config == planned("loss")["candidates"].config
    assert (
        planned("organization")["action"].config == planned("organization-x-bias")["action"].config
    )
