"""The published numbers beside the measured ones (PAPER section 4), and a promise of the toolkit.

Speeds are judged against what the paper compares with: HSTU whose bias is a tensor of L × L.
"""

from __future__ import annotations

from collections.abc import Iterator

from genrank_cli.bench.checks import Bar, exactly
from genrank_cli.bench.model.plan import ACTION, BASE, FUSED, GENRANK, NEW_BIAS, Request
from genrank_cli.bench.model.regimes import Regime
from genrank_cli.bench.model.stages import STEP, row_name
from genrank_cli.bench.record import Case, Check
from genrank_cli.bench.rows import checked_bar
from genrank_cli.bench.statistics import centre_interval, ratio_interval
from genrank_cli.metrics.intervals import Interval

#: Times as fast as the base, as the paper reports it.
SPEEDS = {
    "org.speed": (ACTION, "one token an event alone", 1.787),
    "bias.speed": (NEW_BIAS, "three embeddings and ALiBi alone", 1.25),
    "both.speed": (GENRANK, "both, GenRank", 1.948),
}

#: What remains of the FLOPs where tokens are halved, as the paper reports it.
COSTS = {
    "org.attention_cost": ("attention", 0.25),
    "org.projection_cost": ("projections", 0.5),
}
COST_TOLERANCE = 0.01

#: A bias whose cost grows with L² costs a quarter at half the tokens.
BIAS_SHARE = 0.25

#: Of the matrix product's rate, forward and backward, at paper size on two threads.
SHARE, SHARE_LEN, THREADS = 0.70, 480, 2


def checks(request: Request, cases: list[Case], found: dict[str, list[Regime]]) -> list[Check]:
    """All that the record can say of the paper's numbers; nothing of rows that are missing."""
    made: list[Check] = []
    for case in cases:
        made += _speeds(case)
        made += _costs(case, found[case.name])
        made += _shares(request, case)
    return made


def predicted(case: Case) -> Interval | None:
    """The speed-up of both changes that the two alone predict.

    t = 1/s_org − (1 − 1/s_bias)/4, round by round: what the bias costs shrinks to a quarter. The
    published speeds give 1.96 (PAPER section 4). None where t is not surely above 0.
    """
    base, action, bias = (case.row(row_name(x, STEP)) for x in (BASE, ACTION, NEW_BIAS))
    if base is None or action is None or bias is None:
        return None
    times = centre_interval(
        [
            of_action / of_base - BIAS_SHARE * (1 - of_bias / of_base)
            for of_base, of_action, of_bias in zip(
                base.total_s(), action.total_s(), bias.total_s(), strict=True
            )
        ]
    )
    if not times.mean > 0 or times.low <= 0:
        return None
    return Interval(1 / times.mean, 1 / times.high, 1 / times.low, times.n, times.sd)


def _speeds(case: Case) -> Iterator[Check]:
    base = case.row(row_name(BASE, STEP))
    for claim, (model, text, reported) in SPEEDS.items():
        row = case.row(row_name(model, STEP))
        if base is None or row is None:
            continue
        bar = Bar(claim, f"{text}: times as fast as {BASE}", "at least", reported)
        yield checked_bar(bar, case.name, ratio_interval(base.total_s(), row.total_s()))


def _costs(case: Case, found: list[Regime]) -> Iterator[Check]:
    doubled = next((regime for regime in found if "doubled" in regime.name), None)
    for claim, (part, reported) in COSTS.items() if doubled is not None else ():
        value = float(getattr(doubled, part))
        text = f"{part} FLOPs at half the tokens, candidates doubled: {value:.4f}, off {reported:g}"
        bar = Bar(claim, text, "at most", COST_TOLERANCE, "")
        yield checked_bar(bar, case.name, exactly(abs(value - reported)))


def _shares(request: Request, case: Case) -> Iterator[Check]:
    """The share of the matrix product's rate; a promise for one shape on a CPU only."""
    promised = request.size == "paper" and case.labels["seq_len"] == SHARE_LEN
    if not promised or request.device != "cpu" or request.threads != THREADS:
        return
    for model in (FUSED, GENRANK):
        row = case.row(row_name(model, STEP))
        if row is not None and "forward+backward" in row.share:
            text = f"{model}: forward and backward, of the matrix-product rate"
            bar = Bar(f"share.{model}", text, "at least", SHARE, "%")
            yield checked_bar(bar, case.name, row.share["forward+backward"])
