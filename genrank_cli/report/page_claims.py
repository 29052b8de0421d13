"""Claims and what the records say of them: findings, and the tables that sum them up."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from genrank_cli.report.page_evidence import BENCH, Evidence, bench_marks, collect, evidence_line
from genrank_cli.report.page_load import Bench, Study
from genrank_cli.report.page_settings import Setting, setting_labels, setting_of
from genrank_cli.report.study import paper
from genrank_cli.report.table import MISSING, Column, Interval, Kind, Table, Value
from genrank_cli.studies.catalogue import CatalogueEntry, claim_catalogue
from genrank_cli.studies.record import ClaimResult, StudyRecord
from genrank_cli.studies.verdict import Verdict

#: What is said of a finding, after its claim and what the paper reports.
TITLES = (
    "data and size",
    "ours",
    "verdict",
    "smallest detectable",
    "p (Holm)",
    "seeds",
    "why",
)

NOT_RUN = "no record here judges it"

#: What a reason repeats of the columns beside it.
REPEATED = re.compile(
    r"^measured .*?, (?:reported [^:]*|claimed \w+): |; the smallest detectable effect is [^;]*"
)

METRICS = {
    "auc": "AUC",
    "gauc_user": "GAUC",
    "gauc_request": "GAUC by request",
    "ne": "NE",
    "flops.attention": "attention FLOPs",
    "flops.projections": "projection FLOPs",
}


@dataclass(frozen=True)
class Known:
    """A claim that is declared, whether or not a record judges it.

    ``what`` says which rows are compared by which metric; ``reason`` why no record judges it.
    """

    id: str
    what: str
    paper: str
    source: str
    note: str
    reason: str


@dataclass(frozen=True)
class Finding:
    """One verdict of one record."""

    study: Study
    setting: Setting
    claim: ClaimResult

    @property
    def mark(self) -> str:
        """Sign and word: ``+ reproduced``."""
        return f"{self.claim.symbol} {self.claim.verdict}"

    @property
    def measured(self) -> Interval | None:
        return measured(self.study.record, self.claim)

    @property
    def column(self) -> Column:
        """How numbers of this claim are written."""
        return number_column(self.claim.kind)

    @property
    def figure(self) -> str:
        """The measured effect with its interval, or a dash."""
        ours = self.measured
        return MISSING if ours is None else self.column.format(ours)

    @property
    def reason(self) -> str:
        return REPEATED.sub("", self.claim.reason)


@dataclass(frozen=True)
class Claims:
    """Every claim in a fixed order, the findings about each, and what benches say of it."""

    known: list[Known]
    findings: dict[str, list[Finding]]
    labels: dict[Setting, str]
    evidence: dict[str, list[Evidence]] = field(default_factory=dict)

    def judged(self, claim: str) -> bool:
        """Whether any record says something of a claim."""
        return bool(self.findings.get(claim) or self.evidence.get(claim))

    def tested(self, claim: str) -> bool:
        """Whether any record measured something of a claim."""
        found = self.findings.get(claim, [])
        return bool(self.evidence.get(claim)) or any(
            finding.claim.verdict != Verdict.NOT_TESTABLE for finding in found
        )

    def of(self, claim: str, setting: Setting) -> list[Finding]:
        """The findings about a claim in one setting; more than one where two records judge it."""
        return [found for found in self.findings.get(claim, []) if found.setting == setting]


def catalogue() -> list[Known]:
    """Every claim that the shipped studies declare."""
    return [
        Known(
            id=entry.id,
            what=_what(entry),
            paper=_signed(entry.paper),
            source=entry.source,
            note=entry.note,
            reason=entry.untestable or f"{NOT_RUN}; run: genrank ablate --component {entry.study}",
        )
        for entry in claim_catalogue()
    ]


def gather(studies: Sequence[Study], benches: Sequence[Bench] = ()) -> Claims:
    """Findings of all records by claim id: declared claims first, then those of own studies.

    What a study calls not testable is left out where a bench has measured it.
    """
    findings: dict[str, list[Finding]] = {}
    for study in studies:
        setting = setting_of(study.record)
        for claim in study.record.claims:
            findings.setdefault(claim.id, []).append(Finding(study, setting, claim))
    known = {claim.id: claim for claim in catalogue()}
    for name, found in findings.items():
        known.setdefault(name, _undeclared(found[0].claim))
    evidence = collect(benches, known)
    for name in evidence:
        told = [x for x in findings.get(name, []) if x.claim.verdict != Verdict.NOT_TESTABLE]
        findings[name] = told
    labels = _by_weight(
        setting_labels(setting_of(study.record) for study in studies),
        Counter(finding.setting for found in findings.values() for finding in found),
    )
    for found in findings.values():
        found.sort(key=lambda finding: list(labels).index(finding.setting))
    return Claims(list(known.values()), findings, labels, evidence)


def measured(record: StudyRecord, claim: ClaimResult) -> Interval | None:
    """The measured effect of a claim; older records have it in the row of its variant only."""
    own = claim.measured
    if own is None:
        row = next((row for row in record.rows if row.name == claim.variant), None)
        columns = {"auc": "delta_auc", "speed": "speed_ratio"}
        simple = claim.metric in columns and is_plain(claim, record)
        own = getattr(row, columns[claim.metric]) if row and simple else None
    return None if own is None else Interval(own.mean, own.low, own.high)


def is_plain(claim: ClaimResult, record: StudyRecord) -> bool:
    """Whether a claim is about all events, the main task and the study's base."""
    whole = claim.task == "main" and claim.slice == "all" and not claim.versus
    return whole and claim.base in ("", record.base)


def number_column(kind: str, title: str = "ours") -> Column:
    """Differences with a sign and four decimals, ratios with ×."""
    if kind == "ratio":
        return Column("value", title, Kind.RATIO, digits=3)
    return Column("value", title, Kind.NUMBER, digits=4, signed=True)


def _by_weight(labels: dict[Setting, str], judged: Counter[Setting]) -> dict[Setting, str]:
    """The settings with the most findings first: the others may be out of sight at the right."""
    return {s: labels[s] for s in sorted(labels, key=lambda s: (-judged[s], s))}


def _undeclared(claim: ClaimResult) -> Known:
    """A claim of a study of the user's own, as its record tells it."""
    return Known(claim.id, _what(claim), _signed(paper(claim)), claim.source, claim.note, "")


def _what(claim: ClaimResult | CatalogueEntry) -> str:
    """``embeddings+alibi against rab, AUC``; nothing for a claim that no row is about."""
    if not claim.variant:
        return ""
    base = f" against {claim.base}" if claim.base else ""
    return f"{claim.variant}{base}, {METRICS.get(claim.metric, claim.metric)}"


def _signed(words: str) -> str:
    return re.sub(r"^-(?=\d)", "−", words) or MISSING


def detectable(finding: Finding) -> str:
    """The smallest effect that the run would have found in four of five repetitions."""
    value = finding.claim.minimum_detectable
    return MISSING if value is None or math.isnan(value) else finding.column.format(value)


def holm_text(finding: Finding) -> str:
    """The p-value, adjusted (Holm) for the claims of its study."""
    p = finding.claim.p_holm
    if p is None or math.isnan(p):
        return MISSING
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def summary_table(claims: Claims) -> Table:
    """Claims down, settings across; a verdict and what was measured in each cell."""
    columns = [Column("claim", "claim"), Column("paper", "paper")]
    columns += [Column(BENCH, BENCH)] if claims.evidence else []
    columns += [Column(f"setting_{n}", label) for n, label in enumerate(claims.labels.values())]
    rows: list[list[Value]] = [
        [
            known.id,
            known.paper,
            *([bench_marks(claims.evidence.get(known.id, []))] if claims.evidence else []),
            *(cell(claims, known.id, setting, figures=True) for setting in claims.labels),
        ]
        for known in claims.known
    ]
    return Table("Verdicts", columns, rows, notes=_legend(claims))


def cell(claims: Claims, claim: str, setting: Setting, *, figures: bool = False) -> str:
    """The verdicts of one cell: a dash where only other settings have judged the claim."""
    found = claims.of(claim, setting)
    if found:
        return "; ".join(_with_figure(x) if figures else x.mark for x in found)
    if claims.judged(claim):
        return MISSING
    return f"{Verdict.NOT_TESTABLE.symbol} {Verdict.NOT_TESTABLE}"


def _with_figure(finding: Finding) -> str:
    return finding.mark if finding.figure == MISSING else f"{finding.mark}, {finding.figure}"


def counts_table(claims: Claims) -> Table:
    """How many findings of each verdict every setting has."""
    columns = [Column("setting", "data and size")]
    columns += [Column(v.name.lower(), f"{v.symbol} {v}", Kind.COUNT) for v in Verdict]
    rows: list[list[Value]] = []
    for setting, label in claims.labels.items():
        seen = Counter(
            finding.claim.verdict
            for found in claims.findings.values()
            for finding in found
            if finding.setting == setting
        )
        rows.append([label, *(seen[verdict.value] for verdict in Verdict)])
    if claims.evidence:
        told = Counter(x.verdict for found in claims.evidence.values() for x in found)
        rows.append([BENCH, *(told[verdict] for verdict in Verdict)])
    return Table("Verdicts by data and size", columns, rows)


def claims_table(claims: Claims) -> Table:
    """One line per finding, and one per claim that no record judges."""
    columns = [Column(title.replace(" ", "_"), title) for title in ("claim", "paper", *TITLES)]
    rows: list[list[Value]] = []
    breaks = set()
    for known in claims.known:
        breaks.add(len(rows))
        found = claims.findings.get(known.id, [])
        for finding in found:
            rows.append([known.id, known.paper, *_line(claims, finding)])
        for told in claims.evidence.get(known.id, []):
            rows.append([known.id, known.paper, *evidence_line(told)])
        if not claims.judged(known.id):
            mark = f"{Verdict.NOT_TESTABLE.symbol} {Verdict.NOT_TESTABLE}"
            blanks: list[Value] = [None] * (len(TITLES) - 4)
            rows.append([known.id, known.paper, None, None, mark, *blanks, known.reason])
    return Table("Claims", columns, rows, breaks=frozenset(breaks - {0}))


def _line(claims: Claims, finding: Finding) -> list[Value]:
    return [
        claims.labels[finding.setting],
        None if finding.measured is None else finding.figure,
        finding.mark,
        detectable(finding),
        holm_text(finding),
        str(len(finding.study.record.seeds)),
        finding.reason,
    ]


def _legend(claims: Claims) -> list[str]:
    notes = [f"{MISSING} not judged on this data"]
    if claims.evidence:
        notes.append(
            f"{BENCH}: checks of bench records, met counts as reproduced; several in a cell are of "
            "different cases or paths"
        )
    if any(setting.partial for setting in claims.labels):
        notes.append("! partial: --limit kept only some of the users")
    return notes
