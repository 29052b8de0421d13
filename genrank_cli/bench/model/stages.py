"""A row's training step, its evaluation, and the parts that can be timed alone.

Legend: m candidates, d width.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache, partial
from typing import Any, cast

import torch
from torch import Tensor, nn

from genrank_cli.bench.batches import fill_zero_weights
from genrank_cli.bench.model.batch import Input
from genrank_cli.bench.model.plan import Request
from genrank_cli.bench.stages import Bench, Timed, lazy_subject
from genrank_cli.bench.timing import Subject
from genrank_cli.models.build import build_ranker
from genrank_cli.models.generative import GenerativeRanker
from genrank_cli.training.objective import Objective
from genrank_cli.training.optimizer import make_optimizers

STEP, EVALUATION = "step", "evaluation"

#: Parts of a generative ranker's step, each forward and backward alone. Attention and projections
#: are those of one block.
PARTS = ("embedding", "attention", "projections", "head")


def row_name(model: str, stage: str) -> str:
    """``genrank/step``."""
    return f"{model}/{stage}"


class Training:
    """A model with its optimiser; the steps of training are called one after the other."""

    def __init__(self, request: Request, model: str, seq_len: int, made: Input) -> None:
        config = request.config(model, seq_len)
        torch.manual_seed(0)
        built = build_ranker(config.model, made.schema)
        fill_zero_weights(built)
        self.model = built.to(request.device)
        self.batch = made.batch.to(request.device)
        self._objective = Objective.of(config, made.schema.tasks, made.schema.kinds, 0)
        self._optimizers = make_optimizers(self.model, config.training)
        self._clip = config.training.clip
        self._low = None if request.dtype == "float32" else getattr(torch, request.dtype)
        self._loss: Tensor | None = None

    def lowered(self) -> Any:
        """The context of a forward pass: automatic mixed precision where it was asked for."""
        if self._low is None:
            return nullcontext()
        return torch.autocast(self.batch.prefix.device.type, self._low)

    def forward(self) -> None:
        """Scores and the loss."""
        self.model.train()
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)
        with self.lowered():
            self._loss = self._objective.loss(self.model, self.batch, 0, 0)

    def backward(self) -> None:
        """All gradients."""
        loss, self._loss = self._loss, None
        assert loss is not None
        loss.backward()  # type: ignore[no-untyped-call]

    def optimize(self) -> None:
        """Clip the gradients and change the weights."""
        dense = [p for p in self.model.parameters() if p.grad is not None and not p.grad.is_sparse]
        nn.utils.clip_grad_norm_(dense, self._clip)
        for optimizer in self._optimizers:
            optimizer.step()

    def evaluate(self) -> None:
        """Scores of the candidates."""
        self.model.eval()
        with torch.inference_mode(), self.lowered():
            self.model(self.batch)

    def step(self) -> None:
        """All of a training step."""
        self.forward()
        self.backward()
        self.optimize()


class Alone:
    """A part of the model, forward and backward, with a fixed gradient of its output."""

    def __init__(self, forward: Callable[[], Tensor], wanted: list[Tensor]) -> None:
        self._forward, self._wanted = forward, wanted
        self._out: Tensor | None = None
        self._grad: Tensor | None = None

    def forward(self) -> None:
        self._out = self._forward()

    def backward(self) -> None:
        """The gradients, which are thrown away."""
        out, self._out = self._out, None
        assert out is not None
        if self._grad is None:
            self._grad = torch.randn_like(out)
        torch.autograd.grad(out, self._wanted, self._grad, allow_unused=True)


class Lowered:
    """A part whose forward pass runs in the context of the model's."""

    def __init__(self, training: Training, part: Timed) -> None:
        self._training, self._part = training, part
        self.backward = part.backward

    def forward(self) -> None:
        """In mixed precision where it was asked for."""
        with self._training.lowered():
            self._part.forward()


def subjects(request: Request, model: str, seq_len: int, made: Input) -> list[Subject]:
    """What is timed of one row.

    The model is built in the first run, so that what that raises is a reason to leave it out.
    """
    training = cache(lambda: Training(request, model, seq_len, made))
    step = {
        "forward": lambda: training().forward(),
        "backward": lambda: training().backward(),
        "optimizer": lambda: training().optimize(),
    }
    return [
        Subject(row_name(model, STEP), step),
        Subject(row_name(model, EVALUATION), {"forward": lambda: training().evaluate()}),
        *_parts(request, model, seq_len, training),
    ]


def _parts(
    request: Request, model: str, seq_len: int, training: Callable[[], Training]
) -> list[Subject]:
    """Forward and backward of `PARTS`; none of a model that has no tokens."""
    if request.config(model, seq_len).model.kind != "generative":
        return []

    @cache
    def bench() -> Bench:
        made = training()
        return Bench(cast(GenerativeRanker, made.model), made.batch, made.lowered)

    makers: dict[str, Callable[[], Timed]] = {
        "embedding": lambda: _embedding(bench().model, training()),
        "attention": lambda: bench().attention(),
        "projections": lambda: bench().projections(),
        "head": lambda: _head(bench().model, training()),
    }
    return [
        lazy_subject(row_name(model, name), partial(_lowered, training, makers[name]))
        for name in PARTS
    ]


def _lowered(training: Callable[[], Training], make: Callable[[], Timed]) -> Lowered:
    return Lowered(training(), make())


def _embedding(ranker: GenerativeRanker, training: Training) -> Alone:
    """From the batch to the first block's input, its layout and mask included."""
    blocks, biases = set(ranker.blocks.parameters()), set(ranker.biases.parameters())
    others = {*ranker.head.parameters(), *ranker.output.parameters(), *ranker.extra.parameters()}
    skipped = blocks | biases | others
    wanted: list[Tensor] = [p for p in ranker.parameters() if p not in skipped]

    def forward() -> Tensor:
        layout = ranker.layout(training.batch)
        shown: Tensor = ranker.dropout(ranker.tokens(training.batch, layout))
        return shown

    return Alone(forward, wanted)


def _head(ranker: GenerativeRanker, training: Training) -> Alone:
    """From the candidates' hidden states to their outputs, with what modules add."""
    device = training.batch.prefix.device
    states = torch.randn(len(training.batch.rows), ranker.config.width, device=device)
    states.requires_grad_()
    weights = [*ranker.head.parameters(), *ranker.output.parameters()]
    return Alone(lambda: ranker.logits(states, training.batch), [states, *weights])
