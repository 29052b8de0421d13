"""Claims judged from a study's runs: which are, by what, and what their reasons say."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from genrank_cli.errors import GenrankError
from genrank_cli.studies.claims import Claim
from genrank_cli.studies.judging import judge_claims
from genrank_cli.studies.measure import Measurements
from genrank_cli.studies.users import claim_over_users
from tests.studies.cases import claim, outcome, study
from tests.studies.test_measure import FOUND, record


@pytest.fixture
def no_predictions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records without files: nothing to resample users of."""
    monkeypatch.setattr("genrank_cli.studies.judging.claim_over_users", lambda *_: None)


def test_a_metric_that_is_nan_was_not_measured() -> None:
    """Users with one class only have no GAUC: the other seeds and claims go on."""
    some, none = (record(0.7, gauc, 0.5) for gauc in (0.6, float("nan")))
    none["test"]["click"]["gauc_user"] = float("nan")
    found = Measurements({"rab": {0: some, 1: some}, "none": {0: none, 1: some}}, "click")
    assert found.metric("none", "gauc_user") == {1: pytest.approx(1.4)}
    others = Claim.model_validate(claim("none", "auc", "difference", 0.1, task="others"))
    assert found.values(others, "none")[0] == 0.5  # of the only task that has one
    never = Measurements({"rab": {0: some, 1: some}, "none": {0: none, 1: none}}, "click")
    made = study(claims=[claim("none", "gauc_user", "difference", 0.1)])
    (judged,) = judge_claims(made, never, {})
    assert judged.reason == "gauc_user was not measured for none"


@pytest.mark.usefixtures("no_predictions")
def test_every_claim_is_judged_and_what_did_not_run_says_so() -> None:
    claims = (
        claim("none", "auc", "difference", 0.01),
        claim("none", "speed", "ratio", 2.0),
        claim("none", "flops.attention", "ratio", 0.25, tolerance=0.01),
        # Work is counted for rows that were not run as well.
        claim("none", "flops.attention", "ratio", 0.5, tolerance=0.01, id="half", base="doubled"),
        claim("window", "auc", "difference", 0.01, id="left.out"),
        claim("hstu", "auc", "difference", 0.01, id="not.run"),
        {"id": "online", "untestable": "needs live traffic", "source": "a paper", "paper": "+1 %"},
    )
    variants = [{"name": n, "preset": "hstu"} for n in ("rab", "none", "window", "hstu", "doubled")]
    made = study(variants=variants, claims=claims)
    judged = {c.id: c for c in judge_claims(made, FOUND, {"window": "no windows here"})}
    assert judged["not.run"].verdict == "not testable here"
    assert judged["not.run"].reason == "hstu not run (--variants)"
    assert judged["left.out"].verdict == judged["online"].verdict == "not testable here"
    assert judged["left.out"].reason == "no windows here"
    assert (judged["online"].reason, judged["online"].paper) == ("needs live traffic", "+1 %")
    assert judged["small.flops.attention"].verdict == judged["half"].verdict == "reproduced"
    assert judged["small.auc"].measured is not None
    assert judged["small.auc"].measured.mean == pytest.approx(0.015)
    assert judged["small.speed"].measured is not None
    assert judged["small.speed"].measured.mean == pytest.approx(2.0)


def gains(generative: list[float], other: list[float]) -> str:
    """Verdict on "at least twice the gain", with the gains of three seeds on both sides."""
    runs = {
        name: {seed: record(0.7 + gain, 0, 0) for seed, gain in enumerate(values)}
        for name, values in (("none", generative), ("alibi", other), ("rab", [0.0] * 3))
    }
    made = study(
        claims=[
            claim("none", "auc", "difference", 0.1)
            | {
                "reported": None,
                "direction": "up",
                "versus": {"variant": "alibi", "base": "rab", "times": 2},
            }
        ]
    )
    (judged,) = judge_claims(made, Measurements(runs, "click"), {})
    return judged.verdict


@pytest.mark.usefixtures("no_predictions")
def test_twice_the_gain_needs_a_gain() -> None:
    assert gains([0.050, 0.051, 0.052], [0.010, 0.011, 0.010]) == "reproduced"
    assert gains([0.015, 0.016, 0.015], [0.010, 0.011, 0.010]) == "contradicted"
    # Less lost than twice the other's loss is no gain.
    assert gains([-0.010, -0.011, -0.010], [-0.010, -0.011, -0.010]) != "reproduced"


def test_other_events_are_not_paired(tmp_path: Path) -> None:
    runs = {name: {0: outcome(name, 0, 0.5, tmp_path).record or {}} for name in ("rab", "none")}
    file = Path(runs["none"][0]["folder"]) / "predictions.parquet"
    pl.read_parquet(file).with_columns(pl.col("row") + 1).write_parquet(file)
    made = Claim.model_validate(claim("none", "auc", "difference", 0.1))
    with pytest.raises(GenrankError, match="rab was tested on other events"):
        claim_over_users(Measurements(runs, "click"), made, "rab")


@pytest.mark.usefixtures("no_predictions")
def test_the_reason_of_a_speed_says_where_it_was_measured() -> None:
    claims = [
        claim("none", "speed", "ratio", 2.0, note="an NVIDIA H20."),
        claim("none", "auc", "difference", 0.1),
    ]
    fast, auc = judge_claims(study(claims=claims), FOUND, {}, "tiny")
    assert fast.reason.endswith("; measured at size tiny on a CPU; the claim: an NVIDIA H20.")
    assert "size tiny" not in auc.reason


@pytest.mark.usefixtures("no_predictions")
def test_both_gains_stand_in_the_reason() -> None:
    other = {"variant": "none", "base": "rab"}
    runs = {
        name: {seed: record(auc + gain * seed, 0, 0) for seed in (0, 1, 2)}
        for name, auc, gain in (("rab", 0.7, 0.0), ("none", 0.71, 0.001), ("alibi", 0.72, 0.001))
    }
    made = study(claims=[claim("alibi", "auc", "difference", 0.0, tolerance=0.02, versus=other)])
    (judged,) = judge_claims(made, Measurements(runs, "click"), {})
    assert judged.verdict == "reproduced"
    assert ", the gains +0.021 [" in judged.reason
    assert "] and +0.011 [" in judged.reason
