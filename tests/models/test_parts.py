"""The floor, the target attention's window, the buckets, and what a configuration refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from genrank_cli.errors import GenrankError
from genrank_cli.models.build import build_ranker
from genrank_cli.models.config import RatesConfig
from genrank_cli.models.embeddings import GAP_ROWS, ActionEmbedding, gap_bucket, index_bucket
from genrank_cli.models.modules.din import recent_events
from genrank_cli.models.presets import PRESETS, SIZES, preset
from genrank_cli.models.rates import predict_rates
from tests.factory import make_store
from tests.models.cases import LOG, make_batcher, make_model, make_schema, model_config, scores


def test_rates_are_smoothed_and_added_as_log_odds() -> None:
    user, item = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 1, 0, 0, 1, 2])
    labels = np.array([1.0, 0, 1, 0, 1, 1])
    fit = np.array([1, 1, 1, 1, 0, 0], bool)
    found = predict_rates(
        RatesConfig(prior_events=2.0), (user, item), labels, fit, np.array([4, 5]), "binary"
    )
    overall = 2 / 4
    rate = {
        "user 1": (0 + 2 * overall) / (1 + 2),
        "item 1": (0 + 2 * overall) / (1 + 2),
        "user 2": overall,  # never seen in training: the overall rate
        "item 2": overall,
    }

    def odds(p: float) -> float:
        return math.log(p / (1 - p))

    expected = [
        1 / (1 + math.exp(-(odds(rate["user 1"]) + odds(rate["item 1"]) - odds(overall)))),
        overall,
    ]
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_rates_of_a_task_with_one_class_in_training_are_that_class(label: float) -> None:
    codes = (np.array([0, 1, 0, 1]), np.array([0, 1, 1, 0]))
    labels, fit = np.array([label, label, 1 - label, label]), np.array([1, 1, 0, 0], bool)
    found = predict_rates(RatesConfig(), codes, labels, fit, np.array([2, 3]), "binary")
    assert found.tolist() == [label, label]


def test_rates_of_a_regression_task_add_the_means() -> None:
    codes = (np.array([0, 0, 1]), np.array([0, 1, 0]))
    labels, fit = np.array([10.0, 20.0, 60.0]), np.array([1, 1, 1], bool)
    found = predict_rates(
        RatesConfig(prior_events=1.0), codes, labels, fit, np.array([0]), "regression"
    )
    user, item = (10 + 20 + 30) / 3, (10 + 60 + 30) / 3
    assert found == pytest.approx([user + item - 30])


def test_rates_never_read_labels_outside_the_fitted_rows() -> None:
    random = np.random.default_rng(0)
    codes = (random.integers(0, 5, 50), random.integers(0, 9, 50))
    labels, fit = random.integers(0, 2, 50).astype(float), np.arange(50) < 30
    wanted = np.arange(30, 50)
    flipped = np.where(fit, labels, 1 - labels)
    one = predict_rates(RatesConfig(), codes, labels, fit, wanted, "binary")
    other = predict_rates(RatesConfig(), codes, flipped, fit, wanted, "binary")
    assert np.array_equal(one, other)
    assert ((one > 0) & (one < 1)).all()


def test_target_attention_sees_the_newest_events_first() -> None:
    batcher = make_batcher(LOG, history=7)
    batch = batcher.batch(np.arange(len(batcher.samples)))
    rows, valid = recent_events(batch, 5)
    sample = torch.arange(batch.samples).repeat_interleave(batch.candidate_lengths)
    for i in range(len(batch.rows)):
        first, prefix = int(batch.history_offsets[sample[i]]), int(batch.prefix[i])
        newest = list(range(first + prefix - 1, first + max(0, prefix - 5) - 1, -1))
        assert rows[i][valid[i]].tolist() == newest
    assert valid.all(dim=1).any()
    assert not valid.any(dim=1).all()


def test_dlrm_ignores_what_is_older_than_its_window() -> None:
    store, longer = make_store((25,), per_request=1), make_store((25,), per_request=1)
    longer._columns["actions"] = store.column("actions").copy()
    longer._columns["actions"][:10] ^= 3
    model = make_model("dlrm", store, recent=6)
    before, after = (
        scores(model, (b := make_batcher(s, "grouped")), np.arange(len(b.samples)))
        for s in (store, longer)
    )
    assert all(torch.equal(before[row], after[row]) for row in range(16, 25))
    assert not torch.equal(before[15], after[15])


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [
        (-1, 0),
        (0, 1),
        (0.6, 1),
        (0.7, 2),
        (math.expm1(2.01), 5),
        (86_400, 23),
        (1e12, GAP_ROWS - 1),
    ],
)
def test_gap_buckets(seconds: float, bucket: int) -> None:
    assert gap_bucket(torch.tensor([seconds], dtype=torch.float32)).tolist() == [bucket]


def test_place_buckets_never_decrease_and_stay_in_the_table() -> None:
    buckets = index_bucket(torch.arange(5000))
    assert buckets[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 9, 9]
    assert (buckets.diff() >= 0).all()
    assert (buckets.diff() <= 1).all()
    assert (buckets <= torch.arange(5000)).all()
    assert index_bucket(torch.tensor([16, 32, 64])).tolist() == [12, 16, 20]


def test_actions_add_up() -> None:
    action = ActionEmbedding(3, 4)
    out = action(torch.tensor([0, 5]))
    assert torch.equal(out[0], action.seen)
    torch.testing.assert_close(out[1], action.seen + action.weight[0] + action.weight[2])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_every_size(name: str, size: str) -> None:
    assert preset(name, size).kind in {"generative", "dlrm", "rates"}


def test_unknown_preset_and_size() -> None:
    with pytest.raises(GenrankError, match=f"unknown model 'hsut'.*{', '.join(sorted(PRESETS))}"):
        preset("hsut")
    with pytest.raises(GenrankError, match=r"unknown size 'huge'.*base, paper, tiny"):
        preset("hstu", "huge")


def test_content_needs_content_vectors() -> None:
    schema = make_schema(LOG)
    schema = replace(schema, items=replace(schema.items, content=None))
    with pytest.raises(GenrankError, match="no content vectors") as caught:
        build_ranker(model_config("genrank"), schema)
    assert "model.features.content=false" in caught.value.hint


@pytest.mark.parametrize("name", ["genrank", "dlrm"])
def test_a_model_without_features_says_so(name: str) -> None:
    off = dict.fromkeys(
        ["item_id", "item_fields", "content", "context", "user_id", "user_fields"], False
    )
    batcher = make_batcher(LOG)
    batch = batcher.batch(np.array([0]))
    with pytest.raises(GenrankError, match="every feature of the model is off"):
        build_ranker(model_config(name, features=off), make_schema(LOG))(batch)
