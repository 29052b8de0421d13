"""Checked conversion of metric inputs, and the runs of equal values that rank metrics need."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from genrank_cli.errors import ExitCode, GenrankError, data_error

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class OneClassError(GenrankError):
    """The metric needs both positive and negative labels, and only one of them is there."""


def one_class(metric: str, positives: float, negatives: float) -> OneClassError:
    """The `OneClassError` of `metric`, naming what was found (counts or weights)."""
    return OneClassError(
        f"{metric} is undefined: {positives:g} positive and {negatives:g} negative labels",
        "evaluate a larger slice, or leave this metric out for it",
        ExitCode.DATA,
    )


def binary_labels(labels: ArrayLike) -> BoolArray:
    """`labels` [n] of any numeric dtype as booleans; a value other than 0 and 1 is refused."""
    array = _vector("labels", labels)
    positive: BoolArray = array == 1
    if not np.all(positive | (array == 0)):
        wrong = array[~(positive | (array == 0))][0]
        raise data_error(f"labels must be 0 or 1, found {wrong}")
    return positive


def real_values(name: str, values: ArrayLike, size: int) -> FloatArray:
    """`values` [size] as float64; NaN and a wrong length are refused, infinities are kept."""
    array = aligned(name, values, size).astype(np.float64)
    undefined = int(np.isnan(array).sum())
    if undefined:
        raise data_error(f"{name} holds {undefined} NaN among {size} values")
    return array


def probabilities(values: ArrayLike, size: int) -> FloatArray:
    """`values` [size] as float64 in [0, 1]; anything else is refused (logits, for example)."""
    array = real_values("predictions", values, size)
    if size and (array.min() < 0 or array.max() > 1):
        raise data_error(
            f"predictions must be probabilities, found {array.min():g} to {array.max():g}",
            "apply the sigmoid to logits first",
        )
    return array


def sample_weights(weights: ArrayLike | None, size: int) -> FloatArray:
    """`weights` [size] as float64, ones by default; negative and infinite weights are refused."""
    if weights is None:
        return np.ones(size)
    array = real_values("weights", weights, size)
    if size and (array.min() < 0 or np.isinf(array.max())):
        raise data_error("weights must be finite and not negative")
    return array


def aligned(name: str, values: ArrayLike, size: int) -> NDArray[Any]:
    """`values` as an array, refused unless it has the shape [size]."""
    array = _vector(name, values)
    if array.size != size:
        raise data_error(f"{name} has {array.size} values for {size} labels")
    return array


def run_starts(*keys: NDArray[Any]) -> IntArray:
    """First index of each run of rows that are equal in all of `keys` (sorted, each [n], n > 0)."""
    changed = np.zeros(keys[0].size, dtype=np.bool_)
    changed[:1] = True
    for key in keys:
        changed[1:] |= key[1:] != key[:-1]
    return np.flatnonzero(changed)


def _vector(name: str, values: ArrayLike) -> NDArray[Any]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise data_error(f"{name} must have one dimension, found shape {array.shape}")
    return array
