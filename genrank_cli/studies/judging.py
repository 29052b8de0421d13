"""The verdicts on a study's claims, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping

from genrank_cli.studies.claims import EXACT, Claim
from genrank_cli.studies.evidence import Statement
from genrank_cli.studies.measure import Measurements, gain, missing, terms
from genrank_cli.studies.record import ClaimResult
from genrank_cli.studies.study import Study
from genrank_cli.studies.users import claim_over_users
from genrank_cli.studies.verdict import Judgement, Measured, contrast, judge_study


def judge_claims(
    study: Study, found: Measurements, left_out: Mapping[str, str]
) -> list[ClaimResult]:
    """All claims judged together, but those about variants that were not asked for."""
    asked = [claim for claim in study.claims if _asked(claim, study.base, found, left_out)]
    measured = [_measured(claim, study.base, found, left_out) for claim in asked]
    judged = judge_study(list(zip(map(_statement, asked), measured, strict=True)))
    return [
        _result(claim, study.base, one, judgement)
        for claim, one, judgement in zip(asked, measured, judged, strict=True)
    ]


def _asked(claim: Claim, base: str, found: Measurements, left_out: Mapping[str, str]) -> bool:
    known = {*found.records, *left_out, *(found.flops if claim.metric in EXACT else ())}
    return known.issuperset(claim.rows(base))


def _statement(claim: Claim) -> Statement:
    if claim.untestable:  # no statement is judged: there is nothing measured, for that reason
        return Statement("difference", direction="up")
    return Statement(claim.kind, claim.reported, claim.direction, claim.tolerance)


def _measured(
    claim: Claim, base: str, found: Measurements, left_out: Mapping[str, str]
) -> Measured:
    impossible = [left_out[row] for row in claim.rows(base) if row in left_out]
    reason = claim.untestable or "; ".join(dict.fromkeys(impossible))
    reason = reason or missing(found, claim, base)
    if reason:
        return Measured(None, missing=reason)
    premise = contrast(claim.kind, gain(found, claim, base)) if claim.versus else None
    needed = premise if claim.direction else None  # comparable gains may both be none
    return Measured(
        contrast(claim.kind, terms(found, claim, base)),
        users=claim_over_users(found, claim, base),
        premise=needed,
    )


def _result(claim: Claim, base: str, found: Measured, judged: Judgement) -> ClaimResult:
    return ClaimResult(
        id=claim.id,
        variant=claim.variant,
        metric=claim.metric,
        kind=claim.kind,
        reported=claim.reported,
        verdict=judged.verdict.value,
        symbol=judged.verdict.symbol,
        reason=judged.reason,
        minimum_detectable=judged.minimum_detectable,
        source=claim.source,
        base="" if claim.untestable else claim.base or base,
        task=claim.task,
        slice=claim.slice,
        versus="" if claim.versus is None else str(claim.versus),
        direction=claim.direction,
        paper=claim.statement,
        measured=found.effect,
        p=judged.p,
        p_holm=judged.p_holm,
        sample_only=judged.sample_only,
        note=claim.note,
    )
