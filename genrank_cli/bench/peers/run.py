"""All peers of a case in the same rounds, each compared with the plain formula first."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from genrank_cli.bench.attention.plan import Shape
from genrank_cli.bench.attention.rows import Step
from genrank_cli.bench.begin import begun
from genrank_cli.bench.checks import Bar, exactly
from genrank_cli.bench.flops import attention_flops, visible_cells
from genrank_cli.bench.machine import Load, load_warnings, pace_warnings
from genrank_cli.bench.peak import product_probe
from genrank_cli.bench.peers.plan import Request
from genrank_cli.bench.peers.registry import PEERS, Peer
from genrank_cli.bench.peers.tensors import Made, Tensors
from genrank_cli.bench.record import BenchRecord, Case, Check, LeftOut
from genrank_cli.bench.rows import Spec, checked_bar, left_out_rows, make_row, probe_row
from genrank_cli.bench.timing import Plan, Subject, Timings, clock_for, measure
from genrank_cli.bench.watch import Watch
from genrank_cli.errors import GenrankError
from genrank_cli.models.flops import weights
from genrank_cli.training.environment import environment

#: What output and gradients may differ by from the reference's, over its largest number.
TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-2, "float16": 5e-3}

log = logging.getLogger(__name__)


def run(request: Request, watch: Watch | None = None) -> BenchRecord:
    """Measure everything that the (checked) request names and that is installed.

    Stopped by Ctrl-C, it gives the cases that were finished, if there is one. Raises `GenrankError`
    where nothing could run.
    """
    watch = watch or Watch()
    request = begun(request)
    cases: list[Case] = []
    checks: list[Check] = []
    interrupted = False
    try:
        for shape in request.shapes():
            cases.append(_case(request, shape, watch, checks))
    except KeyboardInterrupt:
        if not cases:
            raise
        interrupted = True
    if not any(case.rows for case in cases):
        first = cases[0].left_out[0]
        raise GenrankError(f"nothing could run: {first.name}: {first.reason}")
    block = environment(request.device)
    return BenchRecord(
        bench="peers",
        title="Peers on the same tensors: forward and backward",
        settings=request.settings(),
        cases=cases,
        memory_case="",
        memory=[],
        checks=checks,
        environment=block,
        command=block["command"],
        interrupted=interrupted,
    )


def _case(request: Request, shape: Shape, watch: Watch, checks: list[Check]) -> Case:
    names = request.chosen()
    tensors = Tensors(shape, request.dtype, request.device)
    specs = [spec(name, PEERS[name], tensors) for name in names]
    probe = product_probe(request.dtype, request.device)
    begun = Load.now()
    timings = measure(
        [*(_subject(name, PEERS[name], tensors) for name in names), probe.subject],
        clock_for(torch.device(request.device).type),
        Plan(request.rounds, request.precision, request.budget_s),
        pairs=[(row.name, row.bases[0]) for row in specs if row.bases],
        on_warm=lambda row: watch.warming(shape.name, row),
        on_round=lambda done, precision: watch.round_done(shape.name, done, precision),
    )
    warnings = load_warnings(begun, Load.now()) + pace_warnings(timings.total(probe.subject.name))
    ran = [row for row in specs if row.name in timings.rounds_s]
    checks += [_check(row.name, tensors, request.dtype, shape.name) for row in ran]
    return Case(
        name=shape.name,
        labels=shape.labels(),
        rounds=timings.rounds,
        wall_s=timings.wall_s,
        rows=[make_row(row, timings, probe) for row in ran],
        probes=[probe_row(probe, timings)],
        left_out=_left_out(names, timings),
        warnings=warnings,
    )


def _left_out(names: tuple[str, ...], timings: Timings) -> list[LeftOut]:
    found: list[LeftOut] = []
    for name in names:
        found += left_out_rows([name], timings, expected=not PEERS[name].ours)
    return found


def spec(name: str, peer: Peer, tensors: Tensors) -> Spec:
    """The row: its useful FLOPs are those of the formula, whoever computes it."""
    shape = tensors.shape
    cells = shape.batch_size * visible_cells(shape.seq_len, 0)
    attention = attention_flops(cells, shape.heads, shape.width)
    matrices = weights(tensors.block(peer.block)) if peer.block else 0
    products = 2 * shape.tokens * matrices
    return Spec(
        name,
        {"what": peer.what, "dtype": str(tensors.dtype).removeprefix("torch.")},
        {"forward": attention.forward + products, "backward": attention.backward + 2 * products},
        () if name == peer.base else (peer.base,),
    )


def _subject(name: str, peer: Peer, tensors: Tensors) -> Subject:
    """Built on the first call, so that what it raises is a reason to leave it out."""
    made: list[Step] = []

    def step() -> Step:
        if not made:
            built = peer.make(tensors)
            made.append(Step(built.forward, [*built.inputs, *built.weights], built.grad))
        return made[0]

    parts = {"forward": lambda: step().forward(), "backward": lambda: step().backward()}
    return Subject(name, parts)


def _check(name: str, tensors: Tensors, dtype: str, case: str) -> Check:
    """That it computes the formula of its reference."""
    peer = PEERS[name]
    bar = Bar(f"formula.{name}", f"{name}: off the plain formula, forward and backward", "at most",
              TOLERANCE[dtype], "")  # fmt: skip
    try:
        off = exactly(difference(peer.make(tensors), peer.reference(tensors)))
    except Exception as error:  # of somebody else's code, after all rows were timed
        log.debug("%s could not be checked", name, exc_info=True)
        return checked_bar(bar, case, None, why=str(error) or repr(error))
    return checked_bar(bar, case, off)


def difference(made: Made, reference: Made) -> float:
    """The largest difference of output and inputs' gradients, each over the reference's largest."""
    pairs = zip(_results(made), _results(reference), strict=True)
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in pairs)


def _results(made: Made) -> list[Tensor]:
    out = made.forward()
    found = [out, *torch.autograd.grad(out, made.inputs, made.grad)]
    return [made.ours(x.detach()).flatten(1).double() for x in found]
