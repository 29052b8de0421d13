"""The calibration's bookkeeping on made-up runs, and once on real ones."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest

from genrank_cli.errors import ExitCode, GenrankError
from genrank_cli.metrics.power import minimum_detectable
from genrank_cli.report import render
from genrank_cli.report.calibration import calibration_table, write_calibration
from genrank_cli.studies.calibration import (
    AIM,
    PILOT_SEED,
    Effect,
    Plan,
    planted_effect,
    rate,
    seed_rates,
    studies,
    tune,
    unadjusted_rate,
)
from genrank_cli.studies.calibration_record import CalibrationRecord, calibrate
from genrank_cli.studies.calibration_runs import Pool, Workshop
from genrank_cli.studies.calibration_users import Scored, user_rates
from tests.conftest import Cli

PLAN = Plan(repetitions=200, seeds=5, pilots=400)
SD = 0.01


class Dice:
    """Runs whose AUC is normal around a level that falls with the users left out."""

    def __init__(self, slope: float = 0.05) -> None:
        self.slope, self.asked = slope, 0

    key, train_users = "dice", 300

    def auc(self, seed: int, users: int) -> float:
        self.asked += 1
        noise = np.random.default_rng([seed, users]).normal(0, SD)
        return float(0.7 - self.slope * (1 - users / 300) + noise)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return Pool(Dice(), tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def users(pool: Pool) -> int:
    return tune(pool, PLAN)


def test_the_planted_dose_loses_what_is_detectable(users: int) -> None:
    wanted = AIM * minimum_detectable(SD * np.sqrt(2), PLAN.seeds)
    assert 0.05 * (1 - users / 300) == pytest.approx(wanted, rel=0.1)


def test_repetitions_share_no_run(pool: Pool, users: int) -> None:
    made = studies(pool, PLAN, users)
    assert made.identical.shape == made.planted.shape == (200, 5)
    assert made.several.shape == (100, 3, 5)
    auc = {seed: pool.aucs(300, [seed])[0] for seed in range(2000)}
    assert made.identical[7, 2] == auc[77] - auc[72]
    assert made.several[3, 1, 4] == auc[60 + 14] - auc[60 + 4]
    assert made.planted[7, 2] == pool.aucs(users, [37])[0] - auc[37]
    assert np.unique(np.abs(made.identical)).size == made.identical.size
    assert PILOT_SEED > 2000


def test_promises_hold_for_normal_runs(pool: Pool, users: int) -> None:
    made = studies(pool, PLAN, users)
    effect = planted_effect(made, users, 300)
    assert effect.mean == pytest.approx(-0.05 * (1 - users / 300), abs=0.002)
    assert effect.sd == pytest.approx(SD * np.sqrt(2), rel=0.05)
    assert effect.detectable == minimum_detectable(effect.sd, 5)
    assert 0.75 < effect.expected_power < 0.92
    rates = seed_rates(made, effect)
    assert {found.verdict for found in rates} <= {"kept", "not excluded"}
    assert [found.n for found in rates] == [200, 100, *[200] * 6]
    assert rates[2].rate == pytest.approx(effect.expected_power, abs=0.08)
    assert unadjusted_rate(made).rate > rates[1].rate
    assert unadjusted_rate(made).verdict == "–"


def test_a_broken_instrument_is_called_so(pool: Pool, users: int) -> None:
    """Differences that lean one way, as a leak between variants would make them."""
    made = studies(pool, PLAN, users)
    leaning = type(made)(made.identical + 0.02, made.planted + 0.02, made.several + 0.02)
    effect = planted_effect(made, users, 300)
    rates = seed_rates(leaning, effect)
    assert [found.verdict for found in rates[:4]] == ["broken"] * 4


def test_runs_are_kept_and_the_time_is_respected(tmp_path: Path) -> None:
    dice = Dice()
    first = Pool(dice, tmp_path).aucs(200, range(30))
    again = Pool(dice, tmp_path)
    assert np.array_equal(again.aucs(200, range(30)), first)
    assert dice.asked == again.finished == 30
    late = Pool(dice, tmp_path, deadline=time.monotonic() - 1)
    assert np.array_equal(late.aucs(200, [3]), first[3:4])
    with pytest.raises(GenrankError, match="is over") as stopped:
        late.aucs(200, range(31))
    assert stopped.value.exit_code is ExitCode.PARTIAL
    assert Pool(dice, tmp_path).aucs(100, [3]) != first[3]


def test_too_few_seeds_detect_nothing(tmp_path: Path) -> None:
    with pytest.raises(GenrankError, match="5 seeds detect no planted effect"):
        tune(Pool(Dice(slope=0.01), tmp_path), Plan(10, 5, 40))


@pytest.mark.parametrize(
    ("bound", "promised", "hits", "verdict"),
    [
        ("at most", 0.05, 10, "kept"),
        ("at most", 0.05, 13, "not excluded"),
        ("at most", 0.05, 20, "broken"),
        ("at least", 0.8, 160, "kept"),
        ("at least", 0.8, 152, "not excluded"),
        ("at least", 0.8, 140, "broken"),
        ("about", 0.95, 186, "kept"),
        ("about", 0.95, 199, "broken"),
        ("about", 0.95, 180, "broken"),
        ("for comparison", 0.95, 3, "–"),
    ],
)
def test_a_rate_is_judged_by_its_interval(
    bound: str, promised: float, hits: int, verdict: str
) -> None:
    marks = [True] * hits + [False] * (200 - hits)
    found = rate("q", "t", bound, promised, marks)  # type: ignore[arg-type]
    assert found.verdict == verdict
    assert (found.rate, found.hits, found.n) == (hits / 200, hits, 200)


def test_the_binomial_interval_is_the_exact_one() -> None:
    """Clopper-Pearson for 10 of 200: 2.42 % to 9.00 %."""
    found = rate("q", "t", "at most", 0.05, [True] * 10 + [False] * 190)
    assert (found.low, found.high) == pytest.approx((0.0242, 0.0900), abs=1e-4)


def test_users_are_cut_into_groups_that_share_nobody() -> None:
    random = np.random.default_rng(0)
    user = random.permutation(np.repeat(np.arange(1200), 8))
    taste = random.normal(0, 1, (2, 1200))[:, user]
    truth = random.normal(0, 1, 9600)
    labels = (truth + taste[0] > 0.3).astype(float)
    base = truth + random.normal(0, 1, (2, 9600))
    scored = Scored(labels, user, base, base + taste[1])
    found = user_rates(scored, repetitions=500, group_users=30)
    assert [each.n for each in found] == [40, 40, 40]
    by_bootstrap, by_user, by_event = (each.rate for each in found)
    assert by_event < by_user
    assert min(by_bootstrap, by_user) > 0.8


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> CalibrationRecord:
    """Four studies of two seeds, really trained."""
    feed = {
        "options": {
            "users": 500,
            "items": 40,
            "authors": 8,
            "requests": 3.0,
            "candidates": [3, 4],
        },
        "split": {"name": "user", "train": 0.2, "valid": 0.1, "test": 0.7},
    }
    runs = tmp_path_factory.mktemp("runs")
    return calibrate(Plan(4, 2, 4), Frugal(feed, 60), runs)


class Frugal(Workshop):
    """Real training, but so that the dose matters at once."""

    def auc(self, seed: int, users: int) -> float:
        return super().auc(seed, users) - 5 * (1 - users / self.train_users)


def test_real_runs_make_a_record_that_reads_back(record: CalibrationRecord, tmp_path: Path) -> None:
    assert isinstance(record.effect, Effect)
    assert len(record.auc) == 16
    assert len(record.auc_planted) == 8
    assert record.runs >= 16 + 8
    assert np.std(record.auc) > 0
    files = write_calibration(record, tmp_path / "out")
    assert [file.name for file in files] == ["calibration.json", "calibration.md"]
    again = CalibrationRecord.model_validate(json.loads(files[0].read_text()))
    assert again == record
    text = files[1].read_text()
    assert "identical" in text
    assert record.environment["torch"] in text


def test_the_table_says_what_was_promised(record: CalibrationRecord) -> None:
    text = render(calibration_table(record), "md")
    assert "≤ 5 %" in text
    assert "≥ 80 %" in text
    assert "half as many repetitions (2)" in text
    assert f"instead of {record.effect.users_of_base}" in text
    assert text.count("+ kept") + text.count("~ not excluded") + text.count("x broken") >= 10


def test_the_command_prints_and_writes(
    record: CalibrationRecord, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Plan, Path, float | None]] = []

    def made(plan: Plan, workshop: Workshop, folder: Path, deadline: float | None, on_run: object):  # type: ignore[no-untyped-def]
        asked.append((plan, folder, deadline))
        return record

    whole = [
        one.model_copy(update={"rate": one.promised, "low": 0, "high": 1}) for one in record.rates
    ]
    record = record.model_copy(update={"rates": whole})
    monkeypatch.setattr("genrank_cli.studies.calibration_record.calibrate", made)
    options = ("--repetitions", "8", "--per-study", "3", "--pilots", "12", "--runs", str(tmp_path))
    out = tmp_path / "results"
    shown = cli("calibrate", *options, "--out", str(out))
    assert shown.code == 0, shown.err
    assert "called significant" in shown.out
    assert str(out / "calibration.md") in shown.err
    assert asked[0] == (Plan(8, 3, 12), tmp_path / "calibration", None)
    as_json = cli("calibrate", *options, "--json", "--budget", "5m")
    assert CalibrationRecord.model_validate(json.loads(as_json.out)) == record
    assert asked[1][2] is not None
    for option in ("--out", "--runs"):
        for place in (out / "calibration.md", out / "calibration.md" / "deeper"):
            refused = cli("calibrate", option, str(place))
            assert refused.code == 2
            assert option in refused.err
    assert len(asked) == 2
    lost = whole[0].model_copy(update={"rate": 0.3, "low": 0.2, "high": 0.4})
    record = record.model_copy(update={"rates": [lost, *whole[1:]]})
    broken = cli("calibrate", *options)
    assert broken.code == 3
    assert "x broken" in broken.out
    assert "broken promises: called significant (identical)" in broken.err


def test_a_damaged_file_of_runs_is_named(tmp_path: Path) -> None:
    Pool(Dice(), tmp_path).aucs(200, range(3))
    [file] = tmp_path.glob("*.json")
    for text in ("{", "[]", '{"x": 1}', '{"1": null}'):
        file.write_text(text)
        with pytest.raises(GenrankError, match=file.name) as caught:
            Pool(Dice(), tmp_path).aucs(200, [0])
        assert caught.value.exit_code is ExitCode.DATA
