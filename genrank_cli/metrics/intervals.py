"""Confidence intervals and tests for paired measurements: one value a seed, or a ratio a round."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from genrank_cli.errors import data_error
from genrank_cli.metrics.arrays import FloatArray

NAN = float("nan")
MOST_SIGN_FLIPS = 40  # the exact test holds 2^(n/2) sums in memory


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with a confidence interval; the bounds are nan where n < 2.

    `sd` is the deviation of one of the `n` units (seeds, rounds or users), √n times the standard
    error: what `minimum_detectable` takes. For ratios it is the deviation of the natural logarithm.
    """

    mean: float
    low: float
    high: float
    n: int
    sd: float


def paired_t(differences: ArrayLike, confidence: float = 0.95) -> Interval:
    """Student-t interval of the mean of paired differences [n], n ≥ 0.

    The right one over few seeds: a percentile bootstrap of 3 or 5 values covers 72 % or 82 % where
    95 % was asked for.
    """
    values = _finite("differences", differences)
    n = values.size
    if n < 2:
        return Interval(float(values[0]) if n else NAN, NAN, NAN, n, NAN)
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + confidence) / 2, n - 1)) * sd / math.sqrt(n)
    return Interval(mean, mean - half, mean + half, n, sd)


def geometric_ratio(ratios: ArrayLike, confidence: float = 0.95) -> Interval:
    """Geometric mean of ratios [n] > 0 with the t interval of their logarithms.

    A ratio and its inverse get inverse intervals, which an arithmetic mean would not give.
    """
    return _exponentiated(paired_t(_logarithms(ratios), confidence))


def exact_sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p-value of the sign-flip test of mean zero: share of the 2^n sign patterns whose
    |sum| reaches the observed one.

    Its minimum is 2 / 2^n, so five seeds never reach 0.05. Exact up to n = 40 (by meeting in the
    middle); nan for n = 0.
    """
    values = _finite("differences", differences)
    n = values.size
    if n > MOST_SIGN_FLIPS:
        raise data_error(
            f"the exact sign-flip test takes at most {MOST_SIGN_FLIPS} values, got {n}"
        )
    if not n:
        return NAN
    # Rounding must not turn a pattern that ties with the observed sum into a smaller one.
    threshold = abs(values.sum()) - 1e-12 * np.abs(values).sum()
    if threshold <= 0:
        return 1.0
    left = _signed_sums(values[: n // 2])
    right = np.sort(_signed_sums(values[n // 2 :]))
    reached = left.size * right.size - int(np.searchsorted(right, threshold - left).sum())
    return 2 * reached / 2.0**n


def resampled(
    estimate: float, replicates: FloatArray, n: int, confidence: float = 0.95
) -> Interval:
    """Percentile interval of bootstrap `replicates` [repetitions] of an estimate from `n` units."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(replicates, [tail, 1 - tail])
    sd = float(replicates.std(ddof=1)) * math.sqrt(n)
    return Interval(estimate, float(low), float(high), n, sd)


def _signed_sums(values: FloatArray) -> FloatArray:
    """Sums of `values` [n] under all 2^n sign patterns."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _exponentiated(log: Interval) -> Interval:
    return Interval(math.exp(log.mean), math.exp(log.low), math.exp(log.high), log.n, log.sd)


def _logarithms(ratios: ArrayLike) -> FloatArray:
    values = _finite("ratios", ratios)
    if np.any(values <= 0):
        raise data_error(f"ratios must be positive, found {values.min():g}")
    return np.log(values)


def _finite(name: str, values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not np.all(np.isfinite(array)):
        raise data_error(f"{name} must be a list of finite numbers, found {array.tolist()}")
    return array
