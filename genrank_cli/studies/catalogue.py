"""Every published claim that the shipped studies judge, and where."""

from __future__ import annotations

from dataclasses import dataclass

from genrank_cli.studies.study import list_studies, load_study


@dataclass(frozen=True)
class CatalogueEntry:
    """A claim of a shipped study; ``paper`` is what is reported, as a short text."""

    id: str
    study: str
    variant: str
    base: str
    metric: str
    kind: str
    paper: str
    source: str
    note: str
    untestable: str


def claim_catalogue() -> list[CatalogueEntry]:
    """The claims of the shipped studies, but of no extra one, in the order of their files."""
    return [
        CatalogueEntry(
            id=claim.id,
            study=study.name,
            variant=claim.variant,
            base=claim.base or study.base,
            metric=claim.metric,
            kind=claim.kind,
            paper=claim.statement,
            source=claim.source,
            note=claim.note,
            untestable=claim.untestable,
        )
        for study in map(load_study, list_studies())
        if not study.extra
        for claim in study.claims
    ]
