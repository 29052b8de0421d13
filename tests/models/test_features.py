"""Which columns reach a model, and that numbers keep the meaning they had in training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from genrank_cli.data.buckets import codes_of
from genrank_cli.errors import GenrankError
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import FEATURE_GROUPS, FeatureConfig
from genrank_cli.models.embeddings import EventEmbedding
from genrank_cli.models.schema import Schema
from genrank_cli.training import evaluate
from genrank_cli.training.config import ExperimentConfig, overlaid
from genrank_cli.training.evaluate import evaluate_run
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import Prepared, prepare
from genrank_cli.training.run import Cell, read_predictions, run_cell
from tests.factory import MemoryStore
from tests.features import number_store
from tests.training.small import CPU, small_config

KINDS = ("genrank", "hstu", "dlrm")


def config(model: str = "genrank", features: Mapping[str, Any] | None = None) -> ExperimentConfig:
    layer = {"model": {"features": features or {}}}
    return overlaid(small_config(model), layer)


def event_embedding(prepared: Prepared, settings: ExperimentConfig) -> EventEmbedding:
    ranker: nn.Module = build_ranker(settings.model, prepared.schema)
    embedding = ranker.event
    assert isinstance(embedding, EventEmbedding)
    return embedding


def test_the_schema_has_a_size_for_each_column_of_a_batch() -> None:
    store = number_store()
    prepared = prepare(store, config())
    schema = prepared.schema
    assert schema.context == (4,)
    assert schema.numbers == (5, 4)
    assert schema.windows == (len(schema.boundaries["window.user_1h_count"]) + 2,)
    batch = next(prepared.train.epoch(0, 0))
    for events in (batch.history, batch.candidates):
        sizes = torch.tensor(schema.context + schema.numbers + schema.windows)
        assert events.context.shape[1] == 4
        assert (events.context < sizes).all()
    assert (batch.history.context.max(dim=0).values == sizes - 1).all()


def test_a_batch_holds_the_codes_of_its_rows() -> None:
    store = number_store()
    prepared = prepare(store, config())
    names = ["number.price", "number.age", "window.user_1h_count"]
    assert list(prepared.schema.boundaries) == names
    for batch in prepared.test.epoch(0, 0):
        rows = batch.rows.numpy()
        assert np.array_equal(batch.candidates.context[:, 0], store.column("context.surface")[rows])
        for place, name in enumerate(names, start=1):
            expected = codes_of(store.column(name)[rows], prepared.schema.boundaries[name])
            assert np.array_equal(batch.candidates.context[:, place], expected)


@pytest.mark.parametrize(
    ("features", "columns", "item_fields"),
    [
        ({}, [0, 1, 2, 3], {"topic", "tags", "number:length"}),
        ({"windows": False}, [0, 1, 2], {"topic", "tags", "number:length"}),
        ({"context": False}, [3], {"topic", "tags", "number:length"}),
        ({"item_fields": False}, [0, 1, 2, 3], set()),
        (
            {"statistics": True},
            [0, 1, 2, 3],
            {"topic", "tags", "number:length", "statistic:plays"},
        ),
        ({"statistics": True, "item_fields": False}, [0, 1, 2, 3], {"statistic:plays"}),
    ],
    ids=["default", "no-windows", "no-context", "no-fields", "statistics", "statistics-alone"],
)
def test_switches_choose_the_columns(
    features: dict[str, bool], columns: list[int], item_fields: set[str]
) -> None:
    settings = config(features=features)
    embedding = event_embedding(prepare(number_store(), settings), settings)
    assert embedding.columns == columns
    assert set(embedding.item.fields) == item_fields


SWITCHES = {
    "item_id", "item_fields", "content", "context", "user_id", "user_fields", "windows",
    "statistics",
}  # fmt: skip
DEFAULT = {"item_id", "item_fields", "context", "user_fields", "windows"}


def switched_on(features: FeatureConfig) -> set[str]:
    return {name for name in SWITCHES if getattr(features, name)}


def test_every_switch_belongs_to_one_group() -> None:
    grouped = [switch for switches in FEATURE_GROUPS.values() for switch in switches]
    assert sorted(grouped) == sorted(SWITCHES)
    flags = {n for n, field in FeatureConfig.model_fields.items() if field.annotation is bool}
    assert flags == SWITCHES
    assert switched_on(FeatureConfig()) == DEFAULT


@pytest.mark.parametrize(
    ("given", "on"),
    [
        ({"only": ["ids"]}, {"item_id", "user_id"}),
        ({"only": "content"}, {"content"}),
        ({"only": "content, windows"}, {"content", "windows"}),
        ({"only": ["user_profile"], "item_fields": True}, {"user_fields"}),
        ({"only": ["item_id"]}, {"item_id"}),
        ({"only": []}, DEFAULT),
        ({"without": ["ids"]}, DEFAULT - {"item_id"}),
        ({"without": "context"}, DEFAULT - {"context"}),
        ({"without": ["content"], "content": True}, DEFAULT),
        ({"only": ["ids", "content"], "without": ["item_id"]}, {"user_id", "content"}),
    ],
    ids=lambda x: str(sorted(x) if isinstance(x, set) else x),
)
def test_groups_become_switches(given: dict[str, Any], on: set[str]) -> None:
    features = config(features=given).model.features  # type: ignore[union-attr]
    assert switched_on(features) == on
    assert features.only == features.without == ()


@pytest.mark.parametrize("group", FEATURE_GROUPS)
def test_all_but_one_and_only_one_group(group: str) -> None:
    every = FeatureConfig(only=tuple(FEATURE_GROUPS))
    assert switched_on(every) == SWITCHES
    own = set(FEATURE_GROUPS[group])
    assert switched_on(FeatureConfig(only=(group,))) == own
    rest = FeatureConfig.model_validate(every.model_dump() | {"without": [group]})
    assert switched_on(rest) == SWITCHES - own


def test_a_later_switch_holds() -> None:
    first = config(features={"only": ["item_fields"]})
    later = overlaid(first, {"model": {"features": {"item_id": True}}})
    assert switched_on(later.model.features) == {"item_id", "item_fields"}  # type: ignore[union-attr]


@pytest.mark.parametrize("key", ["only", "without"])
def test_an_unknown_group_is_refused(key: str) -> None:
    with pytest.raises(GenrankError, match=r"unknown feature group 'contents'.*'content'"):
        config(features={key: ["contents"]})
    with pytest.raises(GenrankError, match="5 is no list of feature groups"):
        config(features={key: 5})


@pytest.mark.parametrize("group", ["ids", "item_fields", "user_profile", "windows", "context"])
@pytest.mark.parametrize("model", KINDS)
def test_a_model_of_one_group_has_its_tables_only(model: str, group: str) -> None:
    settings = config(model, {"only": [group]})
    prepared = prepare(number_store(), settings)
    names = {
        name.removeprefix("event.")
        for name, _ in build_ranker(settings.model, prepared.schema).named_parameters()
        if name.startswith("event.")
    }
    own = {
        "ids": ("item.id.", "user.id."),
        "item_fields": ("item.fields.",),
        "user_profile": ("user.fields.",),
        "windows": ("context.",),
        "context": ("context.",),
    }[group]
    assert names
    assert all(name.startswith(own) for name in names)
    assert len([n for n in names if n.startswith("context.")]) == {"windows": 1, "context": 3}.get(
        group, 0
    )


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("model", KINDS)
def test_every_column_moves_the_scores(model: str, place: int) -> None:
    store, settings = number_store(), config(model)
    prepared = prepare(store, settings)
    torch.manual_seed(0)
    ranker = build_ranker(settings.model, prepared.schema).eval()
    output: Any = ranker.output
    nn.init.normal_(output.weight)
    batch = next(prepared.train.epoch(0, 0))
    with torch.no_grad():
        before = ranker(batch)
        batch.candidates.context[:, place] = 1 - batch.candidates.context[:, place].clamp(max=1)
        assert not torch.allclose(before, ranker(batch))


@pytest.mark.parametrize("model", KINDS)
def test_a_model_trains_on_numbers(model: str) -> None:
    settings = config(model, {"statistics": True})
    trainer = Trainer(prepare(number_store(), settings), settings, 0, CPU)
    trainer.fit()
    tables = {name: w for name, w in trainer.model.named_parameters() if "event." in name}
    assert any("number:length" in name for name in tables)
    fresh = Trainer(prepare(number_store(), settings), settings, 0, CPU).model.state_dict()
    for name, weight in tables.items():
        assert not torch.equal(weight, fresh[name]), name


def test_the_test_part_has_no_say_in_the_buckets() -> None:
    one, other = number_store(), number_store()
    part = prepare(one, config()).part
    for name in ("number.price", "window.user_1h_count"):
        other.column(name)[part > 0] = 12345.0
    boundaries = [prepare(store, config()).schema.boundaries for store in (one, other)]
    assert boundaries[0].keys() == boundaries[1].keys()
    for name in boundaries[0]:
        assert np.array_equal(boundaries[0][name], boundaries[1][name])


@pytest.fixture
def finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MemoryStore, Path, Any]:
    """A finished run on a store with numbers, and its record."""
    store = number_store()
    monkeypatch.setattr(evaluate, "ensure_store", lambda name: store)
    # All of a user's events fit: a candidate's history is then the same however windows are cut.
    whole = overlaid(config(), {"data": {"samples": {"history": 300}}})
    cell = Cell(whole, 0, store.manifest.data_hash)
    record = run_cell(cell, store, tmp_path, CPU, threads=1)
    return store, Path(record["folder"]), record


def test_a_run_loaded_again_scores_the_same(finished: tuple[MemoryStore, Path, Any]) -> None:
    _, folder, record = finished
    again, predictions = evaluate_run(folder, device="cpu", threads=1)
    assert again["metrics"] == record["test"]
    assert predictions.equals(read_predictions(record))


def test_another_split_at_evaluation_keeps_the_buckets_of_training(
    finished: tuple[MemoryStore, Path, Any],
) -> None:
    """The same event gets the same score, whatever else is evaluated with it."""
    store, folder, record = finished
    split = {"data": {"split": "leave-one-out"}}
    trained, moved = config(), overlaid(config(), split)
    kept = prepare(store, moved, trained).schema.boundaries
    assert np.array_equal(
        kept["number.price"], prepare(store, trained).schema.boundaries["number.price"]
    )
    assert not np.array_equal(
        kept["number.price"], prepare(store, moved).schema.boundaries["number.price"]
    )
    _, other = evaluate_run(folder, settings=[split], device="cpu", threads=1)
    both = other.join(read_predictions(record), on="row", suffix=".before")
    assert len(both) > 5
    assert both["score.click"].to_numpy() == pytest.approx(
        both["score.click.before"].to_numpy(), abs=1e-5
    )


def test_a_store_without_numbers_has_no_further_columns() -> None:
    from tests.training.small import small_store

    schema = Schema.of(small_store(), ("click",), 10)
    assert schema.numbers == schema.windows == ()
    assert schema.boundaries == {}
    assert set(schema.items.fields) == {"topic", "tags"}
