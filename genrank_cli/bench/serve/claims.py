"""The paper's comparison of costs with a DLRM, as far as one machine can make it.

The paper's DLRM is the one that it replaced in production: larger than this project's, and not
public. What is judged here is GenRank against this project's DLRM on equal features, at the same
``--size``. PAPER section 4: cost.p99, cost.training, cost.inference, cost.storage.
"""

from __future__ import annotations

from collections.abc import Iterator

from genrank_cli.bench.checks import Bar, Verdict, exactly
from genrank_cli.bench.quantiles import fewest, quantile_ratio
from genrank_cli.bench.record import Case, Check, Row
from genrank_cli.bench.rows import checked_bar
from genrank_cli.bench.serve.plan import BASE, COLD, WARM, WHOLE
from genrank_cli.bench.serve.world import TOLERANCE

#: The model that the paper compares with its DLRM.
JUDGED = "genrank"

P99 = 0.99

#: How samples are made for training. The paper's are grouped: a request with its candidates.
TRAINING = {"cost.training.packed": "packed", "cost.training.grouped": "grouped"}
#: The option that narrows an interval.
MORE = "--requests"

#: A tail is what other processes lengthen first, and no ratio takes that out again.
DISTURBED = "the tail of a disturbed run is not the models': "


def cached_check(case: str, row: str, off: float) -> Check:
    """That a path's scores are those of the whole model."""
    bar = Bar(f"cached.{row}", f"{row}: scores differ from the uncached", "at most", TOLERANCE, "")
    return checked_bar(bar, case, exactly(off))


def checks(cases: list[Case]) -> list[Check]:
    """What each case says of the paper's costs; nothing where one of the two was not served."""
    timed = [check for case in cases for check in _of(case)]
    return [*timed, *(_resources(cases[0]) if timed else ())]


def best(case: Case, path: str) -> Row | None:
    """The judged model's row of a path, of its micro-batches the one with the lowest median."""
    rows = [x for x in case.rows if x.labels["model"] == JUDGED and x.labels["path"] == path]
    return min(rows, key=lambda row: row.time_s["total"].mean, default=None)


def _of(case: Case) -> Iterator[Check]:
    base = case.row(f"{BASE}/{WHOLE}")
    whole = case.row(f"{JUDGED}/{WHOLE}")
    if base is None or whole is None:
        return
    served = [row for row in (whole, best(case, COLD), best(case, WARM)) if row is not None]
    for row in served:
        yield _p99(case, row, base)
    for row in served:
        text = f"{row.name}: time a request over {BASE}'s"
        bar = Bar(f"cost.inference.{row.labels['path']}", text, "at most", 1.0)
        yield checked_bar(bar, case.name, row.ratio[base.name], MORE)


def _resources(case: Case) -> Iterator[Check]:
    """What no clock has to tell, of both models' first rows."""
    rows = [row for row in case.rows if row.labels["path"] == WHOLE]
    whole, base = (
        next(row for row in rows if row.labels["model"] == name) for name in (JUDGED, BASE)
    )
    for claim, samples in TRAINING.items():
        text = f"{JUDGED}: FLOPs of training on an event, {samples} samples, over {BASE}'s"
        name = f"training_flops_per_million_events_{samples}"
        yield _exact(
            case,
            Bar(claim, text, "at least", 1.0),
            *(row.figures[name] for row in (whole, base)),
        )
    yield _exact(
        case,
        Bar("cost.storage.parameters", f"{JUDGED}: bytes of parameters over {BASE}'s", "at most",
            1.0),
        *(_parameters(row) for row in (whole, base)),
    )  # fmt: skip


def _p99(case: Case, row: Row, base: Row) -> Check:
    bar = Bar(
        f"cost.p99.{row.labels['path']}",
        f"{row.name}: P99 over {BASE}'s (more than 25 % better)",
        "at most",
        0.75,
    )
    measured = quantile_ratio(row.total_s(), base.total_s(), P99)
    needed = fewest(P99, 0.975)
    few = f"the 99th percentile needs {needed} requests for an interval, this has {measured.n}"
    why = few if measured.n < needed else ""
    found = checked_bar(bar, case.name, measured, MORE, why)
    if not case.warnings:
        return found
    reason = "; ".join(filter(None, (why, DISTURBED + "; ".join(case.warnings))))
    return found.model_copy(update={"verdict": Verdict.CANNOT_TELL, "reason": reason})


def _parameters(row: Row) -> float:
    return row.figures["table_bytes"] + row.figures["other_parameter_bytes"]


def _exact(case: Case, bar: Bar, value: float, base: float) -> Check:
    return checked_bar(bar, case.name, exactly(value / base))
