"""A run for a comparison: what cannot be judged is not measured, doubts are measured again."""

from __future__ import annotations

from collections.abc import Sequence

from genrank_cli.gate.judge import Outcome, judge, other_machine
from genrank_cli.gate.measurement import Measurement
from genrank_cli.gate.run import PARTS, Watch, measure_suite, pace_of
from genrank_cli.gate.suite import Suite
from genrank_cli.training.environment import environment


def measure_against(
    suite: Suite,
    baseline: Measurement | None,
    parts: Sequence[str] = PARTS,
    *,
    jobs: int | None = None,
    watch: Watch | None = None,
) -> Measurement:
    """`measure_suite`; None as a baseline measures everything.

    Times are left out where the machine is another one, or the baseline has none. Where a time did
    not pass, the rounds are repeated up to ``pace.repeat`` times and judged together: a passing
    disturbance is outvoted, a slowdown stays. What fails in a repeat is kept as a `Failure`.
    """
    watch = watch or Watch()
    if baseline is None:
        return measure_suite(suite, parts, jobs=jobs, watch=watch)
    here = Measurement(
        suite_version=suite.version, suite_hash=suite.hash, environment=environment()
    )
    if baseline.suite_hash != suite.hash:
        return here.model_copy(update={"parts": tuple(parts)})
    timed = baseline.pace is not None and "speed" in parts and not other_machine(baseline, here)
    wanted = [part for part in parts if part != "speed" or timed]
    now = measure_suite(suite, wanted, jobs=jobs, watch=watch)
    for _ in range(suite.pace.repeat if timed else 0):
        if not _doubtful(suite, baseline, now) or now.pace is None:
            break
        again, failed = pace_of(suite, watch)
        update = {"pace": now.pace.joined(again), "failures": (*now.failures, *failed)}
        now = now.model_copy(update=update)
    return now.model_copy(update={"parts": tuple(parts)})


def _doubtful(suite: Suite, baseline: Measurement, now: Measurement) -> bool:
    """Whether a time that both sides have did not pass, or none could be taken in peace."""
    if now.pace is not None and now.pace.disturbed:
        return True
    return any(
        check.part == "speed" and check.change is not None and check.outcome is not Outcome.PASSED
        for check in judge(suite, baseline, now)
    )
