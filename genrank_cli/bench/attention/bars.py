"""What the kernels promise, and whether this run shows it.

On a CPU the bars stand for `PROMISED` shapes, in float32, forward + backward, on two threads; other
shapes have none. On CUDA they stand for every shape, in bfloat16. A bar "times as fast" is the
other's time over the row's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from genrank_cli.bench.attention.plan import LIMIT, PLAIN, REFERENCE, Request, row_name
from genrank_cli.bench.checks import Bar, Verdict, exactly
from genrank_cli.bench.machine import bf16_instructions
from genrank_cli.bench.record import Case, Check, Memory
from genrank_cli.bench.rows import checked_bar
from genrank_cli.bench.statistics import ratio_interval
from genrank_cli.metrics.intervals import Interval

#: The shapes that the CPU's bars stand for, with the lengths of `SPEEDUPS`.
PROMISED = {"batch_size": 8, "heads": 8, "width": 96, "candidates": 10}
FULL_LEN = 480  # where all bars stand; at 960 only the reference's
THREADS = 2  # another number changes each side of a ratio by something else

#: Times as fast as the reference, by the length at which that was promised.
SPEEDUPS: Mapping[int, float] = {480: 2.5, 960: 4.0}
AGAINST_SDPA = 1.1
RAB, RAB_CUDA, ALIBI = 1.3, 1.25, 1.05
BF16 = 1.5
MEMORY, MEMORY_LEN = 0.15, 4_096
FORWARD_SHARE, SHARE_LEN = 0.45, 4_096

Measured = tuple[Interval | None, str]
"""An interval, or None and the reason why there is none."""


def checks(request: Request, cases: list[Case], memory: list[Memory]) -> list[Check]:
    """Every bar that belongs to the request, for each of our fast backends."""
    on_cuda = request.device.startswith("cuda")
    found: list[Check] = []
    for case in cases:
        for backend in request.fast():
            bars = _cuda_bars if on_cuda else _cpu_bars
            found += bars(request, case, backend)
    if not on_cuda and request.threads != THREADS:
        found = [_other_threads(check, request.threads) for check in found]
    shape = request.memory_shape().labels() | {"batch_size": PROMISED["batch_size"]}
    if not on_cuda and promised(shape) and shape["seq_len"] == MEMORY_LEN:
        found += [_memory_check(request, backend, memory) for backend in request.fast()]
    return found


def _other_threads(check: Check, threads: int | None) -> Check:
    """The check with what was measured, but without a verdict."""
    reason = f"the bar stands for {THREADS} threads, not {threads}: give --threads {THREADS}"
    return check.model_copy(update={"verdict": Verdict.NOT_TESTABLE, "reason": reason})


def promised(labels: Mapping[str, int]) -> bool:
    """Whether the CPU's bars stand for a shape, whatever its length."""
    return all(labels[name] == value for name, value in PROMISED.items())


def _cpu_bars(request: Request, case: Case, backend: str) -> Iterator[Check]:
    length = case.labels["seq_len"]
    if length not in SPEEDUPS or not promised(case.labels):
        return
    plain = row_name(backend, PLAIN, "float32")
    bar = Bar(
        f"{backend}.reference",
        f"{backend}, no bias: times as fast as the reference",
        "at least",
        SPEEDUPS[length],
    )
    yield _check(bar, case, _time_ratio(case, row_name(REFERENCE, PLAIN, "float32"), plain))
    if length != FULL_LEN:
        return
    bar = Bar(
        f"{backend}.sdpa",
        f"{backend}, no bias: time over PyTorch's causal softmax",
        "at most",
        AGAINST_SDPA,
    )
    yield _check(bar, case, _time_ratio(case, plain, row_name(LIMIT, PLAIN, "float32")))
    for bias, bound in (("rab", RAB), ("alibi", ALIBI)):
        bar = Bar(f"{backend}.{bias}", f"{backend}: {bias} (fused) over no bias", "at most", bound)
        yield _check(bar, case, _time_ratio(case, row_name(backend, bias, "float32"), plain))
    bar = Bar(
        f"{backend}.bfloat16",
        f"{backend}, no bias: bfloat16, times as fast as float32",
        "at least",
        BF16,
    )
    yield _check(bar, case, _bf16(case, backend))


def _cuda_bars(request: Request, case: Case, backend: str) -> Iterator[Check]:
    for dtype in request.dtypes:
        plain = row_name(backend, PLAIN, dtype)
        bar = Bar(f"{backend}.rab.{dtype}", f"{backend}: rab (fused) over no bias, {dtype}",
                  "at most", RAB_CUDA)  # fmt: skip
        yield _check(bar, case, _time_ratio(case, row_name(backend, "rab", dtype), plain))
        if case.labels["seq_len"] == SHARE_LEN and dtype == "bfloat16":
            bar = Bar(
                f"{backend}.share",
                f"{backend}, no bias: forward's share of the matrix-product rate",
                "at least", FORWARD_SHARE, "%",
            )  # fmt: skip
            row = case.row(plain)
            share = None if row is None else row.share.get("forward")
            yield _check(bar, case, (share, _why_not(case, plain)))


def _memory_check(request: Request, backend: str, memory: list[Memory]) -> Check:
    bar = Bar(
        f"{backend}.memory",
        f"{backend}, no bias: peak extra memory over the reference's",
        "at most", MEMORY, "%",
    )  # fmt: skip
    shape = request.memory_shape().name
    if not request.memory:
        return checked_bar(bar, shape, None, why="not measured: give --memory")
    rows = {row.name: row for row in memory}
    names = [row_name(name, PLAIN, "float32") for name in (backend, REFERENCE)]
    absent = [name for name in names if name not in rows or rows[name].peak_bytes is None]
    if absent:
        reason = rows[absent[0]].reason if absent[0] in rows else "was not asked for"
        return checked_bar(bar, shape, None, why=f"{absent[0]}: {reason}")
    ours, dense = (rows[name].peak_bytes or 0 for name in names)
    return checked_bar(bar, shape, exactly(ours / dense) if dense else None)


def _bf16(case: Case, backend: str) -> Measured:
    if not bf16_instructions():
        return None, "this CPU has no bfloat16 instructions"
    return _time_ratio(
        case, row_name(backend, PLAIN, "float32"), row_name(backend, PLAIN, "bfloat16")
    )


def _time_ratio(case: Case, above: str, below: str) -> Measured:
    """Time of one row over that of another, round by round."""
    rows = [case.row(name) for name in (above, below)]
    if rows[0] is None or rows[1] is None:
        return None, "; ".join(filter(None, (_why_not(case, name) for name in (above, below))))
    return ratio_interval(rows[0].total_s(), rows[1].total_s()), ""


def _why_not(case: Case, name: str) -> str:
    if case.row(name) is not None:
        return ""
    known = {left.name: left.reason for left in case.left_out}
    return f"{name}: {known.get(name, 'was not asked for')}"


def _check(bar: Bar, case: Case, measured: Measured) -> Check:
    interval, reason = measured
    return checked_bar(bar, case.name, interval, why=reason)
