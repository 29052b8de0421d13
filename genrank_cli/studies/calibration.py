"""Does the instrument keep its promises? Studies whose answer is known, run many times.

Real models are trained on the synthetic feed (`calibration_runs`), and what every study relies on
is asked of them: the paired t-interval, Holm's adjustment, the equality and the non-inferiority
test, and the bootstrap over users.

- *Identical*: a study of two identical variants. With the same seed they would agree to the last
  bit, so the variant has seeds of its own: k runs against k other runs, paired as variants are.
- *Planted*: the variant learns from fewer users, as many fewer as make its true effect the size
  that the report calls detectable at k seeds. Paired by seed, as variants are. The number of users
  is found with pilot runs whose seeds are used for nothing else; the true effect, the deviation and
  so the detectable effect are then those of the whole pool of runs.
- *Users*: groups of test users that share nobody, each a small test set; the truth is the
  difference over all of them.

No run is part of two repetitions of one row of the table, so repetitions are independent and the
number of hits is binomial: each rate has its exact (Clopper-Pearson) 95 % interval. Different rows
share runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import ConfigDict
from scipy import stats

from genrank_cli.data.declare import Frozen
from genrank_cli.errors import GenrankError
from genrank_cli.metrics.arrays import FloatArray
from genrank_cli.metrics.equivalence import equivalence
from genrank_cli.metrics.intervals import Interval, paired_t
from genrank_cli.metrics.noninferiority import Outcome, non_inferiority
from genrank_cli.metrics.power import (
    minimum_detectable,
    paired_t_power,
    smallest_equivalence_margin,
    smallest_noninferiority_margin,
)
from genrank_cli.studies.calibration_runs import Pool
from genrank_cli.studies.statement import Statement
from genrank_cli.studies.verdict import Measured, Verdict, judge_study

PILOT_SEED = 1_000_000  # the first pilot's; far from those of the studies
AIM = 1.05  # times the detectable effect: pilots know the true one to about ± 5 %
TUNING_STEPS = 5
VARIANTS = 3  # of the identical studies that need Holm's adjustment
FOUND = (Verdict.REPRODUCED, Verdict.CONTRADICTED)

Bound = Literal["at most", "at least", "about", "for comparison"]


@dataclass(frozen=True)
class Plan:
    """How many studies of how many seeds; pilot runs per dose tried."""

    repetitions: int = 200
    seeds: int = 5
    pilots: int = 120


class Rate(Frozen):
    """How often something happened in `n` independent repetitions, beside what was promised."""

    question: str
    truth: str
    bound: Bound
    promised: float
    hits: int
    n: int
    rate: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """`kept`; `not excluded`: the interval holds the promise, the rate does not; `broken`."""
        if self.bound == "for comparison":
            return "–"
        kept = {
            "at most": self.rate <= self.promised,
            "at least": self.rate >= self.promised,
            "about": self.low <= self.promised <= self.high,
        }[self.bound]
        if kept:
            return "kept"
        return "not excluded" if self.low <= self.promised <= self.high else "broken"


class Effect(Frozen):
    """The planted change: its dose, its true size, and what k seeds can detect."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    users: int
    users_of_base: int
    mean: float
    low: float
    high: float
    sd: float
    detectable: float
    expected_power: float


@dataclass(frozen=True)
class Studies:
    """Differences variant − base of all repetitions, [repetitions, seeds]."""

    identical: FloatArray
    planted: FloatArray
    several: FloatArray  # [repetitions / 2, VARIANTS, seeds]: identical ones against one base


def rate(
    question: str, truth: str, bound: Bound, promised: float, hits: list[bool] | list[np.bool_]
) -> Rate:
    """The share of `hits` with its exact 95 % binomial interval."""
    count, n = int(sum(hits)), len(hits)
    interval = stats.binomtest(count, n).proportion_ci(method="exact")
    return Rate(
        question=question,
        truth=truth,
        bound=bound,
        promised=promised,
        hits=count,
        n=n,
        rate=count / n,
        low=float(interval.low),
        high=float(interval.high),
    )


def tune(pool: Pool, plan: Plan) -> int:
    """Users to learn from, so that what is lost is `AIM` times the detectable effect.

    By bisection, then linear between the last two doses. Raises `GenrankError` where even a tenth
    of the users loses too little.
    """
    seeds = range(PILOT_SEED, PILOT_SEED + plan.pilots)
    everyone = pool.trained.train_users
    base = pool.aucs(everyone, seeds)

    def size(users: int) -> float:
        lost = paired_t(pool.aucs(users, seeds) - base)
        return -lost.mean / minimum_detectable(lost.sd, plan.seeds)

    few, many = everyone // 10, everyone
    at_few, at_many = size(few), 0.0
    if at_few < AIM:
        raise GenrankError(f"{plan.seeds} seeds detect no planted effect", "use more --per-study")
    for _ in range(TUNING_STEPS):
        middle = (few + many) // 2
        found = size(middle)
        if found > AIM:
            few, at_few = middle, found
        else:
            many, at_many = middle, found
    share = (at_few - AIM) / (at_few - at_many)
    return round(few + share * (many - few))


def studies(pool: Pool, plan: Plan, users: int) -> Studies:
    """Train what is missing, and pair it. Seeds are used in order, each once per kind of study."""
    k, n = plan.seeds, plan.repetitions
    base = pool.aucs(pool.trained.train_users, range(2 * k * n))
    planted = pool.aucs(users, range(k * n)) - base[: k * n]
    pairs = base.reshape(n, 2, k)
    groups = base[: n // 2 * 4 * k].reshape(-1, VARIANTS + 1, k)
    return Studies(
        identical=pairs[:, 1] - pairs[:, 0],
        planted=planted.reshape(n, k),
        several=groups[:, 1:] - groups[:, :1],
    )


def planted_effect(made: Studies, users: int, users_of_base: int) -> Effect:
    """The true effect and its deviation, estimated from all planted runs together."""
    k = made.planted.shape[1]
    whole = paired_t(made.planted.ravel())
    return Effect(
        users=users,
        users_of_base=users_of_base,
        mean=whole.mean,
        low=whole.low,
        high=whole.high,
        sd=whole.sd,
        detectable=minimum_detectable(whole.sd, k),
        expected_power=paired_t_power(whole.mean, whole.sd, k),
    )


def seed_rates(made: Studies, effect: Effect) -> list[Rate]:
    """The promises about seeds: verdicts, intervals, equality and non-inferiority."""
    k = made.identical.shape[1]
    sd = float(made.identical.std(ddof=1))
    lost = abs(effect.mean)
    same = smallest_equivalence_margin(sd, k)
    tolerated = smallest_noninferiority_margin(sd, k)
    intervals = [paired_t(study) for study in made.planted]
    return [
        _of("called significant", "identical", "at most", 0.05, made.identical, _significant),
        _of(
            f"anything of {VARIANTS} called significant (Holm)",
            f"{VARIANTS} identical",
            "at most",
            0.05,
            made.several,
            _any_significant,
        ),
        _of("effect found, right direction", "planted", "at least", 0.8, made.planted, _worse),
        rate(
            "interval covers the effect",
            "planted",
            "about",
            0.95,
            [i.low <= effect.mean <= i.high for i in intervals],
        ),
        _of("called equal", "as large as the margin", "at most", 0.05, made.planted, _equal(lost)),
        _of("called equal", "identical", "at least", 0.8, made.identical, _equal(same)),
        _of(
            "called not inferior",
            "loss = margin",
            "at most",
            0.05,
            made.planted,
            _not_inferior(lost),
        ),
        _of(
            "called not inferior",
            "identical",
            "at least",
            0.8,
            made.identical,
            _not_inferior(tolerated),
        ),
    ]


def unadjusted_rate(made: Studies) -> Rate:
    """What several identical variants would give without Holm's adjustment: no promise."""
    hits = [any(_significant(variant) for variant in study) for study in made.several]
    question = f"anything of {VARIANTS} called significant (not adjusted)"
    return rate(question, f"{VARIANTS} identical", "for comparison", 0.05, hits)


def _of(
    question: str,
    truth: str,
    bound: Bound,
    promised: float,
    made: FloatArray,
    test: Callable[[FloatArray], bool],
) -> Rate:
    return rate(question, truth, bound, promised, [test(study) for study in made])


def _verdicts(differences: list[Interval]) -> list[Verdict]:
    """Verdicts on "better" of each variant, as a study gives them: either answer is a finding."""
    up = Statement("difference", direction="up")
    return [judged.verdict for judged in judge_study([(up, Measured(d)) for d in differences])]


def _significant(study: FloatArray) -> bool:
    return _verdicts([paired_t(study)])[0] in FOUND


def _any_significant(study: FloatArray) -> bool:
    verdicts = _verdicts([paired_t(variant) for variant in study])
    return any(verdict in FOUND for verdict in verdicts)


def _worse(study: FloatArray) -> bool:
    return _verdicts([paired_t(study)])[0] is Verdict.CONTRADICTED


def _equal(margin: float) -> Callable[[FloatArray], bool]:
    return lambda study: equivalence(study, margin).equivalent


def _not_inferior(margin: float) -> Callable[[FloatArray], bool]:
    return lambda study: non_inferiority(study, margin).outcome is Outcome.NOT_INFERIOR
