"""A small request, and the record of one real (short) measurement that several tests read."""

from __future__ import annotations

from functools import cache
from typing import Any

from genrank_cli.bench.attention.plan import Request, checked
from genrank_cli.bench.attention.run import run
from genrank_cli.bench.checks import Verdict
from genrank_cli.bench.record import BenchRecord, Case, Check, LeftOut, ProbeRow, Row
from genrank_cli.bench.statistics import median_interval, outliers, ratio_interval

SMALL: dict[str, Any] = {
    "seq_lens": (24,),
    "batch_size": 2,
    "heads": 2,
    "widths": (16,),
    "candidates": 4,
    "dtypes": ("float32",),
    "biases": ("none", "rab", "rab-materialized", "tables", "alibi", "alibi-time"),
    "backends": ("reference", "blockwise", "sdpa"),
    "threads": 1,
    "rounds": 2,
}


def small_request(**changes: Any) -> Request:
    return checked(Request(**SMALL | changes), ("reference", "blockwise", "native", "triton"))


@cache
def small_record() -> BenchRecord:
    return run(small_request())


def made_row(name: str, times: list[float], bases: dict[str, list[float]] | None = None) -> Row:
    """A row of one part with these times."""
    backend, *middle, dtype = name.split("/")
    others = bases or {}
    return Row(
        name=name,
        labels={"backend": backend, "bias": "".join(middle) or "none", "dtype": dtype},
        base=next(iter(others), None),
        repeats=1,
        rounds_s={"forward": times},
        flops={"forward": 10**9},
        hardware_flops={"forward": 10**9},
        time_s={"forward": median_interval(times), "total": median_interval(times)},
        ratio={base: ratio_interval(times, other) for base, other in others.items()},
        share={"forward": ratio_interval([0.5] * len(times), times)},
        outliers=outliers(times),
    )


def made_case(rows: list[Row], left_out: list[LeftOut] | None = None, **labels: int) -> Case:
    """A case of the promised shape, but for ``labels``."""
    shape = {"seq_len": 480, "batch_size": 8, "heads": 8, "width": 96, "candidates": 10} | labels
    return Case(
        name=f"L{shape['seq_len']}",
        labels=shape,
        rounds=len(rows[0].rounds_s["forward"]),
        wall_s=12.0,
        rows=rows,
        probes=[
            ProbeRow(
                name="product/float32",
                unit="flops",
                amount=10**9,
                rounds_s=[0.01] * 8,
                time_s=median_interval([0.01] * 8),
            )
        ],
        left_out=left_out or [],
        warnings=["a noisy machine"],
    )


def made_record(cases: list[Case], checks: list[Check] | None = None) -> BenchRecord:
    return small_record().model_copy(update={"cases": cases, "checks": checks or []})


def made_check(verdict: Verdict, **fields: Any) -> Check:
    plain: dict[str, Any] = {
        "id": "native.rab",
        "text": "native: rab over no bias",
        "case": "L480",
        "side": "at most",
        "bound": 1.3,
        "unit": "×",
        "measured": ratio_interval([1.2, 1.25, 1.2, 1.2, 1.15, 1.2], [1.0] * 6),
        "verdict": verdict,
        "reason": "",
    }
    return Check(**plain | fields)
