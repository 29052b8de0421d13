"""What a split lets through, and how cold its users and items are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from genrank_cli.data.exposure import Coverage, Drift, cover, drift, expose
from genrank_cli.data.findings import CHECKS, LEVELS, Finding, View
from genrank_cli.data.split_spec import SplitSpec
from genrank_cli.data.splits import Part, Parts, assign_split
from genrank_cli.data.store import Store
from genrank_cli.data.wording import utc

Record = dict[str, Any]


@dataclass(frozen=True)
class Audit:
    """All findings about one split of a store, leaks first; and the size of its parts."""

    dataset: str
    split: SplitSpec
    parts: dict[str, Record]
    findings: tuple[Finding, ...]

    def record(self) -> Record:
        """The audit as nested plain values."""
        return {
            "dataset": self.dataset,
            "split": self.split.model_dump(mode="json", exclude_none=True),
            "leaks": sum(finding.level == "leak" for finding in self.findings),
            "parts": self.parts,
            "findings": [asdict(finding) for finding in self.findings],
        }


def audit(store: Store, spec: SplitSpec | None = None) -> Audit:
    """Examine a split (default: the store's own); raises `GenrankError` as `assign_split` does."""
    spec = spec or store.manifest.split
    return audit_parts(store, spec, assign_split(store, spec))


def audit_parts(store: Store, spec: SplitSpec, parts: Parts) -> Audit:
    """Examine ``parts``, uint8 [E], whatever made them; train and test must not be empty."""
    coverage = cover(store, parts)
    exposure = expose(store, parts, coverage)
    drifts = {task.name: drift(store, parts, task.name) for task in store.manifest.tasks}
    view = View(store.manifest, coverage, exposure, drifts)
    findings = [finding for check in CHECKS for finding in check(view)]
    findings.sort(key=lambda finding: LEVELS.index(finding.level))
    sizes = {
        part.name.lower(): _part(coverage, drifts, part) for part in Part if coverage.events[part]
    }
    return Audit(store.manifest.name, spec, sizes, tuple(findings))


def _part(coverage: Coverage, drifts: dict[str, Drift], part: Part) -> Record:
    events = int(coverage.events[part])
    record: Record = {
        "events": events,
        "share": events / int(coverage.events.sum()),
        "users": int(coverage.users[part].sum()),
        "items": int(coverage.items[part].sum()),
        "first": utc(coverage.first[part]),
        "last": utc(coverage.last[part]),
    }
    if part in (Part.TRAIN, Part.VALID, Part.TEST):
        record["mean_label"] = {
            task: getattr(found, part.name.lower()) for task, found in drifts.items()
        }
    return record
