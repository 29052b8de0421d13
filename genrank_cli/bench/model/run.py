"""Every row of a case in one set of rounds, and the record of all cases."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from genrank_cli.bench.begin import begun
from genrank_cli.bench.machine import Load, load_warnings
from genrank_cli.bench.memory import in_fresh_process
from genrank_cli.bench.model.batch import Input, make_input
from genrank_cli.bench.model.claims import checks, predicted
from genrank_cli.bench.model.plan import Request, described
from genrank_cli.bench.model.regimes import Regime, regimes
from genrank_cli.bench.model.stages import EVALUATION, PARTS, STEP, row_name, subjects
from genrank_cli.bench.model.work import Work, work_of
from genrank_cli.bench.peak import Probe, copy_probe, product_probe
from genrank_cli.bench.record import BenchRecord, Case, Memory, Row, finite
from genrank_cli.bench.rows import (
    Spec,
    left_out_rows,
    make_row,
    pace_of,
    probe_rows,
    scaled,
)
from genrank_cli.bench.statistics import ratio_interval
from genrank_cli.bench.timing import Plan, Timings, clock_for, measure
from genrank_cli.bench.watch import Watch
from genrank_cli.errors import GenrankError
from genrank_cli.training.environment import environment


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
        for seq_len in request.seq_lens:
            cases.append(_case(request, seq_len, watch))
        if request.memory:
            _memory(request, watch, memory)
    except KeyboardInterrupt:
        if not cases:
            raise
        interrupted = True
    if not any(case.rows for case in cases):
        first = cases[0].left_out[0]
        raise GenrankError(f"no row could run: {first.name}: {first.reason}")
    found = {case.name: regimes(request, case.labels["seq_len"]) for case in cases}
    block = environment(request.device)
    return BenchRecord(
        bench="model",
        title=f"Training steps, size {request.size}, {request.samples} samples",
        settings=request.settings(),
        cases=cases,
        memory_case=case_name(request.seq_lens[0]) if memory else "",
        memory=memory,
        checks=checks(request, cases, found),
        environment=block,
        command=block["command"],
        interrupted=interrupted,
        extra=_extra(cases, found),
    )


def _extra(cases: list[Case], found: dict[str, list[Regime]]) -> dict[str, Any]:
    """Both regimes of every case, and what the single changes predict for both, where that is."""
    both = {case.name: predicted(case) for case in cases}
    return {
        "regimes": {name: [asdict(regime) for regime in kinds] for name, kinds in found.items()},
        "predicted_speed": {name: finite(x) for name, x in both.items() if x is not None},
    }


def case_name(seq_len: int) -> str:
    """``480 tokens``."""
    return f"{seq_len} tokens"


def _case(request: Request, seq_len: int, watch: Watch) -> Case:
    name = case_name(seq_len)
    made = make_input(request, seq_len)
    product, copy = product_probe(request.dtype, request.device), copy_probe(request.device)
    timed = [one for model in request.models for one in subjects(request, model, seq_len, made)]
    works = {model: work_of(request, model, seq_len, made) for model in request.models}
    base = row_name(request.base, STEP)
    begun = Load.now()
    everything = [*timed, product.subject, copy.subject]
    timings = measure(
        everything,
        clock_for(torch.device(request.device).type),
        Plan(request.rounds, request.precision, request.budget_s),
        pairs=[(row_name(x, STEP), base) for x in request.models if x != request.base],
        on_warm=lambda row: watch.warming(name, row),
        on_round=lambda done, precision: watch.round_done(name, done, precision),
    )
    warnings = load_warnings(begun, Load.now()) + pace_of(product, timings)
    rows = [
        _row(request, model, stage, works[model], timings, product)
        for model in request.models
        for stage in (STEP, EVALUATION, *PARTS)
        if row_name(model, stage) in timings.rounds_s
    ]
    return Case(
        name=name,
        labels=_labels(request, seq_len, made),
        rounds=timings.rounds,
        wall_s=timings.wall_s,
        rows=rows,
        probes=probe_rows((product, copy), timings),
        left_out=left_out_rows((one.name for one in everything), timings, expected=False),
        warnings=warnings,
    )


def _labels(request: Request, seq_len: int, made: Input) -> dict[str, int]:
    batch = made.batch
    return {
        "seq_len": seq_len,
        "samples": batch.samples,
        "history_events": len(batch.actions),
        "candidates": len(batch.rows),
    }


def _row(
    request: Request, model: str, stage: str, work: Work, timings: Timings, product: Probe
) -> Row:
    """A row of a stage, compared with the same stage of the base."""
    name = row_name(model, stage)
    base = row_name(request.base, stage)
    labels = {
        "model": model,
        "stage": stage,
        "title": described(model).title,
        "dtype": request.dtype,
    }
    figures = work.figures() if stage == STEP else {}
    bases = () if name == base else (base,)
    row = make_row(Spec(name, labels, _flops(stage, work), bases, figures), timings, product)
    if stage != STEP:
        return row
    share = row.share
    if product.subject.name in timings.rounds_s:
        both = [sum(x) for x in zip(*(row.rounds_s[way] for way in work.flops), strict=True)]
        limit = ratio_interval(timings.total(product.subject.name), both)
        rate = scaled(limit, sum(work.flops.values()) / product.amount)
        share = row.share | {"forward+backward": rate}
    return row.model_copy(update={"share": share, "hardware_flops": work.hardware_flops})


def _flops(stage: str, work: Work) -> dict[str, int]:
    """Model FLOPs of the timed parts of a stage; attention and projections are of one block."""
    if stage == STEP:
        return work.flops
    if stage == EVALUATION:
        return {"forward": work.flops["forward"]}
    share = work.blocks if stage in ("attention", "projections") else 1
    return {
        "forward": work.forward.get(stage, 0) // share,
        "backward": work.backward.get(stage, 0) // share,
    }


def _memory(request: Request, watch: Watch, found: list[Memory]) -> None:
    """Add the peak memory of a training step of every row, at the first length."""
    for model in request.models:
        watch.memory(model)
        labels = {"model": model}
        peak: int | None = None
        reason = ""
        try:
            peak = _peak(request, model)
        except (GenrankError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
        found.append(Memory(name=model, labels=labels, peak_bytes=peak, reason=reason))


def _peak(request: Request, model: str) -> int:
    asked: dict[str, Any] = {"settings": request.settings(), "model": model}
    if request.device.startswith("cuda"):
        from genrank_cli.bench.model.child import peak_bytes

        return peak_bytes(asked)
    return int(in_fresh_process("genrank_cli.bench.model.child", asked)["peak_bytes"])
