"""The dictionaries of whole tasks, regression errors and the reachable lift."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, roc_auc_score, root_mean_squared_error

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.arrays import OneClassError
from genrank_cli.metrics.evaluation import evaluate_predictions, evaluate_regression
from genrank_cli.metrics.lift import reachable_lift
from genrank_cli.metrics.regression import mae, rmse


@pytest.fixture
def feed() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = generator.beta(2, 5, 4000)
    return {
        "truth": truth,
        "labels": (generator.random(4000) < truth).astype(np.float32),
        "scores": np.clip(truth + generator.normal(0, 0.1, 4000), 0, 1).astype(np.float32),
        "user": np.repeat(np.arange(100, dtype=np.uint32), 40),
        "request": np.repeat(np.arange(800, dtype=np.uint32), 5),
    }


def test_binary_task(feed: dict[str, np.ndarray]) -> None:
    metrics = evaluate_predictions(**feed)
    assert list(metrics) == [
        "auc",
        "gauc_user",
        "gauc_user_event_share",
        "gauc_request",
        "gauc_request_event_share",
        "ne",
        "log_loss",
        "calibration",
        "base_rate",
        "events",
        "positives",
        "oracle_auc",
        "lift_share",
    ]
    assert all(type(value) is float for value in metrics.values())
    assert metrics["auc"] == pytest.approx(roc_auc_score(feed["labels"], feed["scores"]))
    assert metrics["positives"] == feed["labels"].sum() == metrics["base_rate"] * 4000
    assert metrics["gauc_user_event_share"] > metrics["gauc_request_event_share"] > 0.5
    assert 0.5 < metrics["auc"] < metrics["oracle_auc"]
    assert 0 < metrics["lift_share"] < 1


def test_without_truth_there_is_no_lift(feed: dict[str, np.ndarray]) -> None:
    del feed["truth"]
    metrics = evaluate_predictions(**feed)
    assert not {"oracle_auc", "lift_share"} & metrics.keys()


def test_one_class_is_refused(feed: dict[str, np.ndarray]) -> None:
    feed["labels"][:] = 0
    with pytest.raises(OneClassError):
        evaluate_predictions(**feed)


def test_regression_task_equals_sklearn(feed: dict[str, np.ndarray]) -> None:
    metrics = evaluate_regression(feed["truth"], feed["scores"])
    assert metrics["rmse"] == pytest.approx(root_mean_squared_error(feed["truth"], feed["scores"]))
    assert metrics["mae"] == pytest.approx(mean_absolute_error(feed["truth"], feed["scores"]))
    assert metrics["events"] == 4000
    assert metrics["mean_label"] == pytest.approx(2 / 7, abs=0.01)


@pytest.mark.parametrize("metric", [rmse, mae])
def test_regression_errors_refuse(metric: Callable[..., float]) -> None:
    with pytest.raises(GenrankError, match="no events"):
        metric([], [])
    with pytest.raises(GenrankError, match="2 values for 1 labels"):
        metric([1.0], [1.0, 2.0])


def test_reachable_lift() -> None:
    assert reachable_lift(0.7, 0.75) == pytest.approx(0.8)
    assert reachable_lift(0.5, 0.75) == 0.0
    assert reachable_lift(0.4, 0.75) < 0
    assert np.isnan(reachable_lift(0.7, 0.5))
    assert np.isnan(reachable_lift(0.7, float("nan")))
