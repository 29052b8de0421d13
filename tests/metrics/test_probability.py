"""Log loss, normalised entropy and calibration against sklearn and by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss as sklearn_log_loss

from genrank_cli.errors import GenrankError
from genrank_cli.metrics.arrays import OneClassError
from genrank_cli.metrics.probability import (
    calibration,
    log_loss,
    normalized_entropy,
    reliability,
)


@pytest.fixture
def predictions() -> np.ndarray:
    return np.random.default_rng(0).beta(1, 4, 20_000)


@pytest.fixture
def labels(predictions: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).random(predictions.size) < predictions


def test_log_loss_equals_sklearn(labels: np.ndarray, predictions: np.ndarray) -> None:
    clipped = np.clip(predictions, 1e-7, 1 - 1e-7)
    assert log_loss(labels, predictions) == pytest.approx(sklearn_log_loss(labels, clipped))


def test_a_saturated_float32_prediction_stays_finite() -> None:
    assert log_loss([0], np.ones(1, np.float32)) == pytest.approx(-np.log(1e-7), rel=1e-6)


def test_the_base_rate_has_a_normalised_entropy_of_one(labels: np.ndarray) -> None:
    constant = np.full(labels.size, labels.mean())
    assert normalized_entropy(labels, constant) == pytest.approx(1.0, abs=1e-12)
    assert calibration(labels, constant) == pytest.approx(1.0, abs=1e-12)


def test_the_truth_beats_the_base_rate_and_a_distortion(
    labels: np.ndarray, predictions: np.ndarray
) -> None:
    truth = normalized_entropy(labels, predictions)
    assert truth < 1
    assert truth < normalized_entropy(labels, predictions**0.5)


def test_calibration_is_promised_over_seen() -> None:
    assert calibration([0, 0, 0, 1], [0.5] * 4) == pytest.approx(2.0)


def test_reliability_equals_sklearn(labels: np.ndarray, predictions: np.ndarray) -> None:
    bins = reliability(labels, predictions, bins=20)
    rate, mean = calibration_curve(labels, predictions, n_bins=20, strategy="quantile")
    np.testing.assert_allclose(bins.base_rate, rate)
    np.testing.assert_allclose(bins.mean_prediction, mean)
    np.testing.assert_allclose(bins.events, labels.size / 20, atol=1)


def test_expected_calibration_error_by_hand() -> None:
    bins = reliability([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2)
    np.testing.assert_allclose(bins.base_rate, [0.5, 1.0])
    assert bins.expected_calibration_error == pytest.approx((0.3 + 0.1) / 2)


def test_the_truth_has_nearly_no_calibration_error(
    labels: np.ndarray, predictions: np.ndarray
) -> None:
    assert reliability(labels, predictions).expected_calibration_error < 0.01
    assert reliability(labels, predictions / 2).expected_calibration_error > 0.05


def test_equal_predictions_share_a_bin() -> None:
    bins = reliability([0, 1, 1, 0], [0.3] * 4, bins=10)
    np.testing.assert_allclose(bins.events, [4])
    np.testing.assert_allclose(bins.base_rate, [0.5])


@pytest.mark.parametrize("metric", [normalized_entropy, calibration])
def test_undefined_without_a_positive(metric: Callable[..., float]) -> None:
    with pytest.raises(OneClassError, match="0 positive and 2 negative"):
        metric([0, 0], [0.1, 0.2])


def test_logits_are_refused_with_the_remedy() -> None:
    with pytest.raises(GenrankError, match=r"found -3 to 2\.5") as caught:
        log_loss([0, 1], [-3.0, 2.5])
    assert "sigmoid" in caught.value.hint


def test_no_events_and_no_bins_are_refused() -> None:
    for empty in (log_loss, reliability):
        with pytest.raises(GenrankError, match="no events"):
            empty([], [])
    with pytest.raises(GenrankError, match="at least one bin"):
        reliability([1], [0.5], bins=0)
