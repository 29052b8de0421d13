"""Our rows as steps to time: forward, then backward of what the forward pass kept."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrank_cli.attention import attend
from genrank_cli.bench.attention.inputs import Inputs
from genrank_cli.bench.attention.peers import peer_forward
from genrank_cli.bench.attention.plan import RowSpec
from genrank_cli.bench.timing import Subject

Forward = Callable[[], Tensor]


class Step:
    """A training step of attention; its parts are called one after the other."""

    def __init__(self, forward: Forward, wanted: list[Tensor], grad: Tensor) -> None:
        self._forward, self._wanted, self._grad = forward, wanted, grad
        self._out: Tensor | None = None

    def forward(self) -> None:
        """Compute the output, keep what backward needs."""
        self._out = self._forward()

    def backward(self) -> None:
        """The gradients of q, k, v and the bias's learned tensors; they are thrown away."""
        out, self._out = self._out, None
        assert out is not None
        torch.autograd.grad(out, self._wanted, self._grad)

    def run(self) -> None:
        """Both."""
        self.forward()
        self.backward()


def subject(spec: RowSpec, inputs: Inputs) -> Subject:
    """The row as something to time. Nothing runs yet; tensors are made on the first call."""
    made: list[Step] = []

    def step() -> Step:
        if not made:
            made.append(make_step(spec, inputs))
        return made[0]

    parts = {"forward": lambda: step().forward(), "backward": lambda: step().backward()}
    return Subject(spec.name, parts)


def make_step(spec: RowSpec, inputs: Inputs) -> Step:
    """The row's training step on the case's tensors."""
    data, grad = inputs.data(spec.dtype)
    if spec.is_peer:
        return Step(*peer_forward(spec.backend, data, grad, inputs))
    bias = inputs.bias(spec.bias)
    learned = [] if bias is None else [x for x in bias.parameters() if x.requires_grad]
    forward = _ours(spec, data, inputs)
    return Step(forward, [*data, *learned], grad)


def _ours(spec: RowSpec, data: list[Tensor], inputs: Inputs) -> Forward:
    bias, shape = inputs.bias(spec.bias), inputs.shape

    def forward() -> Tensor:
        return attend(
            *data,
            offsets=inputs.offsets,
            mask=inputs.mask,
            bias=None if bias is None else bias(inputs.position, inputs.time),
            activation=spec.activation,
            scale=shape.width**-0.5,
            norm=shape.seq_len,
            backend=spec.backend,
        )

    return forward
