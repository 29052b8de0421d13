"""The verdicts on a study's claims, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from genrank_cli.metrics.intervals import MOST_SIGN_FLIPS, exact_sign_flip_p
from genrank_cli.studies.claims import EXACT, Claim
from genrank_cli.studies.measure import Measurements, Terms, gains, missing, terms
from genrank_cli.studies.record import ClaimResult
from genrank_cli.studies.statement import Statement
from genrank_cli.studies.study import Study
from genrank_cli.studies.users import claim_over_users
from genrank_cli.studies.verdict import Judgement, Measured, contrast, judge_study, paired


@dataclass(frozen=True)
class Found:
    """What is measured of one claim, and the sign-flip test over its seeds."""

    measured: Measured
    p_sign_flip: float | None = None


def judge_claims(
    study: Study, found: Measurements, left_out: Mapping[str, str], size: str = ""
) -> list[ClaimResult]:
    """All claims judged together; those about rows that did not run say so."""
    measured = [_measured(claim, study.base, found, left_out) for claim in study.claims]
    statements = [_statement(claim) for claim in study.claims]
    judged = judge_study(
        [(said, one.measured) for said, one in zip(statements, measured, strict=True)]
    )
    return [
        _result(claim, study.base, one, judgement, _where(claim, found, size))
        for claim, one, judgement in zip(study.claims, measured, judged, strict=True)
    ]


def _not_run(claim: Claim, base: str, found: Measurements) -> str:
    """Which rows were not asked for; empty: none."""
    known = {*found.records, *(found.flops if claim.metric in EXACT else ())}
    absent = [row for row in dict.fromkeys(claim.rows(base)) if row not in known]
    return f"{' and '.join(absent)} not run (--variants)" if absent else ""


def _statement(claim: Claim) -> Statement:
    if claim.untestable:  # no statement is judged: there is nothing measured, for that reason
        return Statement("difference", direction="up")
    return claim.judged()


def _measured(claim: Claim, base: str, found: Measurements, left_out: Mapping[str, str]) -> Found:
    impossible = [left_out[row] for row in claim.rows(base) if row in left_out]
    reason = claim.untestable or "; ".join(dict.fromkeys(impossible))
    reason = reason or _not_run(claim, base, found) or missing(found, claim, base)
    if reason:
        return Found(Measured(None, missing=reason))
    both = tuple(contrast(claim.kind, side) for side in gains(found, claim, base))
    compared = terms(found, claim, base)
    measured = Measured(
        contrast(claim.kind, compared),
        users=claim_over_users(found, claim, base),
        premise=both[0] if both and claim.direction else None,
        gains=both,
    )
    return Found(measured, _sign_flip_p(claim, compared))


def _sign_flip_p(claim: Claim, compared: Terms) -> float | None:
    """Of "no effect", over seeds; None for what is not measured by seed, or by too many."""
    values = paired(claim.kind, compared)
    if claim.metric in (*EXACT, "speed") or not 2 <= len(values) <= MOST_SIGN_FLIPS:
        return None
    return exact_sign_flip_p(np.log(values) if claim.kind == "ratio" else values)


def _where(claim: Claim, found: Measurements, size: str) -> str:
    """Of a speed: where it was measured, beside where the claim was."""
    if claim.metric != "speed" or found.speed is None:
        return ""
    device = "a CPU" if found.speed.device == "cpu" else found.speed.device
    theirs = f"; the claim: {claim.note}" if claim.note else ""
    return f"; measured at size {size} on {device}{theirs}"


def _result(claim: Claim, base: str, found: Found, judged: Judgement, where: str) -> ClaimResult:
    effect = found.measured.effect
    return ClaimResult(
        id=claim.id,
        variant=claim.variant,
        metric=claim.metric,
        kind=claim.kind,
        reported=claim.reported,
        verdict=judged.verdict.value,
        symbol=judged.verdict.symbol,
        reason=judged.reason + (where if effect else ""),
        minimum_detectable=judged.minimum_detectable,
        source=claim.source,
        base="" if claim.untestable else claim.base or base,
        task=claim.task,
        slice=claim.slice,
        versus="" if claim.versus is None else str(claim.versus),
        direction=claim.direction,
        paper=claim.statement,
        measured=effect,
        p=judged.p,
        p_holm=judged.p_holm,
        p_sign_flip=found.p_sign_flip,
        sample_only=judged.sample_only,
        note=claim.note,
    )
