"""What the stages read, write and compute in, against the least bytes that are counted for them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from genrank_cli.bench.model.batch import make_input
from genrank_cli.bench.model.stages import Training, subjects
from genrank_cli.bench.model.work import work_of
from genrank_cli.bench.stages import Bench
from genrank_cli.bench.sweep.plan import Request as SweepRequest
from genrank_cli.bench.sweep.work import Work
from genrank_cli.models.block import HstuBlock
from genrank_cli.models.generative import GenerativeRanker
from tests.bench.test_model import request

SIZES = {"float32": 4, "bfloat16": 2}


@cache
def training(dtype: str) -> Training:
    asked = request(dtype=dtype, models=("genrank",))
    return Training(asked, "genrank", 16, make_input(asked, 16))


def bench(dtype: str) -> Bench:
    made = training(dtype)
    assert isinstance(made.model, GenerativeRanker)
    return Bench(made.model, made.batch, made.lowered)


def size(tensors: Iterable[Any]) -> int:
    """Bytes of different tensors."""
    return sum(x.nbytes for x in {id(x): x for x in tensors}.values())


@pytest.fixture
def backward(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """For every call of autograd.grad: the gradients that come in, and those that go out."""
    calls: list[list[Tensor]] = []
    grad = torch.autograd.grad

    def watched(outputs: Any, inputs: Any, grads: Any, **options: Any) -> Any:
        found = grad(outputs, inputs, grads, **options)
        calls.extend(([grads] if isinstance(grads, Tensor) else [*grads], [*found]))
        return found

    monkeypatch.setattr(torch.autograd, "grad", watched)
    return calls


@pytest.fixture
def attended(monkeypatch: pytest.MonkeyPatch) -> list[list[Tensor]]:
    """q, k, v and the result of every call of `HstuBlock.attend`."""
    calls: list[list[Tensor]] = []
    attend = HstuBlock.attend

    def watched(self: HstuBlock, q: Tensor, k: Tensor, v: Tensor, *rest: Any) -> Tensor:
        out = attend(self, q, k, v, *rest)
        calls.append([q, k, v, out])
        return out

    monkeypatch.setattr(HstuBlock, "attend", watched)
    return calls


@pytest.mark.parametrize("dtype", SIZES)
def test_every_stage_sees_the_dtypes_that_it_has_inside_the_step(
    dtype: str, attended: list[list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    updated: list[list[torch.dtype]] = []
    update = HstuBlock.update

    def watched(self: HstuBlock, x: Tensor, seen: Tensor, u: Tensor) -> Tensor:
        out = update(self, x, seen, u)
        updated.append([part.dtype for part in (x, seen, u, out)])
        return out

    monkeypatch.setattr(HstuBlock, "update", watched)
    asked = request(dtype=dtype)
    found: dict[str, tuple[set[Any], set[Any]]] = {}
    for subject in subjects(asked, "genrank", 16, make_input(asked, 16)):
        attended.clear()
        updated.clear()
        for part in subject.parts.values():
            part()
        calls = ({tuple(x.dtype for x in call) for call in attended}, set(map(tuple, updated)))
        found[subject.name.removeprefix("genrank/")] = calls
    assert found["attention"][0] == found["step"][0] == {(getattr(torch, dtype),) * 4}
    assert found["projections"][1] == found["step"][1]


@pytest.mark.parametrize("dtype", SIZES)
def test_the_bytes_of_attention_are_those_of_its_tensors(
    dtype: str, attended: list[list[Tensor]], backward: list[list[Tensor]]
) -> None:
    stage = bench(dtype).attention()
    attended.clear()
    stage.run()
    ((*inputs, out),) = attended
    grads, found = backward
    assert len(inputs) == 3
    forward = size([*inputs, out])
    least = forward + size([*inputs, *grads, *found[:3]])
    asked = request(dtype=dtype)
    work = work_of(asked, "genrank", 16, make_input(asked, 16))
    assert work.moved["attention"] == work.blocks * least


@pytest.mark.parametrize("dtype", SIZES)
def test_the_bytes_of_projections_are_those_of_its_tensors(
    dtype: str, backward: list[list[Tensor]]
) -> None:
    made = training(dtype)
    stage = bench(dtype).projections()
    with made.lowered():
        stage.forward()
    inputs, out = [stage._x, stage._attended], [*stage._out]
    stage.backward()
    grads, (of_x, of_attended, *of_weights) = backward
    matrices = [p for p in stage._block.parameters() if p.ndim == 2]
    low = sum(p.numel() for p in matrices) * SIZES[dtype]  # the copy that the products read
    forward = size([*inputs, *matrices, *out])
    learned = size(p for p in of_weights if p.ndim == 2)
    least = forward + size([*inputs, *grads, of_x, of_attended]) + low + learned
    asked = request(dtype=dtype)
    work = work_of(asked, "genrank", 16, make_input(asked, 16))
    assert work.moved["projections"] == work.blocks * least


@pytest.mark.parametrize("dtype", SIZES)
def test_weights_moments_and_tables_stay_float32(dtype: str) -> None:
    made = training(dtype)
    made.step()
    parameters = [*made.model.parameters()]
    states = [
        x
        for optimizer in made._optimizers
        for state in optimizer.state.values()
        for x in state.values()
        if isinstance(x, Tensor) and x.ndim
    ]
    grads = [p.grad for p in parameters]
    asked = request(dtype=dtype)
    work = work_of(asked, "genrank", 16, make_input(asked, 16))
    read = size([*parameters, *grads, *states])
    assert work.moved["optimizer"] == read + size([*parameters, *states])
    x = bench(dtype).x
    tables = sum(
        p.numel() * 4
        for name, p in made.model.named_parameters()
        if not name.startswith(("blocks", "biases", "head", "output", "extra"))
    )
    assert work.moved["embedding"] == 2 * x.nbytes + tables


def test_the_sweep_counts_as_the_bench_of_models_does() -> None:
    shape = SweepRequest(size="tiny", values=(8, 16), batch_size=2, candidates=4)
    work = Work(shape, "genrank", 16)
    whole = work_of(request(), "genrank", 16, make_input(request(), 16))
    for stage in ("attention", "projections"):
        assert whole.blocks * work.bytes_moved(stage) == whole.moved[stage]
    assert work.bytes_moved("step") == 0
