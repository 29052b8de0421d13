"""Random jagged batches for the attention tests, and the error bars that they are held to.

Legend: T tokens, H heads, D head width, m candidates.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genrank_cli.attention import Alibi, AlibiTime, BiasModule, Mask, RelativeBias, attend
from genrank_cli.attention import packed_mask as make_mask
from genrank_cli.attention.cells import CellsRule
from genrank_cli.attention.materialized import materialize

Shape = list[tuple[int, int]]  # (history tokens, candidates) of each sequence

HEADS, WIDTH = 2, 8
POSITIONS = 20  # fewer than most sequences have tokens, so that distances are clamped
NORM = 50


def _random_tables(form: str) -> BiasModule:
    """Tables that depend neither on how a model begins nor on the tests before."""
    module, random = RelativeBias(POSITIONS, form), torch.Generator().manual_seed(0)
    for table in module.parameters():
        torch.nn.init.normal_(table, std=0.1, generator=random)
    return module


BIASES: dict[str, Callable[[], BiasModule | None]] = {
    "none": lambda: None,
    "rab": lambda: _random_tables("fused"),
    "rab-materialized": lambda: _random_tables("materialized"),
    "alibi": lambda: Alibi(HEADS),
    "alibi-time": lambda: AlibiTime(HEADS),
}


@dataclass
class Case:
    """A packed batch with float64 q, k, v [T, H, D] and an upstream gradient."""

    offsets: Tensor
    history: Tensor
    shown: Tensor
    prefix: Tensor
    group: Tensor
    position: Tensor
    time: Tensor
    q: Tensor
    k: Tensor
    v: Tensor
    grad: Tensor

    def mask(self, *, contextual: int = 0, **options: Any) -> Mask:
        """``contextual``: so many tokens of each history are contextual ones, or as many as all
        candidates of a sequence see.
        """
        counts = [
            min([contextual, int(length), *part.tolist()])
            for length, part in zip(
                self.history, self.prefix.split(self.shown.tolist()), strict=True
            )
        ]
        context = torch.tensor(counts, dtype=torch.int64)
        prefix = self.prefix - context.repeat_interleave(self.shown)
        return make_mask(
            self.history - context, self.shown, prefix, self.group,
            context_lengths=context, **options,
        )  # fmt: skip


def make_case(
    shape: Shape, *, per_request: int = 3, value_width: int = WIDTH, seed: int = 0
) -> Case:
    """Candidates stand at the (random) start of their request; times are seconds over days."""
    random = torch.Generator().manual_seed(seed)
    prefix, position, time = [], [], []
    for events, candidates in shape:
        moments = 5_000 * torch.rand(events + 1, generator=random, dtype=torch.float64).cumsum(0)
        requests = -(-candidates // per_request)
        starts = torch.randint(0, events + 1, (requests,), generator=random).sort().values
        own = starts.repeat_interleave(per_request)[:candidates]
        prefix.append(own)
        position += [torch.arange(events), own]
        time += [moments[:events], moments[own]]
    history, shown = torch.tensor(shape).unbind(1)
    place = torch.cat([torch.arange(int(count)) for count in shown])
    sample = torch.arange(len(shape)).repeat_interleave(shown)
    group = sample * 1_000 + place // per_request
    offsets = torch.cat((torch.zeros(1, dtype=torch.int64), (history + shown).cumsum(0)))
    tokens = int(offsets[-1])

    def normal(width: int) -> Tensor:
        return torch.randn(tokens, HEADS, width, generator=random, dtype=torch.float64)

    return Case(
        offsets, history, shown, torch.cat(prefix), group, torch.cat(position), torch.cat(time),
        normal(WIDTH), normal(WIDTH), normal(value_width), normal(value_width),
    )  # fmt: skip


def run(
    case: Case,
    mask: Mask,
    bias: BiasModule | None,
    activation: str = "silu",
    *,
    backend: str = "blockwise",
    dtype: torch.dtype = torch.float64,
    **options: Any,
) -> list[Tensor]:
    """The output and the gradients of q, k, v and the bias's learned tensors.

    ``options``: more arguments of `attend`.
    """
    inputs = [x.to(dtype).requires_grad_() for x in (case.q, case.k, case.v)]
    learned = [] if bias is None else [x for x in bias.parameters() if x.requires_grad]
    out = attend(
        *inputs,
        offsets=case.offsets,
        mask=mask,
        bias=None if bias is None else bias(case.position, case.time),
        activation=activation,
        scale=WIDTH**-0.5,
        norm=NORM,
        backend=backend,
        **options,
    )
    grads = torch.autograd.grad(out, [*inputs, *learned], case.grad.to(dtype))
    return [out.detach(), *grads]


def run_rows(
    case: Case,
    rows: Tensor,
    row_offsets: Tensor,
    mask: Mask,
    bias: BiasModule | None,
    activation: str,
    backend: str,
    dtype: torch.dtype = torch.float64,
) -> list[Tensor]:
    """What `run` gives, if only the tokens ``rows`` are rows of q; ``mask`` is theirs."""
    inputs = [x.to(dtype).requires_grad_() for x in (case.q[rows], case.k, case.v)]
    learned = [] if bias is None else [x for x in bias.parameters() if x.requires_grad]
    out = attend(
        *inputs,
        offsets=case.offsets, row_offsets=row_offsets, mask=mask,
        bias=None if bias is None else bias(case.position, case.time, rows),
        activation=activation, scale=WIDTH**-0.5, norm=NORM, backend=backend,
    )  # fmt: skip
    grads = torch.autograd.grad(out, [*inputs, *learned], case.grad[rows].to(dtype))
    return [out.detach(), *grads]


def assert_as_exact_as_reference(
    case: Case,
    mask: Mask,
    bias: BiasModule | None,
    activation: str,
    dtype: torch.dtype,
    backend: str = "blockwise",
    **options: Any,
) -> None:
    """Max error against float64 ≤ 2× (output) and ≤ 5× (gradients) the reference's in ``dtype``.

    Gradients of learned tables, sums over many cells, may also be off by what the order of a sum
    changes. All three see the same inputs, rounded to ``dtype``.
    """
    for name in ("q", "k", "v", "grad"):
        setattr(case, name, getattr(case, name).to(dtype).double())
    low = [
        run(case, mask, bias, activation, backend=name, dtype=dtype, **options)
        for name in (backend, "reference")
    ]
    if bias is not None:
        bias.double()
    exact = run(case, mask, bias, activation, backend="reference", **options)
    # The reference may be exact by luck, or the terms of a sum cancel: one rounding is allowed.
    floor = torch.finfo(dtype).eps * max((_largest(x) for x in exact), default=0.0)
    in_sums = _roundings_of_sums(case, mask, bias, activation, **options) if exact[4:] else 0.0
    for place, (got, plain, right) in enumerate(zip(*low, exact, strict=True)):
        allowed = (2 if place == 0 else 5) * _largest(plain - right) + floor
        allowed += in_sums if place > 3 else 0.0
        assert _largest(got - right) <= allowed, f"tensor {place}"


def _roundings_of_sums(
    case: Case, mask: Mask, bias: BiasModule | None, activation: str, **options: Any
) -> float:
    """What summing the cells of a table's row in another order may change, in float32.

    n terms that are each rounded to one part in 1 / eps are off by eps · √n · the largest, whatever
    cancels in their sum; all n cells may fall into one row.
    """
    assert bias is not None
    made = bias(case.position, case.time)
    cells = materialize(made, case.offsets, case.offsets, torch.float64).tensors[0]
    leaf = cells.detach().requires_grad_()
    out = attend(
        case.q, case.k, case.v,
        offsets=case.offsets, mask=mask, bias=replace(made, rule=CellsRule(), tensors=(leaf,),
        form="fused"), activation=activation, scale=WIDTH**-0.5, norm=NORM, backend="reference",
        **options,
    )  # fmt: skip
    (terms,) = torch.autograd.grad(out, leaf, case.grad)
    count = HEADS * int(terms.count_nonzero())
    return float(torch.finfo(torch.float32).eps) * math.sqrt(count) * _largest(terms)


def _largest(x: Tensor) -> float:
    return float(x.abs().max()) if x.numel() else 0.0
