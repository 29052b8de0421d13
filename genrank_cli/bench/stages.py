"""The training step of a model and the parts of one block as things to time, on one batch."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from genrank_cli.attention import Bias
from genrank_cli.bench.attention.rows import Step
from genrank_cli.bench.timing import Subject
from genrank_cli.data.batch import Batch
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.generative import GenerativeRanker


class Timed(Protocol):
    """Something whose two passes are timed apart."""

    def forward(self) -> None: ...

    def backward(self) -> None: ...


def lazy_subject(name: str, make: Callable[[], Timed]) -> Subject:
    """``make``'s passes as something to time; it is called once, in the first run."""
    made = cache(make)
    return Subject(
        name, {"forward": lambda: made().forward(), "backward": lambda: made().backward()}
    )


class Bench:
    """One model in training mode with its batch, and what its first block gets to see."""

    def __init__(
        self,
        model: GenerativeRanker,
        batch: Batch,
        lowered: Callable[[], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        """Both on the same device.

        ``lowered``: the context of forward passes, such as mixed precision. What a part gets to see
        is made in it, so that it has the dtype that it has inside the model.
        """
        self.model, self.batch, self._lowered = model.train(), batch, lowered
        self.layout = model.layout(batch)
        self.block = cast(HstuBlock, model.blocks[0])
        self._loss: Tensor | None = None
        with torch.no_grad(), lowered():
            self.x = model.tokens(batch, self.layout)

    def forward(self) -> None:
        """Scores and the loss."""
        self.model.zero_grad(set_to_none=True)
        self._loss = binary_cross_entropy_with_logits(self.model(self.batch), self.batch.labels)

    def backward(self) -> None:
        """All gradients."""
        loss, self._loss = self._loss, None
        assert loss is not None
        loss.backward()  # type: ignore[no-untyped-call]

    def attention(self) -> Step:
        """Of the first block; its bias is computed as in the model, and learns."""
        inputs = [x.detach().clone().requires_grad_() for x in self._inputs]
        learned = [x for bias in self.model.biases[:1] for x in bias.parameters()]
        return Step(
            lambda: self._attend(inputs), [*inputs, *learned], torch.randn_like(self._attended)
        )

    @cached_property
    def _inputs(self) -> list[Tensor]:
        """q, k, v as the attention of the first block gets them, contiguous."""
        with torch.no_grad(), self._lowered():
            _, v, q, k = self.block.project(self.x)
        return [x.contiguous() for x in (q, k, v)]

    @cached_property
    def _attended(self) -> Tensor:
        """What the first block's attention gives, [T, d]."""
        with torch.no_grad(), self._lowered():
            return self._attend(self._inputs)

    def _attend(self, inputs: list[Tensor]) -> Tensor:
        q, k, v = inputs
        layout = self.layout
        return self.block.attend(q, k, v, layout.offsets, layout.mask, self._bias())

    def _bias(self) -> Bias | None:
        for bias in self.model.biases[:1]:
            made: Bias = bias(self.layout.position, self.layout.time)
            return made
        return None

    def projections(self) -> Projections:
        """The rest of the first block."""
        return Projections(self.block, self.x, self._attended)


class Projections:
    """A block without its attention: x → u, v, q, k, and (x, attended, u) → the block's output."""

    def __init__(self, block: HstuBlock, x: Tensor, attended: Tensor) -> None:
        self._block = block
        self._x, self._attended = (y.detach().clone().requires_grad_() for y in (x, attended))
        self._wanted = [self._x, self._attended, *block.parameters()]
        self._out: list[Tensor] = []
        self._grads: list[Tensor] = []

    def forward(self) -> None:
        u, v, q, k = self._block.project(self._x)
        self._out = [self._block.update(self._x, self._attended, u), v, q, k]

    def backward(self) -> None:
        """The gradients of both inputs and of the matrices and norms; they are thrown away."""
        if not self._grads:
            self._grads = [torch.randn_like(part) for part in self._out]
        torch.autograd.grad(self._out, self._wanted, self._grads)
        self._out = []
