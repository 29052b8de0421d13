"""The whole bench: every case in rounds, the memory of one long sequence, the record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from genrank_cli.bench.attention.bars import checks
from genrank_cli.bench.attention.child import peak_bytes, request_of
from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.plan import (
    LIMIT,
    PLAIN,
    REFERENCE,
    Request,
    RowSpec,
    Shape,
    row_name,
)
from genrank_cli.bench.attention.rows import subject
from genrank_cli.bench.begin import begun
from genrank_cli.bench.machine import Load, available_bytes, load_warnings
from genrank_cli.bench.memory import in_fresh_process
from genrank_cli.bench.peak import Probe, copy_probe, product_name, product_probe
from genrank_cli.bench.record import BenchRecord, Case, LeftOut, Memory, Row
from genrank_cli.bench.rows import left_out_rows, pace_of, probe_rows, scaled
from genrank_cli.bench.statistics import median_interval, outliers, ratio_interval
from genrank_cli.bench.timing import Plan, Timings, clock_for, measure
from genrank_cli.bench.watch import Watch
from genrank_cli.errors import GenrankError
from genrank_cli.training.environment import environment

#: Biases whose memory is worth a process each: the others hold no more than these.
MEMORY_BIASES = ("none", "rab", "rab-materialized")

#: Of the free memory, what the reference may take: the rest is everybody else's.
SAFE_SHARE = 0.8


def run(request: Request, watch: Watch | None = None) -> BenchRecord:
    """Measure everything that the (checked) request names.

    Stopped by Ctrl-C, it gives the cases that were finished, if there is one. Raises `GenrankError`
    where no row could run.
    """
    watch = watch or Watch()
    request = begun(request)
    cases: list[Case] = []
    memory: list[Memory] = []
    interrupted = False
    try:
        for shape in request.shapes():
            cases.append(_case(request, shape, watch))
        if request.memory:
            _memory(request, watch, memory)
    except KeyboardInterrupt:
        if not cases:
            raise
        interrupted = True
    if not any(case.rows for case in cases):
        first = cases[0].left_out[0]
        raise GenrankError(f"no row could run: {first.name}: {first.reason}")
    block = environment(request.device)
    return BenchRecord(
        bench="attention",
        title="Attention: forward and backward",
        settings=request.settings(),
        cases=cases,
        memory_case=request.memory_shape().name,
        memory=memory,
        checks=checks(request, cases, memory),
        environment=block,
        command=block["command"],
        interrupted=interrupted,
    )


def _case(request: Request, shape: Shape, watch: Watch) -> Case:
    kind = torch.device(request.device).type
    specs = request.specs()
    too_large = [spec for spec in specs if _refusal(spec, shape, kind)]
    chosen = [spec for spec in specs if spec not in too_large]
    probes = [*(product_probe(x, request.device) for x in request.dtypes)]
    probes.append(copy_probe(request.device))
    inputs = Inputs(shape, request.device)
    begun = Load.now()
    timings = measure(
        [*(subject(spec, inputs) for spec in chosen), *(probe.subject for probe in probes)],
        clock_for(kind),
        Plan(request.rounds, request.precision, request.budget_s),
        pairs=[(spec.name, base) for spec in chosen for base in spec.bases[:1]],
        on_warm=lambda row: watch.warming(shape.name, row),
        on_round=lambda done, precision: watch.round_done(shape.name, done, precision),
    )
    warnings = load_warnings(begun, Load.now()) + pace_of(probes[0], timings)
    left_out = [LeftOut(name=spec.name, reason=_refusal(spec, shape, kind), expected=True)
                for spec in too_large]  # fmt: skip
    left_out += [_left_out(spec, timings) for spec in chosen if spec.name in timings.left_out]
    left_out += left_out_rows([x.subject.name for x in probes], timings, expected=False)
    ran = [spec for spec in chosen if spec.name in timings.rounds_s]
    return Case(
        name=shape.name,
        labels=shape.labels(),
        rounds=timings.rounds,
        wall_s=timings.wall_s,
        rows=[_row(spec, shape, timings, probes) for spec in ran],
        probes=probe_rows(probes, timings),
        left_out=left_out,
        warnings=warnings,
    )


def _refusal(spec: RowSpec, shape: Shape, kind: str) -> str:
    """Why the row is not even tried: the dense reference would fill the memory."""
    if spec.backend != REFERENCE:
        return ""
    needed = shape.dense_bytes(getattr(torch, spec.dtype).itemsize)
    free = torch.cuda.mem_get_info()[0] if kind == "cuda" else available_bytes()
    if needed <= SAFE_SHARE * free:
        return ""
    return f"would hold about {needed / 2**30:.0f} GiB, {free / 2**30:.0f} GiB are free"


def _left_out(spec: RowSpec, timings: Timings) -> LeftOut:
    own = not (spec.is_peer or spec.backend == REFERENCE)
    return LeftOut(name=spec.name, reason=timings.left_out[spec.name], expected=not own)


def _row(spec: RowSpec, shape: Shape, timings: Timings, probes: Sequence[Probe]) -> Row:
    parts = timings.rounds_s[spec.name]
    series = parts | {"total": timings.total(spec.name)}
    flops = spec.flops(shape)
    bases = [base for base in spec.bases if base in timings.rounds_s]
    limit = row_name(LIMIT, PLAIN, spec.dtype)
    others = {*bases, *({limit} & timings.rounds_s.keys())} - {spec.name}
    product = next(p for p in probes if p.subject.name == product_name(spec.dtype))
    works = flops.parts() | {"total": sum(flops.parts().values())}
    known = product.subject.name in timings.rounds_s
    probe_s = timings.total(product.subject.name) if known else []
    return Row(
        name=spec.name,
        labels=spec.labels(),
        base=bases[0] if bases else None,
        repeats=timings.repeats[spec.name],
        rounds_s=parts,
        flops=flops.parts(),
        hardware_flops=flops.hardware_parts(),
        time_s={part: median_interval(times) for part, times in series.items()},
        ratio={x: ratio_interval(series["total"], timings.total(x)) for x in sorted(others)},
        share={
            part: scaled(ratio_interval(probe_s, times), works[part] / product.amount)
            for part, times in (series if known else {}).items()
        },
        outliers=outliers(series["total"]),
    )  # fmt: skip


def _memory(request: Request, watch: Watch, found: list[Memory]) -> None:
    """Add the peak extra memory of the rows of the first dtype that matter, one long sequence."""
    shape = request.memory_shape()
    rows = [
        spec
        for spec in request.specs()
        if spec.dtype == request.dtypes[0] and spec.bias in MEMORY_BIASES
    ]
    for spec in rows:
        watch.memory(spec.name)
        found.append(_memory_row(spec, shape, request))


def _memory_row(spec: RowSpec, shape: Shape, request: Request) -> Memory:
    kind = torch.device(request.device).type
    reason = _refusal(spec, shape, kind)
    peak: int | None = None
    if not reason:
        asked: dict[str, Any] = request_of(spec, shape, request.device, request.threads or 1)
        try:
            peak = _peak(asked, kind)
        except (GenrankError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
    return Memory(name=spec.name, labels=spec.labels(), peak_bytes=peak, reason=reason)


def _peak(asked: dict[str, Any], kind: str) -> int:
    if kind == "cuda":
        return peak_bytes(asked)
    return int(in_fresh_process("genrank_cli.bench.attention.child", asked)["peak_bytes"])
