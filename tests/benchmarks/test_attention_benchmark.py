"""Attention, forward and backward, at two sizes; skipped unless asked for.

``pytest tests/benchmarks --benchmark-only --benchmark-group-by=group``. Compare ratios inside one
group only: PyTorch's own causal softmax is there as the practical limit of a CPU. The plan of the
batch and the codes of its bias are made in the warm-up, as by the first layer of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from genrank_cli.attention import Alibi, BiasModule, Mask, RelativeBias, attend, packed_mask
from tests.benchmarks.rounds import LARGE_ROUNDS, ROUNDS, timed


@dataclass
class Size:
    """``samples`` sequences of ``history`` tokens and ``shown`` candidates in requests of 10."""

    samples: int
    history: int
    shown: int
    heads: int
    width: int
    packed: bool  # a request's candidates see the history before it, else all of it


SIZES = {
    "paper-8x480-8x96": Size(8, 470, 10, 8, 96, packed=False),
    "tiny-30x200-2x32": Size(30, 100, 100, 2, 32, packed=True),
}
BIASES: dict[str, Callable[[Size], BiasModule | None]] = {
    "none": lambda size: None,
    "rab": lambda size: RelativeBias(1_000),
    "rab-materialized": lambda size: RelativeBias(1_000, "materialized"),
    "alibi": lambda size: Alibi(size.heads),
}


def _mask(size: Size) -> Mask:
    counts = torch.full((size.samples,), size.history), torch.full((size.samples,), size.shown)
    own = torch.arange(size.shown) // 10  # requests of 10
    prefix = own * 10 if size.packed else torch.full_like(own, size.history)
    group = torch.arange(size.samples)[:, None] * 1_000 + own
    return packed_mask(*counts, prefix.repeat(size.samples), group.flatten())


def _inputs(shape: tuple[int, ...]) -> tuple[list[Tensor], Tensor]:
    q, k, v, grad = (0.1 * torch.randn(shape) for _ in range(4))
    return [x.requires_grad_() for x in (q, k, v)], grad


#: Every bias with SiLU; softmax and the dense reference without one.
CASES = [
    *(("auto", "silu", bias) for bias in BIASES),
    *(("blockwise", "silu", bias) for bias in BIASES),
    ("auto", "softmax", "none"),
    ("blockwise", "softmax", "none"),
    ("reference", "silu", "none"),
    ("reference", "softmax", "none"),
]


@pytest.mark.parametrize(("backend", "activation", "bias"), CASES)
@pytest.mark.parametrize("name", SIZES)
def test_attention(benchmark: Any, name: str, backend: str, bias: str, activation: str) -> None:
    size = SIZES[name]
    mask, module = _mask(size), BIASES[bias](size)
    tokens = len(mask.stop)
    inputs, grad = _inputs((tokens, size.heads, size.width))
    offsets = torch.arange(0, tokens + 1, size.history + size.shown)
    place = torch.arange(tokens) % (size.history + size.shown)
    time = place.double() * 60
    learned = [] if module is None else list(module.parameters())

    def step() -> None:
        out = attend(
            *inputs,
            offsets=offsets,
            mask=mask,
            bias=None if module is None else module(place, time),
            activation=activation,
            scale=1.0,
            norm=512,
            backend=backend,
        )
        torch.autograd.grad(out, [*inputs, *learned], grad)

    benchmark.group = f"{name} {activation}"
    timed(benchmark, step, LARGE_ROUNDS if name.startswith("paper") else ROUNDS)


@pytest.mark.parametrize("name", SIZES)
def test_pytorch_causal_softmax(benchmark: Any, name: str) -> None:
    size = SIZES[name]
    shape = size.samples, size.heads, size.history + size.shown, size.width
    (q, k, v), grad = _inputs(shape)

    def step() -> None:
        out = scaled_dot_product_attention(q, k, v, is_causal=True)
        torch.autograd.grad(out, (q, k, v), grad)

    benchmark.group = f"{name} softmax"
    timed(benchmark, step, LARGE_ROUNDS if name.startswith("paper") else ROUNDS)
