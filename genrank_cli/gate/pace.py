"""The speed half of the suite: training steps and attention beside a fixed piece of work.

Seconds belong to a machine and to a moment. So every round also times a *yardstick*: a training
step of a plain PyTorch network that shares no code with the models, but the kind of work they do.
Times are compared in its units. They are seconds of processor time on one thread: what else the
machine does takes turns with us, which is no work of ours.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from genrank_cli.attention import attend, packed_mask
from genrank_cli.bench.machine import Load, load_warnings
from genrank_cli.bench.timing import Plan, Subject, measure
from genrank_cli.data.store import Store
from genrank_cli.gate.measurement import Failure, Pace
from genrank_cli.gate.quality import configuration
from genrank_cli.gate.suite import Suite
from genrank_cli.training.loop import Trainer
from genrank_cli.training.prepare import prepare
from genrank_cli.training.runtime import start

YARDSTICK = "yardstick"
CPU = torch.device("cpu")

#: Of the attention subjects: sequences, tokens, heads, width of a head.
SHAPE = (4, 256, 2, 32)

OnRound = Callable[[int], None]


class WorkClock:
    """Processor time of this process. Waiting, such as for a disk, is not counted."""

    def laps(self, parts: Sequence[Callable[[], object]]) -> list[float]:
        """Seconds of each part."""
        stamps = [time.process_time()]
        for part in parts:
            part()
            stamps.append(time.process_time())
        return [end - begin for begin, end in pairwise(stamps)]


def measure_pace(
    suite: Suite, store: Store, on_round: OnRound = lambda done: None
) -> tuple[Pace, list[Failure]]:
    """Times of all subjects in alternating rounds on one thread, and those that could not run."""
    threads = torch.get_num_threads()
    loads: list[Load] = []  # from the end of the first round: compilers are other processes too

    def heard(done: int) -> None:
        loads.append(Load.now())
        on_round(done)

    start(0, 1)
    try:
        timings = measure(
            [Subject(YARDSTICK, {"run": yardstick()}), *_subjects(suite, store)],
            WorkClock(),
            Plan(rounds=suite.pace.rounds),
            on_round=lambda done, precision: heard(done),
        )
    finally:
        torch.set_num_threads(threads)
    rounds = {name: tuple(timings.total(name)) for name in timings.rounds_s}
    left_out = [  # a backend may need a compiler that is not here; a model must train
        Failure(id=f"speed/{name}", reason=reason, skipped=name.endswith("attention"))
        for name, reason in timings.left_out.items()
    ]
    pace = Pace(
        data_hash=store.manifest.data_hash,
        yardstick=YARDSTICK,
        rounds_s=rounds,
        disturbed=_disturbed(loads),
    )
    return pace, left_out


def _disturbed(loads: Sequence[Load]) -> str:
    """What other processes and a hypervisor took; their advice is of another command's options."""
    found = load_warnings(loads[0], loads[-1]) if loads else []
    return "; ".join(warning.partition(":")[0] for warning in found)


def _subjects(suite: Suite, store: Store) -> list[Subject]:
    steps = [
        Subject(f"{model} step", {"run": _step(suite, store, model)}) for model in suite.pace.models
    ]
    kernels = [
        Subject(f"{backend} attention", {"run": _attention(backend)})
        for backend in suite.pace.attention
    ]
    return steps + kernels


def _step(suite: Suite, store: Store, model: str) -> Callable[[], object]:
    """One training step on the batch in the middle of those of an epoch, sorted by length."""
    config = configuration(suite, suite.part(suite.pace.quality), model)
    prepared = prepare(store, config)
    trainer = Trainer(prepared, config, 0, CPU)
    order = prepared.train.in_order()
    batch = prepared.train.batch(order[len(order) // 2])
    return lambda: trainer.train_step(batch)


def _attention(backend: str) -> Callable[[], object]:
    """Forward and backward on causal sequences of `SHAPE`."""
    samples, tokens, heads, width = SHAPE
    draw = torch.Generator().manual_seed(0)
    q, k, v, gradient = (
        torch.randn(samples * tokens, heads, width, generator=draw) for _ in range(4)
    )
    inputs = [x.requires_grad_() for x in (q, k, v)]
    none = torch.zeros(0, dtype=torch.int64)
    counts = torch.full((samples,), tokens), torch.zeros(samples, dtype=torch.int64)
    mask = packed_mask(*counts, none, none)
    offsets = torch.arange(0, samples * tokens + 1, tokens)

    def run() -> object:
        out = attend(
            *inputs,
            offsets=offsets,
            mask=mask,
            bias=None,
            activation="silu",
            scale=width**-0.5,
            norm=tokens,
            backend=backend,
        )
        return torch.autograd.grad(out, inputs, gradient)

    return run


class _Plain(nn.Module):
    """Embedding, three gated layers with norms, one logit: `[rows, 8]` ids to `[rows]`."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(2_000, 64)
        self.layers = nn.ModuleList(nn.Linear(64, 256) for _ in range(3))
        self.outs = nn.ModuleList(nn.Linear(128, 64) for _ in range(3))
        self.norm = nn.LayerNorm(64)
        self.head = nn.Linear(64, 1)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids).mean(dim=1)
        for layer, out in zip(self.layers, self.outs, strict=True):
            gate, value = nn.functional.silu(layer(self.norm(x))).chunk(2, dim=-1)
            x = x + out(gate * value)
        logits: Tensor = self.head(self.norm(x)).squeeze(-1)
        return logits


def yardstick() -> Callable[[], object]:
    """A training step of `_Plain`. Its work never changes: a change would be a new suite version.

    It must not use anything of this package, or a slower package would look like a slower machine.
    """
    model = _Plain()
    optimizer = torch.optim.AdamW(model.parameters())
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(2_000, (512, 8), generator=draw)
    labels = torch.rand(512, generator=draw).round()

    def run() -> object:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(ids), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss

    return run
