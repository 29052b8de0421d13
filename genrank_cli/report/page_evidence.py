"""Checks of bench records as evidence for published claims, beside what studies found.

A check belongs to the claim of its name, or to the one that its name begins with: ``cost.p99.warm``
to ``cost.p99``. Only benches that measure what a claim is about are heard.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genrank_cli.bench.checks import Verdict as BarVerdict
from genrank_cli.bench.record import Check
from genrank_cli.report.bench import measured_text
from genrank_cli.report.page_load import Bench
from genrank_cli.report.table import MISSING
from genrank_cli.studies.statement import Statement
from genrank_cli.studies.verdict import Judgement, Measured, Verdict, judge_study

#: How the source is called.
BENCH = "bench"

#: bench → the claims that it may speak about.
ABOUT = {"model": ("org.", "bias.", "both."), "serve": ("cost.",)}

#: What must be said with it.
CAVEATS = {
    "model": "on made-up data",
    "serve": "against this project's DLRM of the same size and features: the one that the paper "
    "replaced is another, and not public",
}

VERDICTS = {
    BarVerdict.MET: Verdict.REPRODUCED,
    BarVerdict.MISSED: Verdict.CONTRADICTED,
    BarVerdict.CANNOT_TELL: Verdict.WITHIN_NOISE,
    BarVerdict.NOT_TESTABLE: Verdict.NOT_TESTABLE,
}


@dataclass(frozen=True)
class Evidence:
    """One check of one bench's record about a claim."""

    bench: Bench
    check: Check

    @property
    def judgement(self) -> Judgement | None:
        """Of a published speed-up: judged as in a study, where half of the size is enough.

        Below the bar is not yet against the claim. None for other checks, whose bar is the claim.
        """
        check = self.check
        is_speed = self.bench.record.bench == "model" and check.unit == "×"
        if not is_speed or check.measured is None or check.verdict is BarVerdict.NOT_TESTABLE:
            return None
        statement = Statement("ratio", reported=check.bound)
        return judge_study([(statement, Measured(check.measured))])[0]

    @property
    def verdict(self) -> Verdict:
        """The check's verdict in the words of claims."""
        judged = self.judgement
        return VERDICTS[self.check.verdict] if judged is None else judged.verdict

    @property
    def mark(self) -> str:
        """Sign and word: ``+ reproduced``."""
        return f"{self.verdict.symbol} {self.verdict}"

    @property
    def source(self) -> str:
        """``bench serve base, N240-C100 (serve-cpu)``: what stands where a study has its data."""
        record = self.bench.record
        size = record.settings.get("size")
        name = " ".join(filter(None, (BENCH, record.bench, str(size) if size else "")))
        return f"{name}, {self.check.case} ({self.bench.file.stem})"

    @property
    def measured(self) -> str:
        return measured_text(self.check) or MISSING

    @property
    def reason(self) -> str:
        """What was compared, why it could not be told, and what this bench cannot say."""
        judged = self.judgement
        why = self.check.reason if judged is None else judged.reason
        parts = (self.check.text, why, CAVEATS[self.bench.record.bench])
        return "; ".join(filter(None, parts))


def collect(benches: Sequence[Bench], claims: Iterable[str]) -> dict[str, list[Evidence]]:
    """Claim → what the benches' checks say of it."""
    known = sorted(claims, key=len, reverse=True)
    found: dict[str, list[Evidence]] = {}
    for bench in benches:
        for check in bench.record.checks:
            if not check.id.startswith(ABOUT.get(bench.record.bench, ())):
                continue
            claim = next((x for x in known if f"{check.id}.".startswith(f"{x}.")), None)
            if claim is not None:
                found.setdefault(claim, []).append(Evidence(bench, check))
    return found


def bench_marks(found: Iterable[Evidence]) -> str:
    """The different verdicts about a claim, for one cell."""
    return "; ".join(dict.fromkeys(told.mark for told in found)) or MISSING


def evidence_line(told: Evidence) -> list[str]:
    """One check under the headings of findings; a bench has no seeds and no test of its own."""
    return [told.source, told.measured, told.mark, MISSING, MISSING, MISSING, told.reason]
