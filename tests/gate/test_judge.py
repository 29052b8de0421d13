"""What the gate says of measurements: losses are caught and named, noise raises no alarm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from genrank_cli.gate.judge import Check, Outcome, judge, shift, verdict
from genrank_cli.gate.measurement import Failure, Measurement
from tests.gate.cases import MACHINE, SEEDS, measurement, pace, quality, suite

OTHER_DATA = quality().model_copy(update={"data_hash": "e" * 64})
ONE_SEED = quality().model_copy(update={"seeds": (0,), "auc": (0.7,)})


def checks(now: Measurement, baseline: Measurement | None = None) -> dict[str, Check]:
    return {check.id: check for check in judge(suite(), baseline or measurement(), now)}


def outcomes(now: Measurement, baseline: Measurement | None = None) -> dict[str, str]:
    return {name: check.outcome.value for name, check in checks(now, baseline).items()}


def said(now: Measurement, baseline: Measurement | None = None) -> Outcome:
    return verdict(list(checks(now, baseline).values()))


def test_nothing_changed() -> None:
    assert outcomes(measurement()) == dict.fromkeys(
        ["auc/feed/genrank", "auc/feed/dlrm", "speed/genrank step", "speed/dlrm step"], "passed"
    )
    assert said(measurement()) is Outcome.PASSED


def test_twenty_unchanged_runs_raise_no_alarm() -> None:
    """Simulated: other rounding (0.001 of AUC a seed), other rounds, disturbances, and what a run
    has of its own: 5 % that all share with the yardstick, 2 % without it, 1 % that each has alone.
    """
    found = []
    for run in range(20):
        draw = np.random.default_rng(run)
        shared = draw.normal(0, 0.05)
        ours = shared + draw.normal(0, 0.02)
        own = {name: float(np.exp(draw.normal(0, 0.01))) for name in ("genrank", "dlrm")}
        whole: dict[str, Any] = {name: float(np.exp(ours)) * factor for name, factor in own.items()}
        shaken = [
            q.model_copy(update={"auc": tuple(np.array(q.auc) + draw.normal(0, 0.001, len(SEEDS)))})
            for q in measurement().quality
        ]
        times = pace(seed=run + 1, yardstick=float(np.exp(shared)), **whole)
        found.append(said(measurement(quality=shaken, pace=times)))
    assert found == [Outcome.PASSED] * 20


@pytest.mark.parametrize("seed", range(5))
def test_a_loss_of_one_percent_is_caught_and_named(seed: int) -> None:
    draw = np.random.default_rng(seed)
    lost = quality()
    auc = np.array(lost.auc) * 0.99 + draw.normal(0, 0.001, len(SEEDS))
    now = measurement(
        quality=[lost.model_copy(update={"auc": tuple(auc)}), quality("dlrm")],
        pace=pace(seed=seed + 1),
    )
    found = checks(now)
    assert [name for name, c in found.items() if c.outcome is Outcome.REGRESSED] == [
        "auc/feed/genrank"
    ]
    change = found["auc/feed/genrank"].change
    assert change is not None
    assert change.value == pytest.approx(-0.0075, abs=0.0015)
    assert "AUC −0.00" in found["auc/feed/genrank"].reason
    assert said(now) is Outcome.REGRESSED


@pytest.mark.parametrize("seed", range(5))
def test_a_slowdown_of_a_fifth_is_caught_and_named(seed: int) -> None:
    now = measurement(pace=pace(seed=seed + 1, genrank=1.2))
    found = checks(now)
    assert [name for name, c in found.items() if c.outcome is Outcome.REGRESSED] == [
        "speed/genrank step"
    ]
    change = found["speed/genrank step"].change
    assert change is not None
    assert change.value == pytest.approx(1.2, rel=0.04)
    assert said(now) is Outcome.REGRESSED


def test_a_slower_machine_is_no_slower_program() -> None:
    now = measurement(pace=pace(seed=3, genrank=2.0, dlrm=2.0, yardstick=2.0))
    assert said(now) is Outcome.PASSED


def test_gains_pass() -> None:
    faster = pace(seed=1, genrank=0.5)
    assert said(measurement(quality=[quality(change=0.02), quality("dlrm")], pace=faster)) is (
        Outcome.PASSED
    )


def test_a_small_certain_loss_is_tolerated_and_a_doubtful_large_one_is_not_judged() -> None:
    small = measurement(quality=[quality(change=-0.003), quality("dlrm")])
    assert said(small) is Outcome.PASSED
    doubtful = measurement(quality=[quality(change=-0.006, noise=0.015), quality("dlrm")])
    assert outcomes(doubtful)["auc/feed/genrank"] == "cannot judge"
    assert "noise between seeds" in checks(doubtful)["auc/feed/genrank"].reason
    assert said(doubtful) is Outcome.CANNOT_JUDGE


@pytest.mark.parametrize(
    ("change", "noise", "outcome"),
    [
        (-0.006, 0.003, "regressed"),  # surely a loss, and in the mean more than is tolerated
        (-0.003, 0.003, "cannot judge"),  # surely a loss, perhaps more than is tolerated
        (-0.003, 0.001, "passed"),  # surely a loss, surely a tolerated one
        (-0.006, 0.015, "cannot judge"),  # in the mean more than is tolerated, perhaps no loss
    ],
)
def test_a_loss_counts_beyond_the_tolerance_and_beyond_the_noise(
    change: float, noise: float, outcome: str
) -> None:
    now = measurement(quality=[quality(change=change, noise=noise), quality("dlrm")])
    found = checks(now)["auc/feed/genrank"]
    assert found.outcome.value == outcome


def test_noisy_rounds_cannot_be_judged() -> None:
    now = measurement(pace=pace(seed=1, rounds=6, genrank=1.13))
    found = checks(now)["speed/genrank step"]
    assert found.change is not None
    assert found.change.low < 1.1 < found.change.value
    assert found.outcome is Outcome.CANNOT_JUDGE
    assert "noise between rounds" in found.reason


@pytest.mark.parametrize(
    ("fields", "name", "reason"),
    [
        ({"quality": (OTHER_DATA, quality("dlrm"))}, "auc/feed/genrank", "data eeeeeeeeeeee"),
        ({"quality": (ONE_SEED, quality("dlrm"))}, "auc/feed/genrank", "too few seeds"),
        ({"quality": (quality("dlrm"),)}, "auc/feed/genrank", "not measured"),
        ({"failures": (Failure(id="auc/feed/dlrm", reason="seed 1: it broke"),)},
         "auc/feed/dlrm", "it broke"),
        ({"environment": MACHINE | {"cpu": "two"}}, "speed", "another machine: cpu is 'two'"),
        ({"environment": MACHINE | {"attention": "blockwise"}}, "speed", "attention"),
        ({"pace": None}, "speed", "not measured"),
        ({"pace": pace().model_copy(update={"data_hash": "e"})}, "speed", "other data"),
    ],
    ids=["data", "seeds", "no-model", "failed", "cpu", "backend", "no-times", "timed-data"],
)  # fmt: skip
def test_what_cannot_be_judged(fields: dict[str, Any], name: str, reason: str) -> None:
    now = measurement(**fields)
    found = checks(now)[name]
    assert found.outcome is Outcome.CANNOT_JUDGE
    assert reason in found.reason
    assert said(now) is Outcome.CANNOT_JUDGE


def test_a_subject_that_vanished_is_not_passed() -> None:
    times = {k: v for k, v in pace().rounds_s.items() if k != "dlrm step"}
    now = measurement(pace=pace().model_copy(update={"rounds_s": times}))
    assert checks(now)["speed/dlrm step"].reason == "not measured in this run"
    assert said(now) is Outcome.CANNOT_JUDGE
    assert said(measurement(), now) is Outcome.CANNOT_JUDGE


def test_another_suite_is_not_comparable() -> None:
    now = measurement(quality=(quality(change=-0.1), quality("dlrm")))
    found = checks(now, measurement(suite_hash="0" * 64))
    assert {check.outcome for check in found.values()} == {Outcome.CANNOT_JUDGE}
    assert all("not comparable" in check.reason for check in found.values())


def test_another_machine_is_judged_by_auc_where_speed_may_stay_unjudged() -> None:
    other = {"environment": MACHINE | {"cpu": "two"}}
    fine = list(checks(measurement(**other)).values())
    assert verdict(fine) is Outcome.CANNOT_JUDGE
    assert verdict(fine, ["speed"]) is Outcome.PASSED
    lost = measurement(quality=(quality(change=-0.01), quality("dlrm")), **other)
    assert verdict(list(checks(lost).values()), ["speed"]) is Outcome.REGRESSED


def test_a_gate_that_judged_nothing_has_not_passed() -> None:
    skipped = Check("auc/real/dlrm", Outcome.SKIPPED, "not built")
    unjudged = Check("speed", Outcome.CANNOT_JUDGE, "another machine")
    assert verdict([skipped]) is Outcome.CANNOT_JUDGE
    assert verdict([unjudged], ["speed"]) is Outcome.CANNOT_JUDGE
    assert verdict([]) is Outcome.CANNOT_JUDGE
    assert verdict([skipped, Check("auc/a/b", Outcome.PASSED, "")]) is Outcome.PASSED


def test_optional_data_that_are_absent_are_skipped() -> None:
    now = measurement(
        quality=(quality(),), failures=(Failure(id="auc/feed/dlrm", reason="no", skipped=True),)
    )
    assert outcomes(now)["auc/feed/dlrm"] == "skipped"
    assert said(now) is Outcome.PASSED


def test_shift_covers_what_it_says() -> None:
    """Of two samples with a ratio of 1.3, each bound misses at most about 5 %."""
    draw = np.random.default_rng(0)
    missed_low = missed_high = 0
    for _ in range(600):
        old = np.exp(draw.normal(0, 0.1, 12))
        found = shift(old, 1.3 * np.exp(draw.normal(0, 0.1, 12)))
        assert found.low <= found.value <= found.high
        missed_low += found.low > 1.3
        missed_high += found.high < 1.3
    assert 600 * 0.02 < missed_low < 600 * 0.075
    assert 600 * 0.02 < missed_high < 600 * 0.075


def test_shift_of_inverse_and_of_equal_samples() -> None:
    old, new = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]
    there, back = shift(old, new), shift(new, old)
    assert there.value == pytest.approx(1 / back.value)
    assert there.low == pytest.approx(1 / back.high)
    assert shift(old, old).value == pytest.approx(1.0)
