"""The gate's result for people: a table, a Markdown page, a record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from genrank_cli.gate.judge import Check, Outcome
from genrank_cli.gate.measurement import Measurement
from genrank_cli.report import render
from genrank_cli.report.table import Column, Kind, Table
from genrank_cli.training.environment import one_line

HEADLINES = {
    Outcome.PASSED: "passed",
    Outcome.REGRESSED: "a regression was found",
    Outcome.CANNOT_JUDGE: "cannot judge",
}


def table(checks: Sequence[Check], now: Measurement, outcome: Outcome) -> Table:
    """One row a check, the machine above."""
    return Table(
        f"Gate: {HEADLINES[outcome]}",
        [
            Column("check", "check"),
            Column("outcome", "outcome"),
            Column("baseline", "baseline", Kind.NUMBER),
            Column("now", "now", Kind.NUMBER),
            Column("why", "why"),
        ],
        [
            [
                check.id,
                f"{check.outcome.symbol} {check.outcome}",
                check.old,
                check.new,
                check.reason,
            ]
            for check in checks
        ],
        header=[one_line(now.environment)] if now.environment else [],
        notes=[
            "auc: mean over seeds, paired with the baseline's; speed: median time in units of a "
            "fixed piece of work. Bounds are one-sided 95 %.",
            f"suite version {now.suite_version} ({now.suite_hash[:12]}), {now.wall_s:.0f} s",
        ],
    )


def markdown(checks: Sequence[Check], now: Measurement, outcome: Outcome) -> str:
    """The page for a pull request: what regressed first, then the table."""
    lines = [
        f"- **{check.id}**: {check.reason}"
        for wanted in (Outcome.REGRESSED, Outcome.CANNOT_JUDGE)
        for check in checks
        if check.outcome is wanted
    ]
    found = "\n".join(lines) + "\n\n" if lines else ""
    return f"{found}{render(table(checks, now, outcome), 'md')}"


def record(checks: Sequence[Check], now: Measurement, outcome: Outcome) -> dict[str, Any]:
    """Everything, for programs: the checks and the measurement behind them."""
    return {
        "outcome": outcome.value,
        "checks": [asdict(check) | {"outcome": check.outcome.value} for check in checks],
        "measurement": now.model_dump(mode="json"),
    }
